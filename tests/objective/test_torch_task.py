from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training.tiny import splits_of, task_of

from hpo.events import (
    Assignment,
    Decision,
    Event,
    Failed,
    FailureKind,
    Finished,
    Reported,
    Returned,
    Stopped,
    TrialSpec,
)
from hpo.objective.base import Objective
from hpo.objective.failures import failed
from hpo.objective.torch_task import TorchObjective
from hpo.training.stack import probe as probe_module
from hpo.training.stack.probe import Gain
from hpo.training.task import Splits, TorchTask


class Recorder:
    """A channel that keeps the events, stops the trials in `stop` and breaks after `breaks_after` events."""

    def __init__(self, stop: frozenset[int] = frozenset(), breaks_after: int | None = None) -> None:
        self.events: list[Event] = []
        self.batches: list[Sequence[Event]] = []
        self.stop = stop
        self.breaks_after = breaks_after

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        if len(self.events) == self.breaks_after:
            raise ConnectionError("the driver is gone")
        self.events += events
        self.batches += [events] if events else []
        return {event.number: Decision.STOP for event in events if event.number in self.stop}

    def attach(self, number: int, name: str, path: str) -> None:
        raise NotImplementedError


def objective() -> tuple[TorchObjective, list[Mapping[str, Any]]]:
    loads: list[Mapping[str, Any]] = []

    def splits(self: TorchTask, data: Mapping[str, Any]) -> Splits:
        loads.append(data)
        kept = splits_of("binary")
        return Splits(kept.train, kept.validation, kept.validation, notes=("two rows were dropped",))

    return TorchObjective(task_of("binary", splits=splits), {"source": "here"}), loads


def assignment(*params: Mapping[str, Any]) -> Assignment:
    return Assignment(0, tuple(TrialSpec(number, given, number, 2) for number, given in enumerate(params)))


def test_is_an_objective() -> None:
    bound: Objective = objective()[0]
    assert bound.contract is not None and "learning_rate" in bound.contract.parameters
    assert bound.check_data() == []


def test_loads_once_and_tells_what_was_done() -> None:
    bound, loads = objective()
    assert bound.prepare() == ["two rows were dropped"] == bound.prepare()
    bound.run(assignment({}, {}), Recorder())
    assert loads == [{"source": "here"}]


def counted(events: Sequence[Event]) -> dict[int, list[type]]:
    kinds: dict[int, list[type]] = {}
    for event in events:
        kinds.setdefault(event.number, []).append(type(event))
    return kinds


@pytest.mark.parametrize("measured", [True, False])
def test_every_trial_ends_once(measured: bool) -> None:
    channel = Recorder(stop=frozenset({1}))
    given = assignment({}, {}, {"optimizer": "sgd"})
    objective()[0].run(replace(given, measured=measured), channel)
    assert counted(channel.events) == {
        0: [Reported, Reported, Finished],
        1: [Reported, Stopped],
        2: [Reported, Reported, Finished],
    }


def test_a_cohort_reports_all_its_trials_at_once_and_says_its_size() -> None:
    channel = Recorder()
    objective()[0].run(replace(assignment({}, {"loss": "focal"}, {}), measured=False), channel)
    assert [[event.number for event in batch] for batch in channel.batches] == [[0, 2, 1]] * 3
    assert all(event.info["cohort"] == 3 for event in channel.events if isinstance(event, Finished))


def test_models_of_different_structure_train_in_stacks_of_their_own() -> None:
    channel = Recorder()
    wide = {"hidden_layers": [8]}
    narrow = {"hidden_layers": [4]}
    objective()[0].run(replace(assignment(wide, narrow, wide, narrow, {}), measured=False), channel)
    sizes = {event.number: event.info.get("cohort", 1) for event in channel.events if isinstance(event, Finished)}
    assert sizes == {0: 2, 2: 2, 1: 2, 3: 2, 4: 1}


class Slow(nn.Module):
    """A layer that no stack holds: it looks at its numbers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x * 3


def test_what_no_stack_holds_comes_back_with_the_reason() -> None:
    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 1), Slow(), nn.Flatten(0))

    channel = Recorder()
    task = task_of("binary", model=model, splits=lambda self, data: splits_of("binary"))
    TorchObjective(task, {}).run(assignment({}, {}, {}), channel)
    returned = [event for event in channel.events if isinstance(event, Returned)]
    assert [(event.number, event.at_most) for event in returned] == [(1, 1), (2, 1)]
    assert all(event.reason for event in returned)
    assert counted(channel.events)[0] == [Reported, Reported, Finished]


def test_a_stack_that_breaks_half_way_lets_its_trials_start_over_alone() -> None:
    calls = {"count": 0}

    def batch(self: TorchTask, x: torch.Tensor, params: Mapping[str, Any], generator: object) -> torch.Tensor:
        if generator is not None and params["learning_rate"] == 0.5:
            calls["count"] += 1
            if calls["count"] > 1:
                raise OSError("the picture is broken")
        return x.float()

    channel = Recorder()
    task = task_of("binary", batch=batch, splits=lambda self, data: splits_of("binary"))
    given = replace(assignment({}, {"learning_rate": 0.5}, {}), measured=False)
    TorchObjective(task, {}).run(given, channel)
    ends = {event.number: event for event in channel.events if not isinstance(event, Reported)}
    assert [type(ends[number]) for number in range(3)] == [Finished, Failed, Finished]
    assert "the picture is broken" in ends[1].error


def test_one_that_raises_fails_alone() -> None:
    channel = Recorder()
    objective()[0].run(assignment({"optimizer": "adam", "momentum": 0.9}, {}), channel)
    first = channel.events[0]
    assert isinstance(first, Failed) and first.error.startswith("ValueError: optimizer 'adam' takes")
    assert "\n" not in first.error and "Traceback" in first.traceback and first.kind is FailureKind.ERROR
    assert isinstance(channel.events[-1], Finished) and channel.events[-1].number == 1


@pytest.mark.parametrize("members", [1, 2])
def test_each_end_says_how_many_rows_were_measured(members: int) -> None:
    channel = Recorder()
    objective()[0].run(assignment(*[{"learning_rate": 0.1}] * members, {"optimizer": "adam", "momentum": 0.9}), channel)
    ends = [event for event in channel.events if not isinstance(event, Reported)]
    rows = len(splits_of("binary").validation)
    assert [event.info["validation_rows"] for event in ends] == [rows] * (members + 1)  # type: ignore[union-attr]


def test_an_error_is_one_short_line() -> None:
    assert failed(3, ValueError("long\n" * 500)).error == "ValueError: " + ("long " * 500)[:485] + "..."
    assert failed(3, KeyError()).error == "KeyError"


def test_a_broken_channel_ends_the_assignment() -> None:
    with pytest.raises(ConnectionError):
        objective()[0].run(assignment({}, {}), Recorder(breaks_after=2))


# --- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """No steps are taken to find out how many fit into a stack: they would be counted."""
    monkeypatch.setattr(probe_module, "probe", lambda *arguments: Gain(alone=1.0, stacked=0.1, most=128))


class Counting:
    """A task that counts the batches of each trial's epochs, by learning rate, and can break in one of them."""

    def __init__(self, breaks: Callable[[Mapping[str, Any], int], None] = lambda params, batches: None) -> None:
        """breaks: called with the hyperparameters and the number of batches so far, this one included."""
        self.trained: Counter[float] = Counter()

        def batch(task: TorchTask, x: torch.Tensor, params: Mapping[str, Any], generator: object) -> torch.Tensor:
            if generator is not None:
                self.trained[params["learning_rate"]] += 1
                breaks(params, self.trained[params["learning_rate"]])
            return x.float()

        self.objective = TorchObjective(task_of("binary", batch=batch, splits=lambda *_: splits_of("binary")), {})


def kept(folder: Path, count: int, epochs: int = 4) -> Assignment:
    """Return an assignment whose trials keep a checkpoint after each epoch, of one batch."""
    params = [{"learning_rate": 0.1 * (1 + number), "batch_size": 32} for number in range(count)]
    trials = [TrialSpec(n, each, n, epochs, checkpoint=str(folder / f"{n}.pt")) for n, each in enumerate(params)]
    return Assignment(0, tuple(trials), measured=False, checkpoint_seconds=0)


def steps(events: Sequence[Event], number: int) -> list[int]:
    return [event.step for event in events if isinstance(event, Reported) and event.number == number]


def values(events: Sequence[Event]) -> dict[tuple[int, int], Mapping[str, float]]:
    return {(event.number, event.step): event.metrics for event in events if isinstance(event, Reported)}


@pytest.mark.usefixtures("unmeasured")
def test_a_cohort_goes_on_from_its_checkpoints(tmp_path: Path) -> None:
    undisturbed, task, channel = Recorder(), Counting(), Recorder()
    Counting().objective.run(kept(tmp_path / "none", 3), undisturbed)
    with pytest.raises(ConnectionError):
        task.objective.run(kept(tmp_path, 3), Recorder(breaks_after=6))  # in the third epoch
    assert set(task.trained.values()) == {3}
    task.objective.run(kept(tmp_path, 3), channel)
    assert set(task.trained.values()) == {3 + 2}
    assert [len(batch) for batch in channel.batches] == [3] * 5
    assert values(channel.events) == values(undisturbed.events)
    assert all(event.info["cohort"] == 3 for event in channel.events if isinstance(event, Finished))


@pytest.mark.usefixtures("unmeasured")
def test_a_stack_that_breaks_half_way_lets_its_trials_go_on_alone(tmp_path: Path) -> None:
    def breaks(params: Mapping[str, Any], batches: int) -> None:
        if params["learning_rate"] == 0.2 and batches >= 3:
            raise OSError("the picture is broken")

    task, channel = Counting(breaks), Recorder()
    task.objective.run(kept(tmp_path, 3), channel)
    ends = {event.number: type(event) for event in channel.events if not isinstance(event, Reported)}
    assert ends == {0: Finished, 1: Failed, 2: Finished}
    # One more for those whose batch of the third epoch was drawn before it broke; epochs 1 and 2 only once.
    assert [task.trained[0.1 * (1 + number)] for number in range(3)] == [4 + 1, 2 + 2, 4]
    assert steps(channel.events, 0) == [1, 2, 1, 2, 3, 4]


@pytest.mark.usefixtures("unmeasured")
def test_a_stack_without_memory_comes_back_and_goes_on_in_smaller_ones(tmp_path: Path) -> None:
    together = 4

    def breaks(params: Mapping[str, Any], batches: int) -> None:
        if together == 4 and batches == 3:
            raise MemoryError

    task, channel = Counting(breaks), Recorder()
    whole = kept(tmp_path, 4)
    task.objective.run(whole, channel)
    returned = [event for event in channel.events if isinstance(event, Returned)]
    assert sorted(event.number for event in returned) == [0, 1, 2, 3] and {event.at_most for event in returned} == {2}
    together = 2
    before = dict(task.trained)
    for members in (whole.trials[:2], whole.trials[2:]):
        task.objective.run(replace(whole, trials=members), channel)
    assert {rate: count - before[rate] for rate, count in task.trained.items()} == dict.fromkeys(before, 2)
    ends = {event.number: event for event in channel.events if isinstance(event, Finished)}
    assert {number: end.info["cohort"] for number, end in ends.items()} == dict.fromkeys(range(4), 2)


def test_what_no_stack_holds_is_seen_after_reports_that_come_again(tmp_path: Path) -> None:
    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if not self.training and x.sum() > 0 else x * 3

    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 1), Looks(), nn.Flatten(0))

    task = task_of("binary", model=model, splits=lambda self, data: splits_of("binary"))
    whole = kept(tmp_path, 3)
    with pytest.raises(ConnectionError):
        TorchObjective(task, {}).run(replace(whole, trials=whole.trials[1:2]), Recorder(breaks_after=3))
    channel = Recorder()
    TorchObjective(task, {}).run(whole, channel)
    assert steps(channel.events, 1) == [1, 2, 3]  # told again, and then it comes back
    returned = [event for event in channel.events if isinstance(event, Returned)]
    assert [(event.number, event.at_most) for event in returned] == [(1, 1), (2, 1)]
    assert all("vmap" in event.reason for event in returned)
    assert steps(channel.events, 0) == [1, 2, 3, 4]
    assert isinstance(channel.events[-1], Finished) and channel.events[-1].number == 0
