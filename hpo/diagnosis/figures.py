"""What the health of training is measured by: figures of a layer in an epoch, and the metrics that hold them.

health/0/gradient_norm       of the layer that its model calls `0`
health/model/zero_weights    of the whole model
health/model/learning_rate   of its optimizer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

Figure = Literal[
    "gradient_norm", "update_ratio", "activation_norm", "dead", "saturated", "zero_weights", "learning_rate"
]
FIGURES: tuple[Figure, ...] = get_args(Figure)
"""gradient_norm: the norm of the loss of one batch derived by the layer's weights, before clipping, without biases.
update_ratio: the norm of what one step changed of the weights, over the norm of the weights. activation_norm: the root
mean square of what a layer hands on, after its activation, for the rows looked at. dead: the share of a
layer's ReLU units that are 0 for all of the rows looked at. saturated: the share of sigmoid or tanh units whose
derivative is, in the mean of these rows, below a tenth of the largest that it can be. zero_weights: the share of the
whole model's weights, without biases, that are exactly 0 after the epoch. learning_rate: the optimizer's, of its first
group of parameters, at the epoch's last step."""
JUDGED: frozenset[Figure] = frozenset({"gradient_norm", "update_ratio", "dead", "saturated"})
"""What diagnoses go by; the others are there to be looked at."""
_BY_NAME: Mapping[str, Figure] = {figure: figure for figure in FIGURES}
HEALTH = "health/"  # what the names of these metrics begin with
_MODEL = "model"  # the layer's name where the model is one layer itself, and for figures of the whole model


def metric_of(layer: str, figure: Figure) -> str:
    """Return the name of the metric that holds a figure. layer: the module's path in its model; "": the model."""
    return f"{HEALTH}{layer or _MODEL}/{figure}"


def figure_of(metric: str) -> Figure | None:
    """Return which of these figures a metric of a report is; None: it is one of the user's own."""
    return _BY_NAME.get(metric.rpartition("/")[2]) if metric.startswith(HEALTH) else None


def is_health(metric: str) -> bool:
    """Whether a metric of a report is one of these figures, and none of the user's own."""
    return figure_of(metric) is not None


def is_judged(metric: str) -> bool:
    """Whether a metric of a report is a figure that diagnoses go by."""
    return figure_of(metric) in JUDGED


def by_figure(curves: Mapping[str, Sequence[float]]) -> dict[Figure, dict[str, Sequence[float]]]:
    """Return {figure: {layer: its values by epoch}} of a trial's metrics; layers in the order of the first report."""
    found: dict[Figure, dict[str, Sequence[float]]] = {figure: {} for figure in FIGURES}
    for metric, values in curves.items():
        if (figure := figure_of(metric)) is not None and len(values):
            found[figure][metric.removeprefix(HEALTH).rpartition("/")[0]] = values
    return found
