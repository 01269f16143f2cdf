"""The order of events, the same for one trial and for several: trained by a trainee whose metrics are made up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo.events import Decision, Diverged, Finished, Paused, Reported, Stopped, TrialSpec
from hpo.training.checkpoint import Keeper
from hpo.training.epochs import EpochEvent, Measured, train_epochs
from hpo.training.run import Run, start

from .tiny import CPU, driven, splits_of, task_of

TASK, SPLITS = task_of("binary"), splits_of("binary")
CONTINUE, STOP, PAUSE = Decision.CONTINUE, Decision.STOP, Decision.PAUSE


class Canned:
    """Trains nothing. Validation loss of a run: its number and its epoch; not finite in the epochs given."""

    def __init__(self, runs: Sequence[Run], breaks: Mapping[int, int] | None = None) -> None:
        self.runs = list(runs)
        self.breaks = breaks or {}
        self.validated = 0

    @property
    def info(self) -> Mapping[str, Any]:
        return {"together": len(self.runs)}

    def train_epoch(self) -> Measured:
        return [None if self.breaks.get(run.trial.number) == run.completed + 1 else {} for run in self.runs]

    def validate(self) -> Measured:
        self.validated += 1
        return [{"val_loss": 10.0 * run.trial.number + run.completed + 1} for run in self.runs]

    def examined(self) -> list[Mapping[str, float]]:
        return [{} for _ in self.runs]

    def state_of(self, run: Run) -> Mapping[str, Any]:
        return {"model": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}

    def leave(self, numbers: Collection[int]) -> None:
        self.runs = [run for run in self.runs if run.trial.number not in numbers]


def run_of(number: int, epochs: int, completed: int = 0, path: Path | None = None) -> Run:
    trial = TrialSpec(number, {}, number, epochs, checkpoint=str(path or ""))
    run = start(TASK, SPLITS, trial, CPU)
    for epoch in range(1, completed + 1):
        run.record(reported(number, epoch))
    return run


def reported(number: int, epoch: int) -> Reported:
    return Reported(number, epoch, {"val_loss": 10.0 * number + epoch}, 0.0)


def play(
    trainee: Canned, decisions: Mapping[tuple[int, int], Decision] | None = None, keeper: Keeper | None = None
) -> list[list[EpochEvent]]:
    """Return all lists of events. decisions: by number and step; else CONTINUE."""

    def decide(events: Sequence[EpochEvent]) -> dict[int, Decision]:
        reports = [event for event in events if isinstance(event, Reported)]
        return {each.number: (decisions or {}).get((each.number, each.step), CONTINUE) for each in reports}

    return [list(events) for events in driven(train_epochs(trainee, lambda: 0.0, keeper), decide)]


def test_reports_then_decisions_then_ends() -> None:
    trainee = Canned([run_of(1, 3), run_of(2, 2), run_of(3, 3), run_of(4, 3)], breaks={4: 2})
    assert play(trainee, {(3, 1): STOP}) == [
        [reported(1, 1), reported(2, 1), reported(3, 1), reported(4, 1)],
        [Stopped(3, {"together": 4})],
        [reported(1, 2), reported(2, 2), Diverged(4, 2, {"together": 3})],
        [Finished(2, info={"together": 3})],
        [reported(1, 3)],
        [Finished(1, info={"together": 1})],
    ]


def test_nothing_is_measured_once_all_have_diverged() -> None:
    trainee = Canned([run_of(1, 3), run_of(2, 3)], breaks={1: 1, 2: 1})
    assert play(trainee) == [[Diverged(1, 1, {"together": 2}), Diverged(2, 1, {"together": 2})]]
    assert trainee.validated == 0


def test_no_trial_is_stopped_at_its_last_epoch() -> None:
    assert play(Canned([run_of(1, 1)]), {(1, 1): STOP})[-1] == [Finished(1, info={"together": 1})]


def test_no_epochs_at_all() -> None:
    assert play(Canned([run_of(1, 0), run_of(2, 1)])) == [
        [Finished(1, info={"together": 2})], [reported(2, 1)], [Finished(2, info={"together": 1})]
    ]  # fmt: skip


def test_runs_of_different_ages_tell_their_reports_again_and_train_on() -> None:
    trainee = Canned([run_of(1, 3, completed=2), run_of(2, 3), run_of(3, 3, completed=1)])
    assert play(trainee) == [
        [reported(1, 1), reported(3, 1)],
        [reported(1, 2)],
        [reported(1, 3), reported(2, 1), reported(3, 2)],
        [Finished(1, info={"together": 3})],
        [reported(2, 2), reported(3, 3)],
        [Finished(3, info={"together": 2})],
        [reported(2, 3)],
        [Finished(2, info={"together": 1})],
    ]


def test_a_stop_holds_for_reports_that_are_told_again() -> None:
    trainee = Canned([run_of(1, 4, completed=3), run_of(2, 4, completed=3)])
    found = play(trainee, {(1, 2): STOP, (2, 1): PAUSE})
    assert found == [
        [reported(1, 1), reported(2, 1)],
        [reported(1, 2), reported(2, 2)],
        [Stopped(1, {"together": 2})],
        [reported(2, 3)],
        [reported(2, 4)],
        [Finished(2, info={"together": 1})],
    ]


class Clock:
    """Every look costs a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_pause_ends_those_with_much_before_them(tmp_path: Path) -> None:
    """Trial 2 is nearly done, 3 has no file: both train on."""
    runs = [run_of(1, 50, path=tmp_path / "1.pt"), run_of(2, 2, path=tmp_path / "2.pt"), run_of(3, 3)]
    found = play(Canned(runs), {(1, 1): PAUSE, (2, 1): PAUSE, (3, 1): PAUSE}, Keeper(1e9, Clock()))
    assert found == [
        [reported(1, 1), reported(2, 1), reported(3, 1)],
        [Paused(1, {"together": 3})],
        [reported(2, 2), reported(3, 2)],
        [Finished(2, info={"together": 2})],
        [reported(3, 3)],
        [Finished(3, info={"together": 1})],
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["1.pt"]


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, {"1.pt", "2.pt"}), (1e9, set())])
def test_all_keep_a_checkpoint_when_it_is_due(tmp_path: Path, seconds: float, kept: set[str]) -> None:
    runs = [run_of(1, 3, path=tmp_path / "1.pt"), run_of(2, 2, path=tmp_path / "2.pt")]
    play(Canned(runs), keeper=Keeper(seconds))
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_without_a_keeper_a_pause_is_ignored(tmp_path: Path) -> None:
    found = play(Canned([run_of(1, 2, path=tmp_path / "1.pt")]), {(1, 1): PAUSE})
    assert found[-1] == [Finished(1, info={"together": 1})] and not list(tmp_path.iterdir())
