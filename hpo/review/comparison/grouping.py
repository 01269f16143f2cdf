"""Which choice a trial belongs to: a value of the parameter, a part of its range, or a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.review.comparison.courses import TrialCourse
from hpo.review.studies import RecordedStudy
from hpo.spec.conditions import identity_of
from hpo.spec.faults import UserError, did_you_mean
from hpo.spec.space import Categorical, Range, show

BINS = 4  # parts of a range, unless told otherwise
MOST_CHOICES = 20
_DIGITS = (3, 6, 12, 17)


@dataclass(frozen=True)
class TrialGroup:
    """The trials of one choice."""

    label: str
    value: Any
    courses: tuple[TrialCourse, ...]


def by_study(studies: Sequence[RecordedStudy], courses: Sequence[TrialCourse]) -> list[TrialGroup]:
    """Return a group a study."""
    return [
        TrialGroup(study.name, study.name, tuple(course for course in courses if course.study == place))
        for place, study in enumerate(studies)
    ]


def by_parameter(
    studies: Sequence[RecordedStudy], courses: Sequence[TrialCourse], name: str, bins: int | None
) -> list[TrialGroup]:
    """Return a group for each value of a parameter, in the space's order, or for each part of its range. Trials that do
    not have it are in none.

    bins: parts of equal numbers of trials that a range has; None: BINS. A range of no more values than that has a group
    for each. Raises UserError if no study has the parameter, if it has too many choices, or for `bins` where there is
    no range.
    """
    domains = [study.sweep.space[name].domain for study in studies if name in study.sweep.space]
    there = [course for course in courses if name in course.params]
    if not domains and not there:
        raise UserError(f"no parameter {name!r} in {_named(studies)} ({did_you_mean(name, _names(studies))})")
    values: dict[str, Any] = {}
    for domain in domains:
        if isinstance(domain, Categorical):
            values |= {identity_of(value): value for value in domain.values}
    found = {identity_of(course.params[name]): course.params[name] for course in there}
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found.values())
    if any(isinstance(domain, Range) for domain in domains) and numbers:
        parts = BINS if bins is None else bins
        if len(found) > parts:
            return _parts(there, name, parts)
        values |= {key: found[key] for key in sorted(found, key=lambda key: float(found[key]))}
    elif bins is not None:
        raise UserError(f"--bins is for ranges, but {name} has choices")
    values |= found
    if len(values) > MOST_CHOICES:
        values = {key: value for key, value in values.items() if key in found}
    if len(values) > MOST_CHOICES:
        raise UserError(f"{name} has {len(values)} choices with trials: at most {MOST_CHOICES} can be compared")
    grouped: dict[str, list[TrialCourse]] = {key: [] for key in values}
    for course in there:
        grouped[identity_of(course.params[name])].append(course)
    return [TrialGroup(show(value), value, tuple(grouped[key])) for key, value in values.items()]


def _parts(there: Sequence[TrialCourse], name: str, parts: int) -> list[TrialGroup]:
    """Divide trials by a number into parts with as equal numbers of trials as ties allow."""
    values = np.array([float(course.params[name]) for course in there])
    edges = np.unique(np.quantile(values, np.arange(1, parts) / parts, method="inverted_cdf"))
    places = np.searchsorted(edges, values, side="left")
    bounds = [(float(values[places == place].min()), float(values[places == place].max())) for place in set(places)]
    bounds.sort()
    labels: list[str] = []
    for digits in _DIGITS:
        labels = [
            f"{low:.{digits}g} to {high:.{digits}g}" if low < high else f"{low:.{digits}g}" for low, high in bounds
        ]
        ends = [end for label in labels for end in label.split(" to ")]
        if len(set(ends)) == len(ends):
            break
    return [
        TrialGroup(label, [low, high], tuple(c for c in there if low <= float(c.params[name]) <= high))
        for label, (low, high) in zip(labels, bounds, strict=True)
    ]


def _names(studies: Sequence[RecordedStudy]) -> list[str]:
    return [name for study in studies for name in study.sweep.space.names()]


def _named(studies: Sequence[RecordedStudy]) -> str:
    listed = ", ".join(repr(study.name) for study in studies)
    return f"study {listed}" if len(studies) == 1 else f"any of the studies {listed}"
