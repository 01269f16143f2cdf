"""Trials of several members on a worker: in a stack, one after the other, and when memory or a stack fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from training.tiny import splits_of, task_of

from hpo.events import Assignment, Event, Finished, Reported, Returned, TrialSpec
from hpo.objective.torch_task import TorchObjective
from hpo.training.stack import probe as probe_module
from hpo.training.stack.cohort import Cohort
from objective.test_torch_task import Recorder

PARAMS: dict[str, Any] = {"hidden_layers": [6], "batch_size": 8}


def objective(**attributes: Any) -> TorchObjective:
    return TorchObjective(task_of("binary", splits=lambda *_: splits_of("binary"), **attributes), {}, repeats=3)


def assignment(count: int, **keys: Any) -> Assignment:
    trials = tuple(TrialSpec(number, {**PARAMS, "learning_rate": 0.01 + number}, number, 2) for number in range(count))
    return replace(Assignment(0, trials, measured=False), **keys)


def run(given: Assignment, bound: TorchObjective | None = None) -> Recorder:
    channel = Recorder()
    (bound or objective()).run(given, channel)
    return channel


def metrics(events: Sequence[Event], number: int) -> list[Mapping[str, float]]:
    return [event.metrics for event in events if isinstance(event, Reported) and event.number == number]


def ends(channel: Recorder) -> dict[int, Mapping[str, Any]]:
    return {event.number: event.info for event in channel.events if isinstance(event, Finished)}


def assert_same_metrics(one: Recorder, other: Recorder, number: int) -> None:
    found, expected = metrics(one.events, number), metrics(other.events, number)
    assert len(found) == len(expected) == 2
    for each, its in zip(found, expected, strict=True):
        assert each == pytest.approx(its, abs=1e-5)


def test_members_of_all_trials_are_one_stack() -> None:
    alone, stacked = run(assignment(1, stack=False)), run(assignment(2))
    assert ends(stacked) == {
        number: {"cohort": 2, "stack": [0, 1], "validation_rows": 20, "members": 3} for number in (0, 1)
    }
    assert ends(alone) == {0: {"validation_rows": 20, "members": 3}}
    assert_same_metrics(stacked, alone, 0)
    assert [[event.number for event in batch] for batch in stacked.batches] == [[0, 1]] * 3
    by_itself = run(assignment(1))  # its own members are a stack
    assert ends(by_itself)[0]["stack"] == [0]
    assert_same_metrics(by_itself, alone, 0)


def test_a_stack_has_whole_trials_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module.Gain, "pays", True)

    def most(members: int) -> Recorder:
        monkeypatch.setattr("hpo.training.stack.probe.probe", lambda *_: probe_module.Gain(1.0, 0.1, members))
        return run(assignment(4))

    fitting = most(7)
    assert ends(fitting).keys() == {0, 1} and ends(fitting)[0]["cohort"] == 2
    assert [event for event in fitting.events if isinstance(event, Returned)] == [Returned(2, 2), Returned(3, 2)]
    too_large = most(2)  # for the members of one trial: they train one after the other
    assert ends(too_large) == {0: {"validation_rows": 20, "members": 3}}
    assert [event for event in too_large.events if isinstance(event, Returned)] == [Returned(n, 1) for n in (1, 2, 3)]


def test_a_stack_that_finds_too_little_memory_splits_or_trains_its_only_trial_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(self: Cohort) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Cohort, "train_epoch", breaks)
    split = run(assignment(4))
    assert split.events == [Returned(number, 2) for number in range(4)]
    bound = objective()
    apart = run(assignment(1), bound)
    assert ends(apart) == {0: {"validation_rows": 20, "members": 3}}
    assert_same_metrics(apart, run(assignment(1, stack=False)), 0)
    monkeypatch.undo()
    assert ends(run(assignment(1), bound)) == ends(apart)  # it is not tried again


def test_what_no_stack_holds_trains_its_members_one_after_the_other() -> None:
    class Looking(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else 2 * x

    def model(self: Any, params: Any, features: Any, outputs: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(4, 1), Looking(), torch.nn.Flatten(0))

    channel = run(assignment(2), objective(model=model))
    assert ends(channel) == {0: {"validation_rows": 20, "members": 3}}
    (returned,) = [event for event in channel.events if isinstance(event, Returned)]
    assert (returned.number, returned.at_most) == (1, 1) and returned.reason
    assert len(metrics(channel.events, 0)) == 2 and "val_loss_sd" in metrics(channel.events, 0)[0]
