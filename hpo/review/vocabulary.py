"""The page of all choices and hyperparameters of Torch tasks, written from the registries so that it stays true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.spec.contract import Known
from hpo.spec.space import show
from hpo.training.contract import LOOP_PARAMETERS
from hpo.training.models import MODEL_PARAMETERS, RECURRENT_PARAMETERS
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.labels import CURRICULA, SUSPECT_LABELS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.metrics import BINS, METRICS
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.registry import Registry
from hpo.training.vocabulary.schedules import SCHEDULES
from hpo.training.vocabulary.targets import OUTLIERS, TARGET_TRANSFORMS
from hpo.training.vocabulary.thresholds import THRESHOLD_RULES

_HEAD = """# Vocabulary

Every choice and hyperparameter that a Torch task understands, besides its own. Written by `scripts/vocabulary`.
A hyperparameter with `only for` is an error where it is active otherwise. A default of `-` is PyTorch's own.
"""

_OUTPUTS = """
## Output activations

`output_activation` says what is done to a model's raw outputs before the loss is taken of them. `default` is what the
loss has built in: a sigmoid for binary tasks, and for `bce` of several classes; a softmax for their other losses;
nothing for a regression. Naming what is built in (`sigmoid` with `bce`, say) gives the same numbers. `hinge` and
`perceptron` take the raw output itself, and go with no output activation.

- Losses of probabilities (`bce`, `cross_entropy`, `focal` and their kin) take what was made for probabilities,
  clamped to [1e-7, 1 - 1e-7] as Keras does; of several classes each is then divided by their sum (but for `bce`,
  which takes each class against the rest). What was clamped passes no gradient.
- `mse` and `mae` take what was made as it is, and compare it with 0 and 1.
- In a regression what was made is the prediction, on the scale of `target_transform`.
- A row is of class 1 where what was made is above the [threshold](#thresholds); of several classes it is of the one
  with the largest. Metrics, predictions and `hpo model` go by this: the program and the ONNX file give the logits that
  what was made stands for.

| output | usual with | trouble |
| --- | --- | --- |
| `sigmoid` | `bce` | `mse`, `mae`: hardly any gradient where an answer is sure and wrong |
| `softmax` | `cross_entropy` | `mse`, `mae`: the same; refused where a task has one output, which would always be 1 |
| `linear` | `mse`, `mae` in a regression | `bce`, `cross_entropy`: nothing is learned from outputs outside of (0, 1) |
| `relu`, `softplus` | a regression of targets above 0 | others are out of reach; a `relu` of 0 for all rows stays 0 |
| `tanh` | a regression of targets between -1 and 1 | `bce`, `cross_entropy`: nothing is learned from outputs below 0 |
"""
_THRESHOLDS = """
A row of a two-class task is called class 1 where its probability is above the threshold. `accuracy`,
`balanced_accuracy`, `f1`, `precision` and `recall` go by it, and so do the test metrics of `hpo confirm` and the
classes that a model of `hpo model` predicts, with `hpo predict` and in MLflow (`threshold` in model.json; the program
and the ONNX file give logits, as always). `roc_auc`, `average_precision`, `brier` and `calibration_error` need none.

`threshold_rule: best_f1` takes the threshold with the largest F1 of class 1 on the validation rows (Lipton, Elkan and
Naryanaswamy 2014, "Optimal thresholding of classifiers to maximize F1 measure"), anew in each epoch.

- `val_threshold` is the threshold that was chosen; the `val_` and `train_` metrics of that epoch are those at it. So
  the `val_` metrics flatter the trial: the threshold was chosen on the very rows that they are measured on, the more so
  the fewer rows of class 1 there are. The test rows, which no threshold was chosen on, say what it is worth
  (`hpo confirm`).
- The threshold lies halfway between the logits of two neighbouring rows, or it is 0.5 if that lies between the two. If
  F1 is largest with all rows called class 1, it is half the lowest probability. (So all are called class 1 where all
  have the same probability.) Of thresholds with the same F1 it is the one nearest to 0.5 by its logit. With validation
  rows of one class only it is 0.5. None is nearer to 0 or 1 than 1e-9.
- Each seed or fold of a trial has its own, and each is recorded (`val_threshold.1`); the model is that of the first
  seed, with its threshold. On the rows of training and validation together (`hpo model --on train+validation`) the
  threshold is the trial's `val_threshold`, since no rows are left to choose on.
- References are measured at 0.5: beside `best_f1`, compare with them by a metric that needs no threshold.
"""
_PROBABILITIES = f"""
Of the two-class metrics, `average_precision` is the area under the curve of precision and recall, as scikit-learn
defines it; the share of class 1 is what a model without knowledge has. `brier` is the mean squared difference between
the probability of class 1 and the label, 0 or 1. `calibration_error` is the expected calibration error: rows are put
into {BINS} bins of equal width by their probability of class 1, and it is how far the mean probability of a bin is
from its share of class 1, averaged over rows (Naeini et al. 2015, "Obtaining well calibrated probabilities using
Bayesian binning"; as many bins as Guo et al. 2017, "On calibration of modern neural networks"). These two need
probabilities: they are not reported, and no metric for a sweep, with the losses `hinge` and `perceptron`, or with an
`output_activation` other than `sigmoid` or `default`.
"""
_TARGETS = """
The objectives `regression` and `sequence` standardize targets unless a sweep file says otherwise (`target_transform:
none`, or an `output_activation` whose values have bounds): a network's first outputs are of about 1, and targets in the
thousands diverge or take many epochs. Metrics are in the target's own units all the same; `val_loss` is on the scale
that was trained on. A task of your own has this default with `parameters = hpo.STANDARDIZED_TARGET`.
"""
_PENALTY = """
### L1 penalty

`l1_penalty` times the sum of all absolute weights (biases and the scales of batch norm left out) is added to what is
minimized. A weight that a step takes across 0 is set to 0, and stays there, while the loss pulls at it with less than
the penalty: so weights become exactly 0, as in the lasso, with every optimizer (Andrew and Gao, ICML 2007).
`health: true` reports the share of them ([health.md](health.md#looking-into-the-layers)). `train_loss` is without the
penalty, as it is without that of `weight_decay`; `grad_clip_norm` and `grad_clip_value` clip both together.
"""
_NETWORKS = """
A network of depth 8 is `hidden_layers: 8`, each layer `hidden_units` wide. With `residual: true` a layer gives
x + dropout(activation(norm(W x + b))) of its input x; where the widths differ, P x + ..., with a matrix P that is
trained (He et al. 2016, "Deep residual learning", option B). Nothing comes after the sum, so that there is a way
through all layers on which nothing is changed (He et al. 2016, "Identity mappings"). Signals grow with each block:
deep ones do well with `initializer: default`, `batch_norm: true`, or an `init_scale` below 1.

The perceptron rule (Rosenblatt 1958) is `loss: perceptron` with `hidden_layers: []`, `batch_size: 1`,
`optimizer: sgd`, `learning_rate: 1`, and weights of 0 to begin with: `initializer: xavier_uniform`, `init_scale: 0`.
A row whose output is 0 counts as a mistake.
"""


_RECURRENT = "`hidden_units` and `dropout` as `hpo.mlp` has them, neither `batch_norm` nor `residual`, and:"


def vocabulary_page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    registries: list[tuple[str, Registry[Any]]]
    registries = [("Optimizers", OPTIMIZERS), ("Activations", ACTIVATIONS)]
    registries += [(f"Losses: {kind}", registry) for kind, registry in LOSSES.items()]
    parts += [_section(title, registry) for title, registry in registries]
    parts.append(_OUTPUTS)
    parts += [_section("Thresholds", THRESHOLD_RULES), _THRESHOLDS]
    registries = [("Schedules", SCHEDULES), ("Initializers", INITIALIZERS)]
    registries += [
        ("Outliers in regression targets", OUTLIERS),
        ("Transforms of regression targets", TARGET_TRANSFORMS),
        ("Doubtful labels", SUSPECT_LABELS),
        ("Order of rows", CURRICULA),
    ]
    parts += [_section(title, registry) for title, registry in registries]
    parts.insert(-2, _TARGETS)
    parts.append(f"\n## Training\n{_table(LOOP_PARAMETERS)}{_PENALTY}")
    parts.append(f"\n## Networks (`hpo.mlp`)\n{_table(MODEL_PARAMETERS)}{_NETWORKS}")
    own = {name: known for name, known in RECURRENT_PARAMETERS.items() if known is not None}
    parts.append(f"\n## Networks (`hpo.recurrent`)\n\n{_RECURRENT}\n{_table(own)}")
    parts.append(
        "\n## Metrics\n\nEach epoch, with `train_` (over the epoch's batches as they were trained) and `val_`.\n\n"
    )
    parts += [f"- {kind}: {', '.join(f'`{name}`' for name in metrics)}\n" for kind, metrics in METRICS.items()]
    parts += [
        f"- {kind}, with the loss `{choice.name}`: `{name}` besides (recorded, but no metric for a sweep)\n"
        for kind, registry in LOSSES.items()
        for choice in registry
        for name, _ in choice.counts
    ]
    parts.append("- binary, with `threshold_rule: best_f1`: `val_threshold` besides (likewise)\n")
    parts.append(_PROBABILITIES)
    return "".join(parts)


def _section(title: str, registry: Registry[Any]) -> str:
    aliases = "".join(f" `{alias}` is `{name}`." for alias, name in registry.aliases.items())
    return f"\n## {title}\n{_table(registry.known())}{aliases and chr(10) + aliases.strip() + chr(10)}"


def _table(parameters: Mapping[str, Known]) -> str:
    lines = ["", "| hyperparameter | default | values | |", "| --- | --- | --- | --- |"]
    for name, known in parameters.items():
        default = "-" if known.default is None else f"`{show(known.default)}`"
        for others in known.default_where.values():
            default += "".join(f", `{show(value)}` for `{choice}`" for choice, value in others.items())
        help_text = "" if known.kind == "choice" and not known.requires else known.help
        lines.append(f"| `{name}` | {default} | {_values(known)} | {help_text}{_only_for(known)} |")
    return "\n".join(lines) + "\n"


def _values(known: Known) -> str:
    if known.kind == "choice":
        return " ".join(f"`{choice}`" for choice in known.choices)
    if known.kind in ("bool", "layers"):
        return {"bool": "`true` `false`", "layers": "a list of widths, or a count"}[known.kind]
    return f"{known.kind} in {known.within}" + (", or null" if known.nullable else "")


def _only_for(known: Known) -> str:
    texts = []
    for other, allowed in known.requires.items():
        numbers = all(isinstance(value, int) for value in allowed)
        texts.append("a count of layers" if numbers else ", ".join(f"`{value}`" for value in allowed))
        texts[-1] = f" (only for {other}: {texts[-1]})"
    return "".join(texts)
