"""What a worker measures before it stacks: how many members fit into its memory, and whether a stack pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest
import torch
from objective.test_torch_task import Recorder

from hpo.events import Assignment, Finished, Returned, TrialSpec
from hpo.objective.torch_task import TorchObjective
from hpo.training.run import Run, start
from hpo.training.stack import probe as probe_module
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.stack.probe import probe
from hpo.training.task import Splits, TorchTask

from ..tiny import CPU, alone, assert_same, default_dtype, splits_of, task_of, trials_of

ROWS = 41


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with default_dtype(torch.float64):
        yield


def bound() -> TorchTask:
    return task_of("binary", splits=lambda self, data: splits_of("binary", ROWS))


def sized(channel: Recorder) -> dict[int, int]:
    return {event.number: event.info.get("cohort", 1) for event in channel.events if isinstance(event, Finished)}


def run(objective: TorchObjective, count: int, measured: bool) -> Recorder:
    channel = Recorder()
    params = [{"hidden_layers": [6], "learning_rate": 0.01 * (1 + member)} for member in range(count)]
    objective.run(Assignment(0, tuple(trials_of(params)), measured=measured), channel)
    return channel


def beginnings(splits: Splits, trials: Sequence[TrialSpec]) -> list[Callable[[], Run]]:
    return [partial(start, bound(), splits, trial, CPU) for trial in trials]


def test_most_follows_from_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(free: int, rows: int, width: int) -> int:
        monkeypatch.setattr(probe_module, "free_memory", lambda device: free)
        trials = trials_of([{"hidden_layers": [width], "batch_size": rows}] * 3)
        return probe(beginnings(splits_of("binary", ROWS), trials), CPU).most

    assert most(1, 16, 6) == 1
    assert most(2_000_000, 16, 6) in (2 * most(1_000_000, 16, 6), 2 * most(1_000_000, 16, 6) + 1)
    assert most(1_000_000, 16, 6) > most(1_000_000, 16, 60) > most(1_000_000, 32, 60) > 1
    # At least the weights, their gradients and Adam's two moments, in float64.
    assert most(1_000_000, 2, 60) < 1_000_000 / (4 * 8 * (4 * 60 + 60 + 60 + 1))


def test_a_stack_holds_what_memory_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "free_memory", lambda device: 1_000_000)
    trials = trials_of([{"hidden_layers": [6]}] * 5)
    each = 1_000_000 // probe(beginnings(splits_of("binary", ROWS), trials), CPU).most
    monkeypatch.setattr(probe_module, "free_memory", lambda device: int(2.5 * each))
    objective = TorchObjective(bound(), {})
    channel = run(objective, 5, measured=False)
    assert sized(channel) == {10: 2, 11: 2}
    assert [event for event in channel.events if isinstance(event, Returned)] == [Returned(n, 2) for n in (12, 13, 14)]
    monkeypatch.setattr(probe_module, "free_memory", lambda device: 10**9)
    assert sized(run(objective, 5, measured=False)) == {10: 2, 11: 2}  # measured once


@pytest.mark.parametrize(
    ("worth", "measured", "together"), [(0.0, True, 1), (0.0, False, 3), (math.inf, True, 3), (math.inf, False, 3)]
)
def test_a_stack_that_is_not_faster_is_taken_only_if_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch, worth: float, measured: bool, together: int
) -> None:
    monkeypatch.setattr(probe_module, "_WORTH", worth)
    channel = run(TorchObjective(bound(), {}), 3, measured)
    assert sized(channel) == {10 + member: together for member in range(together)}
    returned = [event for event in channel.events if isinstance(event, Returned)]
    assert returned == [Returned(number, 1) for number in range(10 + together, 13)]


def test_a_probe_leaves_no_trace() -> None:
    """The numbers are those of a cohort that was not measured."""
    splits, trials = splits_of("binary", ROWS), trials_of([{"hidden_layers": [6], "dropout": 0.2}] * 3)
    runs = [start(bound(), splits, trial, CPU) for trial in trials]
    probe(beginnings(splits, trials), CPU)
    for _ in train_cohort(Cohort(runs)):
        pass
    for one, trial in zip(runs, trials, strict=True):
        assert_same(([], one.model.state_dict()), ([], alone(bound(), splits, trial)[1]), 1e-10)
