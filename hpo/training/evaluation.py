"""What is done with a model's outputs: collecting them, checking their shape, and turning them into metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.task import Kind, Split, TorchTask
from hpo.training.upload import upload
from hpo.training.vocabulary.metrics import LogitReading, as_floats, measure
from hpo.training.vocabulary.thresholds import AT_HALF, Threshold, chosen_among, logit_of, thresholds_now

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")

CHUNK = 1000  # rows evaluated at a time: enough to keep the processor busy, little enough for any memory


@dataclass(frozen=True)
class Units:
    """The way between a target's own units and the scale that the model learns on; for classes they are the same.

    activation: what makes of raw outputs the logits of classes, or values on the model's scale; None: they are these.
    probable: of two classes: whether the sigmoids of these logits stand for probabilities.
    """

    forward: Callable[[Tensor], Tensor] = lambda target: target
    inverse: Callable[[Tensor], Tensor] = lambda output: output
    transform: Mapping[str, Any] = field(default_factory=dict)  # the target transform's name and fitted numbers
    activation: Callable[[Tensor], Tensor] | None = None
    probable: bool = True

    def answer(self, outputs: Tensor) -> Tensor:
        """Return what raw outputs say: the logits of classes, or values in the target's own units."""
        return self.inverse(outputs if self.activation is None else self.activation(outputs))


def predict(task: TorchTask, model: nn.Module, x: Tensor, params: Mapping[str, Any]) -> Tensor:
    """Return the model's raw outputs for rows x [N, ...], in evaluation mode and without gradients."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(task.batch(chunk, params, None)) for chunk in torch.split(x, CHUNK)])


def check_shape(outputs: Tensor, rows: int, classes: int) -> None:
    """Raise ValueError unless outputs are [rows], or [rows, classes] for several classes.

    Without it, outputs [N, 1] against targets [N] would broadcast to an [N, N] loss, in silence.
    """
    expected = (rows, classes) if classes > 1 else (rows,)
    if tuple(outputs.shape) != expected:
        raise ValueError(f"the model must map {rows} rows to shape {expected}, but got {tuple(outputs.shape)}")


def all_metrics(
    kind: Kind,
    prefix: str,
    outputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    units: Units,
    counts: Iterable[tuple[str, Callable[[Tensor, Tensor], Tensor]]] = (),
    threshold: Threshold = AT_HALF,
    choose: bool = False,
) -> dict[str, float]:
    """Return the loss and every metric of one split, named `{prefix}_...`, without those that are not finite.

    outputs: raw; targets: on the model's scale. The loss is taken of these; the metrics are in the target's own units.
    counts: further metrics, taken of what the loss is taken of.
    threshold, choose: as in `measure_classes`.
    """
    metrics = {"loss": loss(outputs, targets)}
    answers, targets_in_units = units.answer(outputs), units.inverse(targets)
    if kind == "binary":
        rows = answers.unsqueeze(0), targets_in_units.unsqueeze(0)
        one = measure_classes(prefix, *rows, [units], [threshold], choose)
        metrics |= {name: value.squeeze(0) for name, value in one.items()}
    else:
        metrics |= measure(kind, answers, targets_in_units)
    metrics |= {name: count(outputs, targets) for name, count in counts}
    return {f"{prefix}_{name}": value for name, value in as_floats(metrics).items()}


def measure_classes(
    prefix: str,
    logits: Tensor,
    targets: Tensor,
    units: Sequence[Units],
    thresholds: Sequence[Threshold],
    choose: bool,
) -> dict[str, Tensor]:
    """Return every metric of k models of two classes but the loss, each [k].

    prefix: of the split; on `val` the thresholds of models whose rule chooses are a metric, too. logits, targets:
    [k, N]. choose: whether to choose these thresholds on these rows; else they stay where they stand.
    """
    now = thresholds_now(thresholds, logits, targets if choose else None)
    probable = None
    if not all(each.probable for each in units):
        probable = upload([each.probable for each in units], logits.device)
    found = measure("binary", logits, targets, LogitReading(None if now is None else logit_of(now), probable))
    return found | (chosen_among(thresholds, now) if prefix == "val" else {})


def to_device(split: Split, device: torch.device) -> Split:
    """Return the split on the device (itself, if it is there already)."""
    if split.x.device == split.y.device == device:
        return split
    weight = None if split.weight is None else split.weight.to(device)
    return Split(split.x.to(device), split.y.to(device), weight)
