"""Trials that are the mean of several trainings: in lock-step, alone and in stacks, from checkpoints, to their ends."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.events import Decision, Diverged, Finished, Reported, Stopped, TrialSpec
from hpo.training.checkpoint import Keeper, resumed
from hpo.training.epochs import EpochEvent, Measured, Trainee, train_epochs
from hpo.training.loop import Loops, train
from hpo.training.members import Member, averaged, of_member
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort
from hpo.training.task import Kind, Split, Splits, TorchTask
from hpo.training.together import Together

from .tiny import CPU, KINDS, default_dtype, driven, splits_of, task_of

PARAMS: dict[str, Any] = {"hidden_layers": [6], "batch_size": 8, "learning_rate": 0.05}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with default_dtype(torch.float64):
        yield


def folds_of(kind: Any, folds: int = 3, rows: int = 41) -> list[Splits]:
    """Return splits that leave out one part of the rows each, of other sizes and on other scales."""
    whole = splits_of(kind, rows)
    x, y = torch.cat([whole.train.x, whole.validation.x]), torch.cat([whole.train.y, whole.validation.y])
    found = []
    for fold in range(folds):
        out = torch.arange(len(x)) % folds == fold
        scaled = (x - x[~out].mean(0)) / x[~out].std(0)
        found.append(replace(whole, train=Split(scaled[~out], y[~out]), validation=Split(scaled[out], y[out])))
    return found


def runs_of(trial: TrialSpec, rows: Sequence[Splits], of: Kind | TorchTask = "binary") -> list[Run]:
    task = of if isinstance(of, TorchTask) else task_of(of)
    members = [Member(index, len(rows)) for index in range(len(rows))]
    return [start(task, its, trial, CPU, member=member) for its, member in zip(rows, members, strict=True)]


def play(
    trainee: Trainee,
    decide: Callable[[Reported], Decision] = lambda report: Decision.CONTINUE,
    keeper: Keeper | None = None,
    dies_in: int = 0,
) -> dict[int, list[EpochEvent]]:
    """Return each trial's events; it dies after the reports of an epoch, before there is a checkpoint of it."""
    training = train_epochs(trainee, lambda: 0.0, keeper)
    found: dict[int, list[EpochEvent]] = {}
    for events in driven(training, lambda events: {e.number: decide(e) for e in events if isinstance(e, Reported)}):
        for event in events:
            found.setdefault(event.number, []).append(replace(event) if isinstance(event, Reported) else event)
        if any(isinstance(event, Reported) and event.step == dies_in for event in events):
            training.close()
            break
    return found


def reports_in(events: Sequence[EpochEvent]) -> list[Mapping[str, float]]:
    return [event.metrics for event in events if isinstance(event, Reported)]


def assert_near(found: Sequence[Mapping[str, float]], expected: Sequence[Mapping[str, float]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-10)


def test_a_report_has_mean_spread_and_each_members_own() -> None:
    found = averaged([{"val_loss": 1.0, "val_auc": 0.5}, {"val_loss": 2.0}, {"val_loss": 4.5, "val_auc": 0.75}])
    assert found == {
        "val_loss": 2.5, "val_loss_sd": statistics.stdev([1.0, 2.0, 4.5]),
        "val_loss.1": 1.0, "val_loss.2": 2.0, "val_loss.3": 4.5, "val_auc.1": 0.5, "val_auc.3": 0.75,
    }  # fmt: skip
    assert of_member(found, Member(2, 3)) == {"val_loss": 4.5, "val_auc": 0.75}
    assert averaged([{"val_loss": 0.1}]) == {"val_loss": 0.1}
    assert averaged([{"a": 0.1}] * 3)["a"] == 0.1  # of equal values exactly that value


def test_the_first_member_is_the_trial_itself() -> None:
    seeds = [Member(index, 3).seed(7) for index in range(3)]
    assert seeds[0] == 7 and len(set(seeds)) == 3 and seeds == [Member(index, 9).seed(7) for index in range(3)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stack", [False, True])
def test_each_member_gets_what_it_gets_alone(kind: Any, stack: bool) -> None:
    """Seeds, rows of other scales and numbers, targets transformed by each one's own rows: in a stack of several trials
    to rounding, one after the other bit for bit."""
    rows = folds_of(kind)
    assert len({len(its.validation) for its in rows}) > 1 and len({len(its.train) for its in rows}) > 1
    own: dict[str, Any] = {"outliers": "iqr", "target_transform": "standardize"} if kind == "regression" else {}
    specs = [
        TrialSpec(number, {**PARAMS, **own, "optimizer": optimizer, "dropout": 0.2}, 10 + number, epochs)
        for number, (optimizer, epochs) in enumerate([("adam", 3), ("sgd", 2), ("adam", 3)])
    ]
    runs = [run for spec in specs for run in runs_of(spec, rows, kind)]
    found = play(Cohort(runs)) if stack else {s.number: play(Loops(runs_of(s, rows, kind)))[s.number] for s in specs}
    for spec in specs:
        assert [type(event) for event in found[spec.number]] == [Reported] * (spec.epochs or 0) + [Finished]
        for index, its in enumerate(rows):
            member = Member(index, len(rows))
            alone = list(train(task_of(kind), its, replace(spec, seed=member.seed(spec.seed)), CPU))
            own_values = [of_member(report, member) for report in reports_in(found[spec.number])]
            if stack:
                assert_near(own_values, reports_in(alone))
            else:
                assert own_values == reports_in(alone)


def test_a_batch_of_the_tasks_own_is_given_a_members_own_rows_to_measure() -> None:
    """And none of those that fill them up to as many as another fold has."""

    def centred(self: TorchTask, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        return x - x.mean(0)

    task, rows = task_of("binary", batch=centred), folds_of("binary")
    assert len({len(its.validation) for its in rows}) > 1
    trial = TrialSpec(0, PARAMS, 1, 2)
    stack, loops = (play(make(runs_of(trial, rows, task)))[0] for make in (Cohort, Loops))
    assert_near(reports_in(stack), reports_in(loops))


def test_the_stack_leaves_whole_trials_and_goes_on() -> None:
    rows = folds_of("binary")
    specs = [TrialSpec(number, {**PARAMS, "learning_rate": 0.02 * (1 + number)}, number, 4) for number in range(3)]
    cohort = Cohort([run for spec in specs for run in runs_of(spec, rows)])
    found = play(cohort, lambda report: Decision.STOP if (report.number, report.step) == (1, 2) else Decision.CONTINUE)
    assert [type(event) for event in found[1]] == [Reported, Reported, Stopped]
    assert [event.info for event in found[0] if isinstance(event, Finished)] == [{"cohort": 2, "stack": [0, 1, 2]}]
    for number in (0, 2):
        assert_near(reports_in(found[number]), reports_in(play(Loops(runs_of(specs[number], rows)))[number]))


class Canned:
    """Trains nothing: metrics of a run are its epoch and its place; not finite where it says so."""

    def __init__(self, runs: Sequence[Run], breaks: Mapping[tuple[int, int], int]) -> None:
        self.runs = list(runs)
        self.breaks = breaks
        self.info: Mapping[str, Any] = {}

    def train_epoch(self) -> Measured:
        return [{} for _ in self.runs]

    def validate(self) -> Measured:
        return [
            None
            if self.breaks.get((run.trial.number, run.member.index)) == run.completed + 1
            else {"val_loss": float(run.completed + 1 + 10 * run.member.index)}
            for run in self.runs
        ]

    def examined(self) -> list[Mapping[str, float]]:
        return [{} for _ in self.runs]

    def state_of(self, run: Run) -> Mapping[str, Any]:
        raise NotImplementedError

    def leave(self, numbers: Any) -> None:
        self.runs = [run for run in self.runs if run.trial.number not in numbers]


def test_a_trial_diverges_with_any_of_its_members() -> None:
    rows = [splits_of("binary")] * 3
    runs = [run for number in (5, 6) for run in runs_of(TrialSpec(number, PARAMS, number, 3), rows)]
    runs.reverse()  # in whatever order they train
    trainee = Canned(runs, {(5, 1): 2})
    found = play(trainee)
    assert found[5][1:] == [Diverged(5, 2, {"diverged_members": [2]})]
    assert reports_in(found[5]) == [averaged([{"val_loss": 1.0}, {"val_loss": 11.0}, {"val_loss": 21.0}])]
    assert [type(event) for event in found[6]] == [Reported] * 3 + [Finished]
    assert reports_in(found[6])[2]["val_loss"] == 13.0 and reports_in(found[6])[2]["val_loss_sd"] == 10.0


def test_a_member_that_diverges_takes_nothing_with_it_but_its_trial() -> None:
    """Its numbers touch no other's, in the same stack."""
    rows = folds_of("binary")
    poisoned = [rows[0], replace(rows[1], train=Split(rows[1].train.x * math.inf, rows[1].train.y)), rows[2]]
    specs = [TrialSpec(number, PARAMS, number, 2) for number in range(2)]
    found = play(Cohort([*runs_of(specs[0], poisoned), *runs_of(specs[1], rows)]))
    (end,) = found[0]
    assert isinstance(end, Diverged) and end.info["diverged_members"] == [2]
    assert_near(reports_in(found[1]), reports_in(play(Loops(runs_of(specs[1], rows)))[1]))


@pytest.mark.parametrize("stack", [False, True])
def test_a_checkpoint_has_all_members(stack: bool, tmp_path: Path) -> None:
    rows = folds_of("regression")
    params = {**PARAMS, "schedule": "reduce_on_plateau", "dropout": 0.2}
    specs = [TrialSpec(number, params, number, 5, str(tmp_path / f"{number}.pt")) for number in range(2)]

    def begin(spec: TrialSpec) -> list[Run]:
        return resumed(lambda: runs_of(spec, rows, "regression"))

    def train_all(dies_in: int = 0, keeper: Keeper | None = None) -> dict[int, list[EpochEvent]]:
        if stack:
            return play(Cohort([run for spec in specs for run in begin(spec)]), keeper=keeper, dies_in=dies_in)
        return {s.number: play(Loops(begin(s)), keeper=keeper, dies_in=dies_in)[s.number] for s in specs}

    whole = train_all()
    train_all(dies_in=4, keeper=Keeper(0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.pt", "1.pt"]
    assert [run.completed for spec in specs for run in begin(spec)] == [3] * 6
    again = train_all()
    assert {number: reports_in(events) for number, events in again.items()} == {
        number: reports_in(events) for number, events in whole.items()
    }
    # Alone what was in a stack, and the reverse; and with one member less it is another trial's.
    (other,) = play(Loops(begin(specs[0])) if stack else Cohort(begin(specs[0]))).values()
    assert_near(reports_in(other), reports_in(whole[0]))
    fewer = resumed(lambda: runs_of(specs[0], rows[:2], "regression"))
    assert [run.completed for run in fewer] == [0, 0]


def test_members_of_other_structures_train_in_lock_step() -> None:
    """A fold may have other columns than the others."""
    rows = folds_of("binary")
    first_three = [Split(part.x[:, :3], part.y) for part in (rows[1].train, rows[1].validation)]
    narrow = [rows[0], replace(rows[1], train=first_three[0], validation=first_three[1]), rows[2]]
    specs = [TrialSpec(number, PARAMS, number, 2) for number in range(2)]
    runs = [run for spec in specs for run in runs_of(spec, narrow)]
    parts = [Cohort([run for run in runs if run.member.index != 1]), Loops([runs[1], runs[4]])]
    found = play(Together(parts), lambda report: Decision.STOP if report.number == 1 else Decision.CONTINUE)
    assert [type(event) for event in found[1]] == [Reported, Stopped]
    (end,) = [event for event in found[0] if isinstance(event, Finished)]
    assert end.info == {"cohort": 1, "stack": [0, 1]}
    assert_near(reports_in(found[0]), reports_in(play(Loops(runs_of(specs[0], narrow)))[0]))
