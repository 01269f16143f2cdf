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
    "kid", "lpips", "ece", "kl", "divergence", "deviance", "cost", "regret", "latency", "eer", "rms",
    "deviation",
})  # fmt: skip
_PAIRS = {"cross entropy": "crossentropy", "log loss": "logloss", "neg log likelihood": "nll",
          "negative log likelihood": "nll", "r 2": "r2", "r squared": "r2", "average precision": "precision",
          "f 1": "f1", "log likelihood": "elbo"}  # fmt: skip
_TURNED = frozenset({"neg", "negative", "minus", "inverse", "inv"})


def goal_by_name(name: str) -> Goal | None:
    """Return what a metric's name says its goal is; None if it says nothing, or both.

    Words are what stands between underscores, hyphens, dots, slashes, blanks and changes to a capital letter. A word
    that turns the rest round (`neg_mean_squared_error`, scikit-learn's) turns the goal round.
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    text = " ".join(re.split(r"[\W_]+", f"{spaced} {name}".lower()))  # mIoU is one word, valAcc are two
    for pair, word in _PAIRS.items():
        text = re.sub(rf"\b{pair}\b", word, text)
    words = text.split()
    large, small = any(word in _LARGE for word in words), any(word in _SMALL for word in words)
    if large == small:
        return None
    if any(word in _TURNED for word in words):
        large = not large
    return "maximize" if large else "minimize"
