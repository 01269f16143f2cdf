"""What is done with a model's outputs: collecting them, checking their shape, and turning them into metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.task import Kind, Split, TorchTask
from hpo.training.vocabulary.metrics import as_floats, measure

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
    """

    forward: Callable[[Tensor], Tensor] = lambda target: target
    inverse: Callable[[Tensor], Tensor] = lambda output: output
    transform: Mapping[str, Any] = field(default_factory=dict)  # the target transform's name and fitted numbers
    activation: Callable[[Tensor], Tensor] | None = None

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
) -> dict[str, float]:
    """Return the loss and every metric of one split, named `{prefix}_...`, without those that are not finite.

    outputs: raw; targets: on the model's scale. The loss is taken of these; the metrics are in the target's own units.
    counts: further metrics, taken of what the loss is taken of.
    """
    metrics = {"loss": loss(outputs, targets)}
    metrics |= measure(kind, units.answer(outputs), units.inverse(targets))
    metrics |= {name: count(outputs, targets) for name, count in counts}
    return {f"{prefix}_{name}": value for name, value in as_floats(metrics).items()}


def to_device(split: Split, device: torch.device) -> Split:
    """Return the split on the device (itself, if it is there already)."""
    if split.x.device == split.y.device == device:
        return split
    weight = None if split.weight is None else split.weight.to(device)
    return Split(split.x.to(device), split.y.to(device), weight)
