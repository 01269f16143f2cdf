"""A stack whose steps find all that differs between them on the device gives the numbers that each trial gets alone.

Without CUDA a stand-in records them (taping.py); scripts/gpu-check runs all of this on a GPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.diagnosis.figures import is_health
from hpo.events import Reported
from hpo.training.run import start
from hpo.training.stack import replay as replay_module
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.stack.inputs import all_at_once
from hpo.training.stack.replay import Graphs
from hpo.training.task import Kind, TorchTask
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES

from ..tiny import DEVICE, KINDS, assert_equal_to_alone, default_dtype, splits_of, task_of, together, trials_of
from .members import (
    BASE,
    OUTLIER_PARAMS,
    ROWS,
    Augmenting,
    conv_net,
    mixture,
    ragged_splits,
    values_of,
    weighted_splits,
)
from .taping import recorder


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    with default_dtype(torch.float64):
        yield


@pytest.fixture(autouse=True)
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return how many steps found what they need on the device."""
    counts: list[int] = []
    step = Cohort.step

    def counted(self: Cohort, batch: Any, rates: Any) -> Tensor:
        counts.append(rates is None)
        return step(self, batch, rates)

    monkeypatch.setattr(Cohort, "step", counted)
    yield counts


@pytest.fixture(autouse=True)
def taped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[list[Graphs]]:
    """Record steps without CUDA, too; return what has recorded them. None may fail to."""
    found: list[Graphs] = []
    make = Graphs.__init__

    def made(self: Graphs, device: torch.device, state: Any) -> None:
        with monkeypatch.context() as patch:
            if device.type == "cpu":
                patch.setattr(replay_module, "recorder_of", lambda device: recorder(state))
            make(self, device, state)
        found.append(self)

    monkeypatch.setattr(Graphs, "__init__", made)
    yield found
    assert "not replayed" not in capsys.readouterr().err


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_optimizers(optimizer: str, seen: list[int], taped: list[Graphs]) -> None:
    """With different hyperparameters, and with the same; members of different ages in one stack."""
    takes = OPTIMIZERS[optimizer].takes
    params = [{**BASE, "optimizer": optimizer, **values_of(takes, member)} for member in range(5)]
    splits = splits_of("regression", ROWS)
    assert_equal_to_alone(task_of("regression"), splits, params, epochs=[3, 3, 3, 2, 1], replay=True)
    assert all(seen)
    assert [each.recorded for each in taped] == [1, 1, 1]  # the short batch comes once an epoch
    seen.clear()
    assert_equal_to_alone(task_of("regression"), splits, params[:1] * 2, epochs=3, replay=True)
    assert taped[-1].recorded == 2
    assert len(seen) == 6  # by Python, of 9: each of the two kinds once, and twice while it was recorded


def test_a_step_whose_health_is_measured_is_not_recorded(taped: list[Graphs]) -> None:
    """It is each epoch's first, and all others are replayed as ever, with the same numbers."""
    params = [{**BASE, "optimizer": optimizer, "activation": "relu"} for optimizer in ("adam", "sgd")]
    splits, task = splits_of("regression", 5 * ROWS), task_of("regression")
    off = trials_of(params, 3)
    on = [dataclasses.replace(trial, health=True) for trial in off]
    told = {}
    for name, trials, replay in (("off", off, True), ("on", on, True), ("as ever", on, False)):
        found = together(task, splits, trials, replay=replay)
        told[name] = [event.metrics for events, _ in found.values() for event in events if isinstance(event, Reported)]
    assert [each.recorded > 0 for each in taped] == [True, True]
    bare = [{key: value for key, value in metrics.items() if not is_health(key)} for metrics in told["on"]]
    assert bare == told["off"]
    assert all("health/0/gradient_norm" in metrics for metrics in told["on"])
    for replayed, ever in zip(told["on"], told["as ever"], strict=True):
        assert replayed == pytest.approx(ever, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_schedules(schedule: str) -> None:
    takes = SCHEDULES[schedule].takes
    params = [
        {**BASE, "optimizer": optimizer, "learning_rate": 0.05, "schedule": schedule, **values_of(takes, member)}
        for member, optimizer in enumerate(["sgd", "adam", "sgd", "nadam", "adamw"])
    ]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=3, replay=True)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_members_that_rest_at_an_epochs_end(optimizer: str, seen: list[int]) -> None:
    """The batches in which they do are taken as ever; all numbers are handed over there and back."""
    takes = OPTIMIZERS[optimizer].takes
    params = [
        {**each, "batch_size": 8, "hidden_layers": [5], "batch_norm": True, "optimizer": optimizer,
         "schedule": "cosine", **values_of(takes, member)}
        for member, each in enumerate(OUTLIER_PARAMS)
    ]  # fmt: skip
    assert_equal_to_alone(task_of("regression"), ragged_splits(), params, epochs=3, replay=True)
    assert 0 < sum(seen) < len(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_mixtures(kind: Kind) -> None:
    rng = random.Random(f"replay {kind}")
    params = [{**mixture(kind, rng, batch_norm=True), "dropout": 0.0} for _ in range(20)]
    splits = ragged_splits(76) if kind == "regression" else splits_of(kind, ROWS)
    stops = {13: 1, 17: 2}
    assert_equal_to_alone(task_of(kind), splits, params, [rng.choice([2, 3, 4]) for _ in params], stops, replay=True)


def test_weights_of_rows(seen: list[int]) -> None:
    """Also those that change from epoch to epoch."""
    params = [{**BASE, "curriculum": "easy_first", "curriculum_epochs": 3}, {**BASE, "suspect_labels": "downweight"}]
    assert_equal_to_alone(task_of("binary"), weighted_splits("binary"), params, epochs=4, replay=True)
    assert all(seen)


def test_more_steps_than_between_two_looks(seen: list[int]) -> None:
    """One diverges: that is seen where the plain loop sees it, and hurts nobody."""
    params = [{**BASE, "batch_size": 1, "optimizer": "sgd", "learning_rate": rate} for rate in (0.01, 1e200, 0.02)]
    found = assert_equal_to_alone(task_of("regression"), splits_of("regression", 120), params, replay=True)
    assert [type(events[-1]).__name__ for events, _ in found.values()] == ["Finished", "Diverged", "Finished"]
    assert all(seen)


def test_dropout_and_noise_are_drawn_as_ever(seen: list[int]) -> None:
    params = [{**BASE, "dropout": rate} for rate in (0.0, 0.3)]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, replay=True)
    assert_equal_to_alone(Augmenting(), splits_of("regression", ROWS), params, replay=True)
    assert not any(seen)


def test_members_are_laid_out_again_when_one_leaves(seen: list[int]) -> None:
    """Once the only one with dropout has gone, the others' steps need nothing more from Python."""
    params = [{**BASE, "dropout": 0.3}, *[{**BASE, "optimizer": name} for name in ("sgd", "adam", "radam")]]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, [1, 3, 3, 3], replay=True)
    assert (seen[:3], set(seen[3:])) == ([0, 0, 0], {1})


class Pictures(TorchTask):
    """Has a `batch` of its own that reads a hyperparameter and, for some members, the batch as a whole."""

    kind: Kind = "multiclass"

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return conv_net(params, features, outputs)

    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        return x - x.mean(0) * params["dropout"] if params["dropout"] else x * 2


def test_a_batch_of_the_tasks_own(seen: list[int]) -> None:
    splits = splits_of("multiclass", ROWS, shape=(2, 8, 8))
    params = [{"batch_size": 16, "dropout": 0.0, "learning_rate": rate} for rate in (0.01, 0.02, 0.03)]
    assert_equal_to_alone(Pictures(), splits, params, replay=True)
    assert all(seen)


def test_members_are_given_rows_at_once_only_where_that_is_the_same() -> None:
    splits = splits_of("multiclass", ROWS, shape=(2, 8, 8))

    def at_once(task: TorchTask, *rates: float) -> Tensor | None:
        trials = trials_of([{"dropout": rate} for rate in rates])
        runs = [start(task, splits, trial, DEVICE) for trial in trials]
        x = runs[0].train.x[:8].view(2, 4, 2, 8, 8)
        found = all_at_once(runs, x, training=True)
        if found is not None:
            each = [task.batch(part, run.params, run.streams.noise) for part, run in zip(x, runs, strict=True)]
            assert torch.allclose(found, torch.stack(each), rtol=1e-12)
        return found

    assert at_once(Pictures(), 0.3, 0.3) is not None  # by torch.func: each member's mean is its own
    assert at_once(Pictures(), 0.3, 0.4) is None

    class Drawing(Pictures):
        def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
            return x + torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device)

    class Global(Pictures):
        def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
            return x + torch.rand(1, device=x.device)

    class Branching(Pictures):
        def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
            return x if x.sum() > 0 else -x

    class Whole(Pictures):
        def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
            return x * len(dict(params))

    for task in (Drawing(), Global(), Branching(), Whole()):
        before = torch.get_rng_state()
        assert at_once(task, 0.0, 0.0) is None
        assert torch.equal(before, torch.get_rng_state())


def by_record(monkeypatch: pytest.MonkeyPatch, record: Any) -> None:
    """Train a stack whose steps are recorded by this function; assert that the trials get their numbers."""
    monkeypatch.undo()
    monkeypatch.setattr(replay_module, "recorder_of", lambda device: record)
    params = [{**BASE, "optimizer": name, "learning_rate": 0.05} for name in ("sgd", "adam", "nadam")]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=3, replay=True)


def test_what_can_not_be_recorded_is_done_step_by_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(function: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    by_record(monkeypatch, refuses)
    assert capsys.readouterr().err.count("not replayed: RuntimeError: operation not permitted") == 1


@pytest.mark.parametrize("times", [0, 2])
def test_a_replay_that_gives_other_numbers_is_not_used(
    times: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def record(function: Any) -> Any:
        def replay() -> None:
            for _ in range(times):
                function()

        return replay

    by_record(monkeypatch, record)
    assert capsys.readouterr().err.count("not replayed") == 1


def test_a_checkpoint_is_what_it_is_without(seen: list[int]) -> None:
    """State and rates come back from the timetable at each epoch's end."""
    params = [
        {**BASE, "optimizer": name, "schedule": "cosine", **values_of(OPTIMIZERS[name].takes, member)}
        for member, name in enumerate(OPTIMIZERS.names())
    ]
    states = []
    for replay in (False, True):
        cohort = Cohort(
            [start(task_of("binary"), splits_of("binary", ROWS), t, DEVICE) for t in trials_of(params)], replay=replay
        )
        training = train_cohort(cohort, clock=lambda: 0.0)
        assert all(isinstance(event, Reported) for event in next(training))
        states.append({run.trial.number: cohort.state_of(run) for run in cohort.runs})
    assert set(seen) == {0, 1}
    for number, state in states[0].items():
        mine, theirs = states[1][number]["optimizer"], state["optimizer"]
        assert mine["param_groups"] == theirs["param_groups"]
        assert mine["state"].keys() == theirs["state"].keys()
        for index, entries in theirs["state"].items():
            for name, tensor in entries.items():
                tolerance = 1e-6 if name == "mu_product" else 1e-11
                assert torch.allclose(mine["state"][index][name], tensor, rtol=tolerance, atol=tolerance), name


def test_graphs_are_recorded_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only there do they share memory; and each stream that a product was recorded on keeps memory for good."""

    class Stream:
        def __init__(self, device: torch.device | None = None) -> None: ...

        def wait_stream(self, other: Any) -> None: ...

    entered: list[Any] = []

    class Graph:
        def capture_begin(self, pool: Any) -> None:
            recorded.append((pool, entered[-1]))

        def capture_end(self) -> None: ...

        def replay(self) -> None: ...

    def enter(stream: Any) -> Any:
        entered.append(stream)
        return contextlib.nullcontext()

    stand_ins = {"Stream": Stream, "CUDAGraph": Graph, "stream": enter, "graph_pool_handle": object}
    for name, stand_in in {**stand_ins, "current_stream": lambda device: Stream()}.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(replay_module, "_stream_of", functools.cache(replay_module._stream_of.__wrapped__))
    recorded: list[tuple[Any, Any]] = []
    for _ in range(2):  # stacks
        record = replay_module.recorder_of(torch.device("cuda", 0))
        assert record is not None
        for _ in range(2):
            record(lambda: None)
    pools, streams = zip(*recorded, strict=True)
    assert len(set(streams)) == 1
    assert pools[0] is pools[1] and pools[2] is pools[3]
