"""Modules that a stack does not know: through torch.func where it can, else alone, with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from objective.test_torch_task import Recorder
from torch import Tensor, nn

from hpo.events import Assignment, Event, Finished, Reported, Returned
from hpo.objective.torch_task import TorchObjective
from hpo.training.layers import SqueezeLast
from hpo.training.run import start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.stack.model import StackedModel, structure_of
from hpo.training.stack.slot import CannotStack
from hpo.training.task import Splits, TorchTask

from ..tiny import CPU, alone, assert_equal_to_alone, default_dtype, splits_of, task_of, trials_of
from .members import OUTLIER_PARAMS, ragged_splits

ROWS = 41


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with default_dtype(torch.float64):
        yield


Module = Callable[[Mapping[str, Any]], nn.Module]


def with_inner(inner: Module, **attributes: Any) -> TorchTask:
    """Return a task whose model has a module between two linear layers: [B, 6] -> [B, 6]."""

    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), inner(params), nn.Linear(6, 1), SqueezeLast())

    return task_of("regression", model=model, **attributes)


def members(count: int = 4) -> list[dict[str, Any]]:
    """Return trials that differ in optimizer, learning rate and loss."""
    optimizers, losses = ("adam", "sgd", "radam"), ("mse", "huber")
    return [
        {"batch_size": 16, "optimizer": optimizers[member % 3], "loss": losses[member % 2],
         "learning_rate": 0.002 * (1 + member)}
        for member in range(count)
    ]  # fmt: skip


# --- what torch.func can do ----------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A connection around two layers, statistics, a parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.GELU(), nn.Linear(8, 6))
        self.scale = nn.Parameter(torch.full((6,), 0.5))
        self.register_buffer("shift", torch.linspace(-1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.scale * self.inner(x + self.shift)
        return out


class Bins(nn.Module):
    """Looks a row of an embedding up by what is in its first column."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.table((x[..., 0].detach() * 2).long().clamp(-2, 2) + 2)
        return out


class Centers(nn.Module):
    """Puts a new tensor in the place of its buffer, where batch norm writes into it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return x - self.mean


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # Without a bias of the key: softmax takes it out again, so that its gradient is rounding and nothing else.
        self.query, self.key, self.value = nn.Linear(2, 4), nn.Linear(2, 4, bias=False), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unflatten(-1, (3, 2))
        weights = (self.query(parts) @ self.key(parts).transpose(-1, -2)).softmax(-1)
        return (weights @ self.value(parts)).flatten(-2)


def tied(params: Mapping[str, Any]) -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.Tanh(), layer)


def frozen(params: Mapping[str, Any]) -> nn.Module:
    layer = nn.Linear(6, 6)
    layer.weight.requires_grad_(False)
    return layer


MAPPED: dict[str, Module] = {
    "residual": lambda params: Residual(),
    "layer norm": lambda params: nn.LayerNorm(6),
    "group norm": lambda params: nn.GroupNorm(2, 6),
    "embedding": lambda params: Bins(),
    "assigned buffer": lambda params: Centers(),
    "attention": lambda params: Attention(),
    "softmax": lambda params: nn.Softmax(-1),
    "a slope a feature": lambda params: nn.PReLU(6),
    "shared weights": tied,
    "frozen weights": frozen,
}


@pytest.mark.parametrize("inner", MAPPED.values(), ids=MAPPED)
def test_modules_that_are_mapped(inner: Module) -> None:
    """Also while members leave."""
    found = assert_equal_to_alone(with_inner(inner), splits_of("regression", ROWS), members(), 3, {11: 1, 12: 2})
    assert all(
        event.info["cohort"] > 1 for events, _ in found.values() for event in events if isinstance(event, Finished)
    )


def test_a_model_that_is_no_sequential() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.residual, self.last = nn.Linear(4, 6), Residual(), nn.Linear(6, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(torch.relu(self.residual(self.first(x)))).squeeze(-1)
            return out

    task = task_of("regression", model=lambda self, *args: Whole())
    assert_equal_to_alone(task, splits_of("regression", ROWS), members(), 3, {11: 1, 12: 2})


@pytest.mark.parametrize("name", ["layer norm", "group norm", "frozen weights"])
def test_rowwise_modules_meet_batches_of_different_sizes(name: str) -> None:
    params = [{**each, **rule, "batch_size": 8} for each, rule in zip(members(), OUTLIER_PARAMS, strict=True)]
    assert_equal_to_alone(with_inner(MAPPED[name]), ragged_splits(), params)


# --- what it can't -------------------------------------------------------------------------------------------------


class Looks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x * 3


class LooksInEvaluation(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if not self.training and x.sum() > 0 else x * 3


class Drops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.drop(x)
        return out


class DropsByFunction(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, self.training)


class Counts(nn.Module):
    """Remembers how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x / self.calls


class Spare(nn.Module):
    """Alone, an optimizer passes over a weight without a gradient, and weight decay with it."""

    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Holds(nn.Module):
    """Has a value in an attribute."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.value
        return out


def hooked(params: Mapping[str, Any]) -> nn.Module:
    layer = nn.Linear(6, 6)
    layer.register_forward_hook(lambda module, inputs, output: output * 2)
    return layer


def hooked_gradient(params: Mapping[str, Any]) -> nn.Module:
    layer = nn.Linear(6, 6)
    layer.weight.register_hook(lambda gradient: gradient * 2)
    return layer


REFUSED: dict[str, tuple[Module, str]] = {
    "control flow on values": (lambda params: Looks(), "vmap"),
    "dropout inside": (lambda params: Drops(), "Drops drops out inside a module of its own"),
    "dropout by function": (lambda params: DropsByFunction(), "random"),
    "changes an attribute": (lambda params: Counts(), "Counts changes its attributes when it is called"),
    "a tensor in an attribute": (lambda params: Holds(torch.tensor(2.0)), "Holds.value can't be compared"),
    "a hook": (hooked, "Linear has hooks"),
    "a hook on a gradient": (hooked_gradient, "Linear has hooks"),
    "a weight without use": (lambda params: Spare(), "some of their weights have no part in the output"),
}


def cohort_of(task: TorchTask, splits: Splits, params: Sequence[Mapping[str, Any]]) -> Cohort:
    return Cohort([start(task, splits, trial, CPU) for trial in trials_of(params)])


NOT_CALLED = ("dropout inside", "a tensor in an attribute", "a hook", "a hook on a gradient")


@pytest.mark.parametrize("name", NOT_CALLED)
def test_a_cohort_refuses_what_it_sees_before_the_first_step(name: str) -> None:
    inner, reason = REFUSED[name]
    with pytest.raises(CannotStack, match=reason):
        cohort_of(with_inner(inner), splits_of("regression", ROWS), members())


@pytest.mark.parametrize("name", [name for name in REFUSED if name not in NOT_CALLED])
def test_a_cohort_refuses_the_rest_before_it_reports(name: str) -> None:
    """Torch refuses some of it in its own words, which is a RuntimeError."""
    inner, reason = REFUSED[name]
    cohort = cohort_of(with_inner(inner), splits_of("regression", ROWS), members())
    with pytest.raises((CannotStack, RuntimeError), match=reason):
        next(train_cohort(cohort))


def numbers_of(events: Sequence[Event]) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in events:
        found.setdefault(event.number, []).append(event)
    return found


def assert_alone(task: TorchTask, splits: Splits, params: Sequence[Mapping[str, Any]], reason: str) -> None:
    """Assert that the first trial trains by the plain loop and the others come back with the reason; that whoever comes
    later comes back without it; and that a trial on its own then gets the plain loop's numbers."""
    task = with_splits(task, splits)
    objective, trials = TorchObjective(task, {}), trials_of(params)
    first, second = Recorder(), Recorder()
    objective.run(Assignment(0, tuple(trials), measured=False), first)
    objective.run(Assignment(1, tuple(trials[1:]), measured=False), second)
    later = [Recorder() for _ in trials[2:]]
    for trial, channel in zip(trials[2:], later, strict=True):
        objective.run(Assignment(2, (trial,), measured=False), channel)
    returned = [event for event in first.events if isinstance(event, Returned)]
    assert [(event.number, event.at_most) for event in returned] == [(trial.number, 1) for trial in trials[1:]]
    assert all(reason in event.reason for event in returned)
    again = [event for event in second.events if isinstance(event, Returned)]
    assert again == [Returned(trial.number, 1) for trial in trials[2:]]
    for trial, channel in zip(trials, [first, second, *later], strict=True):
        found = [event for event in channel.events if not isinstance(event, Returned)]
        assert_equal_events(found, alone(task, splits, trial)[0])


def with_splits(task: TorchTask, splits: Splits) -> TorchTask:
    bound: TorchTask = type("Bound", (type(task),), {"splits": lambda self, data: splits})()
    return bound


def assert_equal_events(found: Sequence[Event], expected: Sequence[Event]) -> None:
    """Assert that events are the plain loop's, bit for bit, but for the time and for what is said of the data."""
    assert [_bare(event) for event in found] == list(expected)


def _bare(event: Event) -> Event:
    if isinstance(event, Reported):
        return replace(event, time=0.0)
    if isinstance(event, Returned):
        return event
    return replace(event, info={key: fact for key, fact in event.info.items() if key != "validation_rows"})


@pytest.mark.parametrize("name", REFUSED)
def test_refused_models_train_alone_with_the_reason_told_once(name: str) -> None:
    inner, reason = REFUSED[name]
    assert_alone(with_inner(inner), splits_of("regression", ROWS), members(), reason)


def test_what_only_measuring_shows_is_told_too() -> None:
    assert_alone(with_inner(lambda params: LooksInEvaluation()), splits_of("regression", ROWS), members(), "vmap")


def test_batches_of_different_sizes_are_told_too() -> None:
    """They come at the end of an epoch, so that a probe of a few steps does not meet them."""
    params = [{**each, **rule, "batch_size": 8} for each, rule in zip(members(), OUTLIER_PARAMS, strict=True)]
    reason = "Residual would meet batches of different sizes"
    assert_alone(with_inner(MAPPED["residual"]), ragged_splits(), params, reason)


def test_batches_that_draw_from_the_global_generator() -> None:
    def batch(self: TorchTask, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        return x if generator is None else x + torch.rand(x.shape)

    task, splits = task_of("regression", batch=batch), splits_of("regression", ROWS)
    with pytest.raises(CannotStack, match="batch draws from PyTorch's global generator"):
        next(train_cohort(cohort_of(task, splits, members())))
    assert_alone(task, splits, members(), "draws from PyTorch's global generator")


def test_attributes_that_differ_split() -> None:
    """Two and two have the same number in an attribute, and train together."""
    inner: Module = lambda params: Holds(params["momentum"])  # noqa: E731
    params = [{"batch_size": 16, "optimizer": "sgd", "momentum": value} for value in (0.5, 0.9, 0.5, 0.9)]
    task, splits = (
        with_inner(inner, splits=lambda self, data: splits_of("regression", ROWS)),
        splits_of("regression", ROWS),
    )
    with pytest.raises(CannotStack, match="differ in structure"):
        cohort_of(task, splits, params)
    channel = Recorder()
    TorchObjective(task, {}).run(Assignment(0, tuple(trials_of(params)), measured=False), channel)
    assert {e.number: e.info["cohort"] for e in channel.events if isinstance(e, Finished)} == dict.fromkeys(
        range(10, 14), 2
    )


def test_models_that_are_all_different_are_told() -> None:
    params = [{"batch_size": 16, "learning_rate": 0.01 * (1 + member)} for member in range(3)]
    task = with_inner(lambda params: Holds(params["learning_rate"]), splits=lambda self, data: splits_of("regression"))
    channel = Recorder()
    TorchObjective(task, {}).run(Assignment(0, tuple(trials_of(params)), measured=False), channel)
    returned = [event for event in channel.events if isinstance(event, Returned)]
    assert returned == [Returned(number, 1, "each has a model of another structure") for number in (11, 12)]


def test_nothing_to_train() -> None:
    with pytest.raises(CannotStack, match="nothing to train"):
        StackedModel([nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())])


def test_structures_see_settings_below_the_top() -> None:
    """A setting deep inside a module that the stack does not know."""

    def block(eps: float) -> nn.Module:
        return nn.ModuleList([nn.Sequential(nn.LayerNorm(6, eps=eps))])

    assert structure_of(block(1e-5)) == structure_of(block(1e-5)) != structure_of(block(1e-3))
