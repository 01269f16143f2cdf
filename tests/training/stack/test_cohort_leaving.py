"""Members leave a cohort, told to or because they diverge: the others' numbers stay what they are."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from hpo.events import Diverged, Finished, Stopped
from hpo.spec.contract import Known
from hpo.training.layers import SqueezeLast
from hpo.training.run import start
from hpo.training.stack.cohort import Cohort
from hpo.training.task import Kind, Splits, TorchTask
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS

from ..tiny import (
    CPU,
    KINDS,
    History,
    alone,
    assert_equal_to_alone,
    assert_same,
    default_dtype,
    splits_of,
    task_of,
    together,
    trials_of,
)
from .members import OUTLIER_PARAMS, conv1d_net, conv3d_net, conv_net, mixture, ragged_splits, values_of

ROWS, BASE = 41, {"hidden_layers": [6], "batch_size": 16}
WILD = {"learning_rate": 1e37}  # float32 holds the first step, and nothing after it


@pytest.fixture
def float64() -> Iterator[None]:
    with default_dtype(torch.float64):
        yield


# --- told to stop: what stays is equal to the plain loop -----------------------------------------------------------


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_an_optimizers_state_stays_with_its_member(optimizer: str) -> None:
    """Activations alternate, so that the members of an optimizer don't lie side by side."""
    kinds = [optimizer, "sgd", optimizer, optimizer, "adamw", optimizer]
    params = [
        {**BASE, "optimizer": kind, "activation": ["relu", "tanh"][member % 2],
         **values_of(OPTIMIZERS[kind].takes, member)}
        for member, kind in enumerate(kinds)
    ]  # fmt: skip
    assert_equal_to_alone(task_of("regression"), splits_of("regression", ROWS), params, 4, {10: 1, 12: 2, 14: 2})


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("stops", [{10: 1, 13: 1}, {10: 1, 13: 2}, {11: 1, 12: 2}], ids=str)
def test_layers_with_state(stops: Mapping[int, int]) -> None:
    """Members 10 and 13 are the only ones with a PReLU, so that its slopes are nobody's in the end."""
    activations = ["prelu", "relu", "tanh", "prelu", "gelu"]
    optimizers = [
        {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "adam"}, {"optimizer": "nadam"}, {"optimizer": "radam"},
        {"optimizer": "rmsprop", "momentum": 0.5},
    ]  # fmt: skip
    params = [
        {"batch_size": 16, "hidden_layers": [6, 5], "batch_norm": True, "dropout": 0.1 * member, "learning_rate": 0.01,
         "activation": activation, "loss": LOSSES["multiclass"].names()[member % 3], **optimizer}
        for member, (activation, optimizer) in enumerate(zip(activations, optimizers, strict=True))
    ]  # fmt: skip
    assert_equal_to_alone(task_of("multiclass"), splits_of("multiclass", ROWS), params, 4, stops)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_member_with_a_loss_leaves(kind: Kind) -> None:
    names = LOSSES[kind].names()
    params = [{**BASE, "loss": names[member % len(names)], "learning_rate": 0.01} for member in range(len(names) + 2)]
    stops = {10 + member: 1 + member % 2 for member in range(2, len(names))}
    assert_equal_to_alone(task_of(kind), splits_of(kind, ROWS), params, 3, stops)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("stops", [{10: 1}, {11: 1}, {10: 1, 13: 2}, {11: 1, 12: 1, 13: 1}], ids=str)
@pytest.mark.parametrize("batch_norm", [False, True])
def test_members_with_different_numbers_of_rows(batch_norm: bool, stops: Mapping[int, int]) -> None:
    """Member 10 has the most rows, so without it an epoch has fewer steps; 11 has the fewest."""
    params = [
        {**each, "batch_size": 8, "hidden_layers": [5], "batch_norm": batch_norm, "dropout": 0.2 * (member % 2),
         "optimizer": ["adam", "nadam"][member % 2], "learning_rate": 0.01}
        for member, each in enumerate(OUTLIER_PARAMS)
    ]  # fmt: skip
    assert_equal_to_alone(task_of("regression"), ragged_splits(), params, 3, stops)


@pytest.mark.usefixtures("float64")
def test_members_with_different_epochs() -> None:
    params = [{**BASE, "schedule": "cosine", "learning_rate": 0.01 * (1 + member)} for member in range(5)]
    found = assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, [1, 4, 2, 3, 4], {14: 2, 13: 3})
    assert [len(events) - 1 for events, _ in found.values()] == [1, 4, 2, 3, 2]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("stops", "sizes"),
    [
        ({11: 1, 12: 1}, [2, 4, 4, 2]),
        ({10: 1, 11: 1, 13: 1}, [4, 4, 1, 4]),
        ({10: 2, 11: 2, 12: 2, 13: 2}, [4, 4, 4, 4]),
        ({10: 1, 11: 2}, [4, 3, 2, 2]),
    ],
    ids=["several", "all but one", "all", "one by one"],
)
def test_several_leave(stops: Mapping[int, int], sizes: Sequence[int]) -> None:
    """An end says how many trained together in its last epoch."""
    params = [{**BASE, "dropout": 0.2, "learning_rate": 0.01 * (1 + member)} for member in range(4)]
    found = assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, 3, stops)
    ends = [found[number][0][-1] for number in range(10, 14)]
    assert [isinstance(end, Stopped) for end in ends] == [number in stops for number in range(10, 14)]
    assert [end.info["cohort"] for end in ends] == sizes


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_mixtures(kind: Kind, batch_norm: bool) -> None:
    rng = random.Random(f"leaving {kind} {batch_norm}")
    params = [mixture(kind, rng, batch_norm) for _ in range(10)]
    splits = ragged_splits(76) if kind == "regression" else splits_of(kind, ROWS)
    epochs = [rng.choice([1, 2, 4]) for _ in params]
    stops = {10 + member: rng.choice([1, 2, 3]) for member in range(10) if rng.random() < 0.6}
    assert_equal_to_alone(task_of(kind), splits, params, epochs, stops)


# --- diverged: nobody else's numbers change by a bit ---------------------------------------------------------------


def assert_touches_nobody(
    task: TorchTask,
    splits: Splits,
    params: Sequence[Mapping[str, Any]],
    harm: Mapping[str, Any] = WILD,
    epochs: int = 3,
    member: int = 1,
) -> Diverged:
    """Assert that the others get the same bits, whether `member` diverges by `harm` or is well and told to stop then.

    Members' learning rates must differ from the start: a number that all share is applied by another function, whose
    rounding is another.
    """
    well = trials_of(params, epochs)
    number = well[member].number
    ill = [replace(trial, params={**trial.params, **harm}) if trial.number == number else trial for trial in well]
    found = together(task, splits, ill)
    end = found[number][0][-1]
    assert isinstance(end, Diverged)
    assert replace(end, info={}) == alone(task, splits, ill[member])[0][-1]
    expected = together(task, splits, well, {number: end.epoch})
    assert isinstance(expected[number][0][-1], Stopped)
    for trial in well:
        if trial.number != number:
            assert isinstance(expected[trial.number][0][-1], Finished)
            assert_same(found[trial.number], expected[trial.number], 0)
    return end


def members(count: int, **shared: Any) -> list[dict[str, Any]]:
    return [{**BASE, "learning_rate": 0.002 * (1 + member), **shared} for member in range(count)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_optimizers(optimizer: str) -> None:
    params = [{**BASE, "optimizer": optimizer, **values_of(OPTIMIZERS[optimizer].takes, member)} for member in range(4)]
    assert_touches_nobody(task_of("regression"), splits_of("regression", ROWS), [*params, *members(2)])


@pytest.mark.parametrize(("kind", "loss"), [(kind, loss) for kind in KINDS for loss in LOSSES[kind].names()])
def test_losses(kind: Kind, loss: str) -> None:
    other = next(name for name in LOSSES[kind].names() if name != loss)
    params = [
        {**each, "loss": loss, **values_of(LOSSES[kind][loss].takes, member)} for member, each in enumerate(members(4))
    ]
    params += members(2, loss=other)
    assert_touches_nobody(task_of(kind), splits_of(kind, ROWS), params)
    for name in set(LOSSES[kind][loss].takes) - {"output_activation"}:  # which is no number
        assert_touches_nobody(task_of(kind), splits_of(kind, ROWS), params, {name: math.nan})


@pytest.mark.parametrize("activation", ACTIVATIONS.names())
def test_activations(activation: str) -> None:
    others = [name for name in ("relu", "prelu", "tanh") if name != activation]
    names = [activation, activation, activation, *others]
    params = [{**each, "activation": name} for each, name in zip(members(len(names)), names, strict=True)]
    assert_touches_nobody(task_of("regression"), splits_of("regression", ROWS), params)


@pytest.mark.parametrize(
    "shared",
    [
        {"batch_norm": True},
        {"dropout": 0.4},
        {"grad_clip_norm": 0.1, "optimizer": "sgd"},
        {"grad_clip_value": 0.01},
        {"batch_norm": True, "dropout": 0.2, "grad_clip_norm": 1.0, "hidden_layers": [6, 5, 4]},
    ],
    ids=lambda shared: "-".join(shared),
)
def test_layers_and_clipping(shared: Mapping[str, Any]) -> None:
    assert_touches_nobody(task_of("regression"), splits_of("regression", ROWS), members(4, **shared))


@pytest.mark.parametrize(
    ("net", "shape"), [(conv_net, (2, 8, 8)), (conv1d_net, (2, 8)), (conv3d_net, (1, 3, 3, 3))], ids=["2d", "1d", "3d"]
)
def test_convolutions(net: Any, shape: tuple[int, ...]) -> None:
    """A stack is one grouped convolution, in which members are groups side by side."""
    task = task_of("multiclass", model=lambda self, *args: net(*args))
    params = [{"batch_size": 16, "dropout": 0.2, "learning_rate": 0.01 * (1 + member)} for member in range(4)]
    assert_touches_nobody(task, splits_of("multiclass", ROWS, shape=shape), params)


class Residual(nn.Module):
    """Goes through torch.func; with statistics of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear, self.scale = nn.BatchNorm1d(6), nn.Linear(6, 6), nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.scale * torch.tanh(self.linear(self.norm(x)))
        return out


@pytest.mark.parametrize("inner", [Residual, lambda: nn.LayerNorm(6)], ids=["residual", "layer norm"])
def test_mapped_modules(inner: Any) -> None:
    def model(self: TorchTask, *args: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), inner(), nn.Linear(6, 1), SqueezeLast())

    params = [{"batch_size": 16, "learning_rate": 0.002 * (1 + member)} for member in range(4)]
    assert_touches_nobody(task_of("regression", model=model), splits_of("regression", ROWS), params)


@pytest.mark.parametrize("member", [0, 1, 3])
def test_members_with_different_rows_where_one_diverges(member: int) -> None:
    params = [
        {**each, **OUTLIER_PARAMS[place], "batch_size": 8, "batch_norm": True, "dropout": 0.1}
        for place, each in enumerate(members(4))
    ]
    assert_touches_nobody(task_of("regression"), ragged_splits(), params, member=member)


class Scaled(TorchTask):
    """Inputs are scaled by a number of the trial's own."""

    kind: Kind = "regression"
    parameters: ClassVar[Mapping[str, Known | None]] = {"scale": Known("float", 1.0, "of the inputs", mixes=True)}

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(4, 5), nn.BatchNorm1d(5), nn.PReLU(), nn.Dropout(0.2), nn.Linear(5, 1), SqueezeLast()
        )

    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        return x * params["scale"]


@pytest.mark.parametrize(("scale", "member"), [(math.nan, 0), (math.nan, 3), (math.inf, 1), (1e38, 1)])
def test_inputs_that_are_not_finite(scale: float, member: int) -> None:
    params = [{"batch_size": 16, "learning_rate": 0.002 * (1 + member)} for member in range(4)]
    assert_touches_nobody(Scaled(), splits_of("regression", ROWS), params, {"scale": scale}, member=member)


# --- when divergence is seen ---------------------------------------------------------------------------------------

LATE = {"schedule": "step", "step_size": 1, "step_gamma": 1.0}


@pytest.mark.parametrize("epoch", [2, 3])
def test_divergence_in_a_later_epoch(epoch: int) -> None:
    params = members(4, **LATE, optimizer="adam")
    harm = {"step_size": epoch - 1, "step_gamma": 1e37}
    end = assert_touches_nobody(task_of("regression"), splits_of("regression", ROWS), params, harm, epochs=4)
    assert end.epoch == epoch


def diverged(found: Mapping[int, History]) -> dict[int, int]:
    """Return the epoch in which each trial diverged that did."""
    return {n: events[-1].epoch for n, (events, _) in found.items() if isinstance(events[-1], Diverged)}


def test_each_diverges_in_the_epoch_in_which_it_does_alone() -> None:
    params = members(5, **LATE)
    for member, size in ((0, 1), (1, 2), (4, 2)):
        params[member] |= {"step_size": size, "step_gamma": 1e37}
    params[2] |= WILD
    found = assert_equal_to_alone(task_of("regression"), splits_of("regression", ROWS), params, 4, {13: 3})
    assert diverged(found) == {10: 2, 11: 3, 12: 1, 14: 3}


@pytest.mark.parametrize("healthy", [0, 1])
def test_all_diverge_or_one_is_left(healthy: int) -> None:
    params = members(4)
    for each in params[healthy:]:
        each |= WILD
    found = assert_equal_to_alone(task_of("regression"), splits_of("regression", ROWS), params)
    assert diverged(found) == {10 + member: 1 for member in range(healthy, 4)}


def test_divergence_that_only_validation_sees() -> None:
    """One step an epoch: its outputs are of the weights before it."""
    params = members(3, batch_size=ROWS)
    params[1] |= WILD
    found = assert_equal_to_alone(task_of("regression"), splits_of("regression", ROWS), params)
    assert diverged(found) == {11: 1}


# --- what is left of a stack ---------------------------------------------------------------------------------------


def bytes_held(cohort: Cohort) -> int:
    """Return the bytes of all tensors that a cohort holds between two epochs, shared ones counted once."""
    storages: dict[int, int] = {}

    def visit(value: object) -> None:
        if isinstance(value, Tensor):
            storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, list | tuple):
            for each in value:
                visit(each)
        elif isinstance(value, dict):
            visit(list(value.values()))
        elif type(value).__module__.startswith(("hpo.training.stack", "hpo.training.layers")):
            visit(list(vars(value).values()))

    visit([cohort.model, cohort.optimizer, cohort.loss])
    return sum(storages.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_those_who_leave_take_their_memory_along(optimizer: str) -> None:
    params = [
        {**each, **values_of(OPTIMIZERS[optimizer].takes, member), "optimizer": optimizer, "dropout": 0.1 * member,
         "batch_norm": True, "activation": "prelu", "loss": "focal", "focal_gamma": 1.0 + member,
         "grad_clip_norm": 1.0 + member}
        for member, each in enumerate(members(6))
    ]  # fmt: skip
    task, splits = task_of("binary"), splits_of("binary", ROWS)
    cohort = Cohort([start(task, splits, trial, CPU) for trial in trials_of(params)])
    for _ in range(2):
        cohort.train_epoch()
    before = bytes_held(cohort)
    cohort.leave({10, 12, 13, 15})
    assert len(cohort) == len(cohort.model) == len(cohort.model.flat) == 2
    cohort.train_epoch()
    assert bytes_held(cohort) * 6 == before * 2
