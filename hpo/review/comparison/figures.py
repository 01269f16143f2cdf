"""What is said of one choice: its learning curves, its values, how soon it came to the target, what it lost."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from hpo.review.comparison.chance import wilson
from hpo.review.comparison.courses import Ended, TrialCourse, thinned
from hpo.review.comparison.grouping import TrialGroup
from hpo.review.comparison.values import ComparedChoice, Reached, SpreadCurve, TrialCounts


def choice_of(group: TrialGroup, sign: float, target: float | None, studies: Sequence[str]) -> ComparedChoice:
    """Return what a choice came to. sign: -1 where the metric is minimized; target: in the metric's units."""
    states = [course.state for course in group.courses]
    complete = [course for course in group.courses if course.value is not None]
    values = [course.value for course in complete if course.value is not None]
    ranking = [course for course in group.courses if course.ranks_by is not None]
    best = max(ranking, key=lambda course: (sign * (course.ranks_by or 0.0), -course.number), default=None)
    ends: tuple[Ended, ...] = ("complete", "stopped", "diverged", "failed", "running")
    trials = TrialCounts(*(states.count(end) for end in ends))
    return ComparedChoice(
        label=group.label,
        value=group.value,
        trials=trials,
        lost=wilson(trials.diverged + trials.failed, trials.ended) if trials.ended else (None, None),
        best=best.ranks_by if best else None,
        best_trial=best.number if best else None,
        best_study=studies[best.study] if best else None,
        median=statistics.median(values) if values else None,
        quartiles=_quartiles(values) if values else None,
        seconds=statistics.median(course.seconds for course in complete) if complete else None,
        curve=_curve([course for course in group.courses if course.steps and course.state != "running"]),
        reached=_reached(group.courses, sign, target) if target is not None else None,
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low), float(high)


def _curve(courses: Sequence[TrialCourse]) -> SpreadCurve:
    """Return the quartiles of the trials that reached each step: with the last value that each had by then."""
    steps = thinned(sorted({step for course in courses for step in course.steps}))
    rows: list[tuple[int, int, float, float, float]] = []
    for step in steps:
        there = [
            course.values[bisect_right(course.steps, step) - 1]
            for course in courses
            if course.steps[0] <= step <= course.steps[-1]
        ]
        if there:
            low, median, high = map(float, np.quantile(there, [0.25, 0.5, 0.75]))
            rows.append((step, len(there), low, median, high))
    columns = list(zip(*rows, strict=True)) or [()] * 5
    return SpreadCurve(*map(tuple, columns))


def _reached(courses: Sequence[TrialCourse], sign: float, target: float) -> Reached:
    began = [course for course in courses if course.state != "running"]
    moments = [_moment(course, sign, target) for course in began]
    there = [moment for moment in moments if moment is not None]
    steps = sorted(step for step, _ in there if step is not None)
    seconds = sorted(second for _, second in there)
    half = (len(began) + 1) // 2
    return Reached(
        trials=len(there),
        of=len(began),
        first_steps=steps[0] if steps else None,
        first_seconds=seconds[0] if seconds else None,
        half_steps=steps[half - 1] if 0 < half <= len(steps) else None,
        half_seconds=seconds[half - 1] if 0 < half <= len(seconds) else None,
    )


def _moment(course: TrialCourse, sign: float, target: float) -> tuple[int | None, float] | None:
    """Return after which step, and how many seconds, a trial had come to the target; None if it never did."""
    if course.state == "failed":
        return None
    for step, value, seconds in zip(course.steps, course.values, course.after, strict=True):
        if sign * value >= sign * target:
            return step, seconds
    if course.value is not None and sign * course.value >= sign * target:
        return None, course.seconds  # what it returned in the end
    return None
