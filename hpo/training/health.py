"""The health of one run's training: what one step and one pass over validation rows tell of each layer.

Nothing that is measured here changes a number of the training: no generator is drawn from, no tensor written to. The
stack measures the same of all members at once (stack/health.py), by the functions of this module.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from hpo.diagnosis.figures import Figure, metric_of
from hpo.lazy import lazy_import
from hpo.training.called import called_activations, closed_to_looks, untouched
from hpo.training.outputs import LayerOutputs, is_activation, layers_of
from hpo.training.penalty import penalized

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hpo.training.run import Run
else:
    torch = lazy_import("torch")

SPAN = 16  # steps from one measured epoch to the next, at least: measuring takes about half a step's time
ROWS, AMONG = 64, 256  # rows by whose activations units are judged, among the first of the validation split
_SATURATED = 0.1  # of the largest derivative: what a unit passes on in the mean of the rows, or else it is saturated
_LARGEST = 3e38  # stands for what is more than float32 holds: charts break on infinity

Found = dict[str, "Tensor"]  # of each metric the members' values [K]


def is_due(run: Run) -> bool:
    """Whether the epoch after those that a run has completed is measured: the first, the last, and of the others each
    that completes a further SPAN of steps."""
    if not run.trial.health:
        return False
    epoch, steps = run.completed, run.steps_per_epoch
    return epoch == 0 or epoch + 1 == run.epochs or epoch * steps // SPAN < (epoch + 1) * steps // SPAN


def unseen(run: Run) -> dict[str, str]:
    """Return what the user should know that is not measured of a run's model, by kind."""
    if not run.trial.health or not (name := closed_to_looks(run.model)):
        return {}
    what = "its activations can be looked at only if they are modules outside of that, not functions (F.relu)"
    return {"health": f"health: its model has a {name}; {what}"}


class Examination:
    """What is measured of one run in each epoch that is due: of its first step, then of its first validation rows.

    begin: an epoch begins. before, gradients, after: called around its first step. watching: a context for the
    validation. figures: what was found in the epoch.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._weights = weights_of(model)
        self._all_weights = penalized(model)
        self._looked_at = looked_at(model)
        self._before: list[Tensor] = []
        self._norms: dict[Figure, list[Tensor]] = {}
        self._activations: Found = {}
        self.wants_step = False  # whether the step to be measured has not been taken

    def begin(self, due: bool) -> None:
        self.wants_step = due
        self._norms, self._activations = {}, {}

    def before(self) -> None:
        """Take in the weights before the step."""
        self._before = [weight.detach().clone() for weight in self._weights.values()]

    def gradients(self) -> None:
        """Take in the gradients, before they are clipped."""
        weights = self._weights.values()
        self._norms["gradient_norm"] = _norms(
            [torch.zeros_like(each) if each.grad is None else each.grad.to_dense() for each in weights]
        )

    def after(self) -> None:
        """Take in the weights after the step."""
        moved = [each.detach() - before for each, before in zip(self._weights.values(), self._before, strict=True)]
        pairs = zip(_norms(moved), _norms(self._before), strict=True)
        # Of weights that were 0 there is no ratio.
        self._norms["update_ratio"] = [(change / size).masked_fill(size == 0, math.nan) for change, size in pairs]
        self._before, self.wants_step = [], False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take in the activations of the first call of the model inside the block, if the epoch is measured."""
        if not self._norms:
            yield
            return
        with watched(self._model, self._looked_at) as seen:
            yield
        self._activations = seen.found

    def figures(self) -> dict[str, float]:
        """Return what was found, as numbers; what is not a number is left out."""
        return rows_of(self._of_layers() | self._activations | self._of_model(), 1)[0]

    def _of_model(self) -> Found:
        """Return the share of weights that are 0, if the epoch is measured."""
        if not self._norms or not self._all_weights:
            return {}
        zeros = torch.stack([(each.detach() == 0).sum() for each in self._all_weights]).sum().double()
        return {metric_of("", "zero_weights"): (zeros / sum(map(torch.numel, self._all_weights))).unsqueeze(0)}

    def _of_layers(self) -> Found:
        """Return the norms by layer. One with several weights (a recurrent one) has the first's."""
        found: Found = {}
        for figure, norms in self._norms.items():
            for path, norm in zip(self._weights, norms, strict=True):
                found.setdefault(metric_of(layer_of(path), figure), norm.unsqueeze(0))
        return found


def layer_of(path: str) -> str:
    """Return the path of the layer whose tensor has this path."""
    return path.rpartition(".")[0]


def weights_of(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return what health looks at, by path: of each layer the first trained tensor of two dimensions and more. Biases
    and the scales of norms begin at 0 or 1, and say little of how a layer learns."""
    found: dict[str, tuple[str, nn.Parameter]] = {}
    for path, each in model.named_parameters():
        if each.requires_grad and each.dim() > 1:
            found.setdefault(layer_of(path), (path, each))
    return dict(found.values())


def _norms(tensors: list[Tensor]) -> list[Tensor]:
    return list(torch._foreach_norm(tensors)) if tensors else []


@dataclass(frozen=True)
class UnitKind:
    """How the units of an activation are judged. A bounded one has the derivative constant + slope * y - y * y of its
    output y."""

    figure: Figure
    constant: float = 0.0
    slope: float = 0.0
    least: float = 0.0  # mean derivative, below which a unit is saturated


UNITS: Mapping[str, UnitKind] = {
    "relu": UnitKind("dead"),
    "relu6": UnitKind("dead"),
    "sigmoid": UnitKind("saturated", slope=1.0, least=_SATURATED / 4),
    "tanh": UnitKind("saturated", constant=1.0, least=_SATURATED),
}
"""By the names of activations, as modules and as functions."""


def judged(module: nn.Module) -> UnitKind | None:
    """Return how the units of a module are judged; None: it is no such activation."""
    kinds = {torch.nn.ReLU: "relu", torch.nn.ReLU6: "relu6", torch.nn.Sigmoid: "sigmoid", torch.nn.Tanh: "tanh"}
    name = kinds.get(type(module))
    return None if name is None else UNITS[name]


def shares(path: str, out: Tensor, units: Sequence[UnitKind | None]) -> Found:
    """Return the members' shares of dead and of saturated units, NaN for members whose activation has no such units.

    path: of the layer. out: activations [K, N, units, ...]; a channel is one unit, at all its places. units: how each
    member's are judged; of one alone: how all are.
    """
    found: Found = {}
    if any(each is not None and each.figure == "dead" for each in units):
        idle = (_reduced(out, "amax") <= 0).mean(1, dtype=torch.float64)
        found[metric_of(path, "dead")] = _for(idle, "dead", units)
    if any(each is not None and each.figure == "saturated" for each in units):
        of = [each or UnitKind("saturated") for each in units]
        constant, slope, least = out.new_tensor([[each.constant, each.slope, each.least] for each in of]).T.unsqueeze(2)
        derivative = constant + slope * _reduced(out, "mean") - _reduced(out.square(), "mean")
        found[metric_of(path, "saturated")] = _for(
            (derivative < least).mean(1, dtype=torch.float64), "saturated", units
        )
    return found


def _reduced(out: Tensor, how: str) -> Tensor:
    """[K, N, units, ...] -> [K, units]."""
    if out.dim() == 2:
        out = out.unsqueeze(-1)
    reduce: Callable[..., Tensor] = getattr(out, how)
    return reduce((1, *range(3, out.dim())))


def _for(share: Tensor, figure: Figure, units: Sequence[UnitKind | None]) -> Tensor:
    """Return the shares [K] of members that have such units, NaN elsewhere."""
    has = [each is not None and each.figure == figure for each in units]
    return share if all(has) else torch.where(torch.tensor(has, device=share.device), share, torch.nan)


@dataclass(frozen=True)
class LookedAt:
    """What of a model is looked at in a call of it: modules by their paths. closed: activations that are functions are
    not."""

    layers: Mapping[str, nn.Module] = field(default_factory=dict)
    activations: Mapping[str, nn.Module] = field(default_factory=dict)
    closed: bool = False

    def paths(self) -> tuple[list[str], list[str]]:
        """Return those of the layers, and of the activations."""
        return list(self.layers), list(self.activations)


def looked_at(model: nn.Module) -> LookedAt:
    """Return what of a model is looked at."""
    hidden = untouched(model)
    named = {path: module for path, module in model.named_modules() if module not in hidden}
    activations = {path: module for path, module in named.items() if is_activation(module)}
    return LookedAt(layers_of(model), activations, bool(closed_to_looks(model)))


def spread(rows: int) -> slice:
    """Return which of so many validation rows are looked at: ROWS, evenly among the first AMONG, since files are often
    sorted by class."""
    step = max(1, min(rows, AMONG) // ROWS)
    return slice(0, min(rows, step * ROWS), step)


@contextmanager
def watched(
    model: nn.Module, what: LookedAt, place: str = "", before: LayerOutputs | None = None
) -> Iterator[LayerOutputs]:
    """Take down the figures [1] of activations in some rows (`spread`) of the model's first call: of modules, and of
    functions (hpo.training.called) unless `what` is closed. Shares of units are the largest of several calls of one
    module.

    place: the model's own path in the one that it is part of. before: what that one took in up to here; what the last
    layer hands on is left open then.
    """

    def path_of(path: str) -> str:
        return ".".join(filter(None, (place, path)))

    layers = {path_of(path): module for path, module in what.layers.items()}
    seen = LayerOutputs(layers) if before is None else LayerOutputs(before.layers, before.path)
    if what.closed and not (what.activations or layers):  # so a model that is compiled as a whole gets no hook
        yield seen
        return
    calls, rows = [0], [0]

    def count(_module: nn.Module, given: tuple[Any, ...]) -> None:
        calls[0] += 1
        rows[0] = len(given[0]) if given and isinstance(given[0], torch.Tensor) and given[0].dim() else 0

    def take(path: str, its: UnitKind | None, out: Any, length: int | None = None) -> None:
        if calls[0] > 1 or not _has_units(out) or length not in (None, len(out)):
            return
        try:
            chosen = _chosen(out)
            seen.activated(chosen)
            for name, value in shares(path, chosen, [its]).items():
                seen.found[name] = torch.maximum(seen.found[name], value) if name in seen.found else value
        except Exception as fault:  # whatever the model made of its activations: the training goes on
            _tell(path, fault)

    def take_module(path: str, its: UnitKind | None, _module: nn.Module, _given: Any, out: Any) -> None:
        take(path, its, out)

    def take_call(path: str, name: str, out: Any) -> None:
        take(path, UNITS.get(name), out, rows[0])  # with other rows it is a gate of weights

    def begin(path: str, _module: nn.Module, _given: Any) -> None:
        if calls[0] == 1:
            seen.begin(path)

    def end(path: str, _module: nn.Module, _given: Any, out: Any) -> None:
        if calls[0] > 1:
            return
        out = out[0] if isinstance(out, tuple) and out else out  # beside it, states or attention
        seen.end(path, _chosen(out) if _has_units(out) else None)

    hooks = [model.register_forward_pre_hook(count)]
    for path, module in layers.items():
        hooks.append(module.register_forward_pre_hook(partial(begin, path)))
        hooks.append(module.register_forward_hook(partial(end, path)))
    for path, module in what.activations.items():
        hooks.append(module.register_forward_hook(partial(take_module, path_of(path), judged(module))))
    try:
        with called_activations(model, set(what.activations.values()), place, take_call, what.closed):
            yield seen
        if before is None:
            seen.close()
    finally:
        for hook in hooks:
            hook.remove()


def _chosen(out: Tensor) -> Tensor:
    """Return the rows of activations [N, ...] that are looked at, [1, N, ...]: a copy, since what comes next may write
    over it."""
    return out.detach()[spread(len(out))].clone().unsqueeze(0)


def _has_units(out: Any) -> bool:
    """Whether something is activations [N, units, ...] of plain numbers: no scalar, no sparse, nested or complex
    tensor."""
    return (
        isinstance(out, torch.Tensor)
        and out.dim() > 1
        and out.layout is torch.strided
        and not out.is_nested
        and out.is_floating_point()
    )


def _tell(path: str, fault: Exception) -> None:
    """Say in the worker's log, once, why an activation of this path isn't measured."""
    if (key := (path, type(fault).__name__)) not in _told:
        _told.add(key)
        print(f"health: {path} can't be measured: {key[1]}: {fault}", file=sys.stderr)


_told: set[tuple[str, str]] = set()


def of_rate(rate: float) -> dict[str, float]:
    """Return the figure of the learning rate that an epoch's last step had."""
    return {metric_of("", "learning_rate"): rate}


def rows_of(found: Mapping[str, Tensor], members: int) -> list[dict[str, float]]:
    """Return each member's figures as numbers, from tensors [K]; NaN is left out."""
    if not found:
        return [{} for _ in range(members)]
    table = torch.stack([each.double() for each in found.values()])  # one copy from the device
    rows = table.nan_to_num(math.nan, _LARGEST).clamp(max=_LARGEST).T.tolist()
    return [{name: value for name, value in zip(found, row, strict=True) if value == value} for row in rows]
