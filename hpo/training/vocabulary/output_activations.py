"""Output activations: what becomes of a model's raw outputs before the loss and the metrics see them.

A model gives raw outputs z whatever the activation, so that trials of all activations stack. The loss is taken of f(z).
Losses of probabilities that have an activation of their own built in (the sigmoid in `bce`, the softmax in
`cross_entropy`) take the logits that f(z) stands for: f(z) is clamped to [1e-7, 1 - 1e-7] first, as Keras does
(keras.config.epsilon(); keras/src/backend/*/nn.py, `binary_crossentropy` and `sparse_categorical_crossentropy`), and
where it was clamped it passes no gradient. Where f is the built-in one, the loss is the one of raw outputs, bit for
bit: TensorFlow and Keras look beneath a sigmoid or softmax in the same way (`_get_logits`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.task import Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

Map = Callable[["Tensor"], "Tensor"]

DEFAULT = "default"
OUTPUT_ACTIVATIONS: dict[str, Map] = {
    "linear": lambda z: z,
    "sigmoid": lambda z: torch.sigmoid(z),
    "softmax": lambda z: z.softmax(-1),
    "tanh": lambda z: torch.tanh(z),
    "relu": lambda z: torch.relu(z),
    "softplus": lambda z: torch.nn.functional.softplus(z),
}
"""Each but `default`, by its name: [..., B] -> [..., B], and of several classes [..., B, C] -> [..., B, C]."""

_EDGE = 1e-7  # keras.config.epsilon()
_SLIGHTLY = 1e-3  # logits at most, beyond the edge: too little for a probability to show, enough to keep an order
_NATURAL: dict[Kind, str] = {"binary": "sigmoid", "multiclass": "softmax", "regression": "linear"}
_LOGITS: dict[str, Map] = {
    "sigmoid": lambda p: torch.logit(p, eps=_EDGE),
    "softmax": lambda p: p.clamp(_EDGE, 1 - _EDGE).log(),
    "linear": lambda value: value,
}
"""What takes an activation back that a loss has built in: probabilities to logits, clamped."""

_UNCLEAR = "write default for what the loss has built in, or linear for the outputs as they are"


def known_output_activation(kind: Kind) -> Known:
    """Return the contract of the hyperparameter `output_activation` for one kind of task."""
    hints = {"none": _UNCLEAR, "identity": _UNCLEAR, "logits": _UNCLEAR}
    if kind != "multiclass":
        instead = "sigmoid" if kind == "binary" else "linear"
        hints["softmax"] = f"a {kind} task has one output, of which a softmax always makes 1: write {instead}"
    return Known(
        "choice",
        DEFAULT,
        "what is done to the model's outputs; default: what the loss has built in",
        choices=(DEFAULT, *(name for name in OUTPUT_ACTIVATIONS if name not in hints)),
        hints=hints,
    )


def logits_behind(link: str, activation: str) -> Map:
    """Return what makes of raw outputs the logits that a loss takes which has the activation `link` built in."""
    made, back = OUTPUT_ACTIVATIONS[activation], _LOGITS[link]
    return lambda outputs: back(made(outputs))


def answer_of(kind: Kind, link: str, activation: str) -> Map | None:
    """Return what makes of raw outputs the answers that people and metrics take: the logits of a classification, whose
    sigmoid or softmax are the probabilities; a regression's values. None: the raw outputs are these.

    link: the activation that the trial's loss has built in; "": a margin's loss, which has none.

    What stands for a probability is clamped to [1e-7, 1 - 1e-7], and of several classes taken as a share of their sum.
    Outputs beyond the edges keep their order. So a row is called positive where f(z) > 0.5.
    """
    made, natural = link if activation == DEFAULT else activation, _NATURAL[kind]
    if made in ("", natural):
        return None
    function = OUTPUT_ACTIVATIONS[made]
    if kind == "regression":
        return function
    if (kind, made) == ("multiclass", "sigmoid"):
        return lambda outputs: torch.nn.functional.logsigmoid(outputs)  # exact where the sigmoid is 1 but for rounding
    back = _sure_logit if kind == "binary" else _LOGITS[natural]

    def answer(outputs: Tensor) -> Tensor:
        values = function(outputs)
        beyond = values - values.clamp(_EDGE, 1 - _EDGE)
        return back(values) + _SLIGHTLY * beyond / (1 + beyond.abs())

    return answer


def _sure_logit(p: Tensor) -> Tensor:
    """As torch.logit with the same edges, but the same to the last digits wherever it is computed: 1 - (1 - 1e-7) has
    hardly any in float32, so that other runtimes would give other logits."""
    return p.clamp(_EDGE, 1.0).log() - (1.0 - p).clamp(_EDGE, 1.0).log()
