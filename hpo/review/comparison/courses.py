"""The trials that are compared, as arrays: what each came to, and what it had after each step.

A trial that was stopped did not come to its end: its last value is that of a shorter training. Against another trial it
counts with what both had after the same step, the last one that both reached. A trial that diverged is worse than any
that did not. One that failed has no value; it is counted, and not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpo.ledger.study.records import record_of, reported, seconds_of_steps
from hpo.ledger.study.settling import as_told
from hpo.review.studies import RecordedStudy
from hpo.search.distributions import decode_params
from hpo.spec.conditions import identity_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Ended = Literal["complete", "stopped", "diverged", "failed", "running"]
MOST_STEPS = 200  # that are told apart; of more, evenly chosen ones


@dataclass(frozen=True)
class TrialCourse:
    """One trial. Values are the metric's own."""

    study: int  # its place among the compared studies
    part: int  # of the sweep; trials of different parts are not compared where the sampler learns
    number: int
    params: Mapping[str, Any]
    seed: int
    state: Ended
    value: float | None  # of a complete one
    ranks_by: float | None  # its value by the sweep's rule, complete or stopped; None: it can't be the best
    seconds: float
    steps: Sequence[int]
    values: Sequence[float]  # by step
    after: Sequence[float]  # seconds from its start, by step


def courses_of(study: RecordedStudy, place: int, parts: int, others: Sequence[str]) -> tuple[list[TrialCourse], int]:
    """Return a study's trials, and how many are left out: interrupted ones, which are run again, copies of a trial of
    one of the `others`, and those that repeat another one with the same seed."""
    found: list[TrialCourse] = []
    known: set[tuple[str, int, int | None]] = set()
    left_out = 0
    for index, trial in enumerate(study.trials):
        record = as_told(record_of(trial, history=False), study.live)
        who = identity_of(record.params), record.seed, record.epochs
        again = record.state in ("complete", "pruned") and who in known
        if record.interrupted or again or trial.user_attrs.get("copied_from", {}).get("study") in others:
            left_out += 1
            continue
        if record.counts:
            known.add(who)
        found.append(_course(trial, study, place, index * parts // max(1, len(study.trials))))
    return found, left_out


def _course(trial: FrozenTrial, study: RecordedStudy, place: int, part: int) -> TrialCourse:
    record, metric = record_of(trial, history=False), study.sweep.metric.name
    steps, columns = reported(trial)
    after = seconds_of_steps(trial)
    column = columns.get(metric, [None] * len(steps))
    there = [index for index, value in enumerate(column) if value is not None]
    running = record.state == "running"
    return TrialCourse(
        study=place,
        part=part,
        number=trial.number,
        params=decode_params(study.sweep.space, trial.params) if running else record.params,
        seed=record.seed,
        state=_ended(record.state, record.diverged is not None),
        value=record.value if record.state == "complete" else None,
        ranks_by=record.value if record.ranks else None,
        seconds=record.seconds,
        steps=[steps[index] for index in there],
        values=[float(column[index] or 0.0) for index in there],
        after=[after[index] for index in there],
    )


def _ended(state: str, diverged: bool) -> Ended:
    if state == "pruned":
        return "diverged" if diverged else "stopped"
    return "complete" if state == "complete" else "failed" if state == "failed" else "running"


def is_comparable(course: TrialCourse) -> bool:
    """Whether there is anything of a trial to compare."""
    return course.state in ("complete", "diverged") or (course.state == "stopped" and bool(course.steps))


@dataclass(frozen=True)
class RankedCourses:
    """Trials to compare. Values are signed: larger is better.

    final: [trials], NaN unless complete. at: [trials, steps], the last value up to each step, NaN before the first
    one. last: [trials], the index of the last step; -1: none.
    """

    final: np.ndarray
    diverged: np.ndarray
    at: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.final)

    def __getitem__(self, chosen: np.ndarray) -> RankedCourses:
        return RankedCourses(self.final[chosen], self.diverged[chosen], self.at[chosen], self.last[chosen])

    @staticmethod
    def joined(first: RankedCourses, second: RankedCourses) -> RankedCourses:
        """Return the trials of both, those of `first` first."""
        return RankedCourses(
            np.concatenate([first.final, second.final]),
            np.concatenate([first.diverged, second.diverged]),
            np.concatenate([first.at, second.at]),
            np.concatenate([first.last, second.last]),
        )


def ranked(courses: Sequence[TrialCourse], sign: float) -> RankedCourses:
    """Return trials as arrays. sign: -1 where the metric is minimized."""
    ends = {course.steps[-1] for course in courses if course.steps and course.state == "stopped"}
    steps = thinned(sorted(ends))
    at = np.full((len(courses), max(1, len(steps))), np.nan)
    last = np.full(len(courses), -1)
    for row, course in enumerate(courses):
        if not course.steps:
            continue
        # Thinned or not, a trial counts at a step that it has reached.
        places = np.searchsorted(course.steps, steps, side="right") - 1
        there = places >= 0
        at[row, : len(steps)][there] = sign * np.asarray(course.values)[places[there]]
        stopped = course.state == "stopped"
        last[row] = int(np.searchsorted(steps, course.steps[-1], side="right")) - 1 if stopped else len(steps) - 1
    final = [np.nan if course.value is None else sign * course.value for course in courses]
    return RankedCourses(
        np.asarray(final), np.asarray([course.state == "diverged" for course in courses], bool), at, last
    )


def thinned(steps: Sequence[int], most: int = MOST_STEPS) -> Sequence[int]:
    """Return at most so many of the steps, the first and the last among them."""
    if len(steps) <= most:
        return steps
    return [steps[round(index * (len(steps) - 1) / (most - 1))] for index in range(most)]


def advantages(left: RankedCourses, right: RankedCourses) -> np.ndarray:
    """Return by how much each trial of `left` is better than each of `right`, [left, right].

    Infinite where one of them diverged; 0 where both did, or where they have no step in common.
    """
    step = np.minimum(left.last[:, None], right.last[None, :])
    rows, columns = np.arange(len(left))[:, None], np.arange(len(right))[None, :]
    found = left.at[rows, step] - right.at[columns, step]
    found[step < 0] = 0.0
    both = ~np.isnan(left.final)[:, None] & ~np.isnan(right.final)[None, :]
    found = np.where(both, left.final[:, None] - right.final[None, :], found)
    lost, won = left.diverged[:, None], right.diverged[None, :]
    found = np.select([lost & won, np.broadcast_to(lost, found.shape), np.broadcast_to(won, found.shape)],
                      [0.0, -np.inf, np.inf], found)  # fmt: skip
    return np.where(np.isnan(found), 0.0, found)
