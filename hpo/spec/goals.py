"""Whether a metric is to be large or small, by the words of its name: `val_accuracy`, `eval/loss`, `top1-acc`."""

from __future__ import annotations

import re

from hpo.spec.contract import Goal

_LARGE = frozenset({
    "accuracy", "acc", "auc", "auroc", "aucroc", "roc", "rocauc", "auprc", "aucpr", "prauc", "f1", "f1score",
    "fbeta", "r2", "precision", "recall", "iou", "miou", "dice", "jaccard", "bleu", "rouge", "meteor", "chrf",
    "mcc", "kappa", "sensitivity", "specificity", "ndcg", "mrr", "map", "map50", "ssim", "psnr", "reward",
    "return", "returns", "throughput", "elbo", "fps",
})  # fmt: skip
_SMALL = frozenset({
    "loss", "losses", "error", "errors", "err", "rmse", "mse", "mae", "mape", "smape", "msle", "rmsle", "mdape",
    "nll", "nlpd", "perplexity", "ppl", "bce", "crossentropy", "logloss", "brier", "hinge", "wer", "cer", "fid",
    "kid", "lpips", "ece", "kl", "divergence", "deviance", "cost", "latency", "eer", "rms",
    "deviation",
})  # fmt: skip
_PAIRS = {"cross entropy": "crossentropy", "log loss": "logloss", "neg log likelihood": "nll",
          "negative log likelihood": "nll", "r 2": "r2", "r squared": "r2", "average precision": "precision",
          "f 1": "f1", "log likelihood": "elbo"}  # fmt: skip
_TURNED = ("neg ", "negative ", "minus ")  # scikit-learn's neg_mean_squared_error
# Words that make something else of it: a spread, a difference, a part of the rows, a duration.
_OTHERWISE = frozenset({
    "neg", "negative", "negatives", "minus", "inverse", "inv", "std", "stdev", "sd", "var", "variance",
    "spread", "gap", "drop", "diff", "difference", "delta", "change", "reduction", "savings", "saving", "gain",
    "improvement", "increase", "decrease", "time", "seconds", "minutes", "hours", "epoch", "epochs", "step",
    "steps", "count", "num", "number", "threshold", "target", "weight", "scale", "rank",
})  # fmt: skip


def goal_by_name(name: str) -> Goal | None:
    """Return what a metric's name says its goal is; None if it says nothing, or two things.

    Words are what stands between underscores, hyphens, dots, slashes, blanks and changes to a capital letter. `neg` or
    `negative` before the name of an error turns it round, as scikit-learn's `neg_mean_squared_error` does.
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    text = " ".join(re.split(r"[\W_]+", f"{spaced} {name}".lower())).strip()  # mIoU is one word, valAcc are two
    for pair, word in _PAIRS.items():
        text = re.sub(rf"\b{pair}\b", word, text)
    turned = text.startswith(_TURNED)
    words = [word for word in text.split() if not (turned and f"{word} " in _TURNED)]
    large, small = any(word in _LARGE for word in words), any(word in _SMALL for word in words)
    if large == small or any(word in _OTHERWISE for word in words) or (turned and large):
        return None
    return "maximize" if large or turned else "minimize"
