"""Successive halving, decided for all trials that stand at a rung together: ASHA and Hyperband."""

from __future__ import annotations

import binascii
import math
from array import array
from bisect import bisect_left, insort
from dataclasses import dataclass, field

from hpo.search.stopper import Course, Stopper


@dataclass
class _Place:
    """Where a running trial stands."""

    rung: int = -1
    value: float = math.nan
    due: bool = False  # it has not yet been let past this rung
    counted: list[tuple[int, float]] = field(default_factory=list)  # its values among those of the rungs


class AshaStopper(Stopper):
    """Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020), as
    Optuna has it: a trial that may not go on stops, instead of waiting for the rung to fill.

    At a rung, a trial goes on if it is among the best 1/eta of all that have reported there so far, those that arrive
    with it included; of fewer than eta, the best one goes on. Rung k is at `first * eta**k`, and a trial stands at it
    with the first value that it reports from there on. One that steps over several rungs at once stands at the highest
    of them only (Optuna would have it pass them all with the one value). A NaN stops and is compared with nothing.
    """

    def __init__(self, first: int, eta: int) -> None:
        self._first = first
        self._eta = eta
        self._rungs: list[array[float]] = []  # the values at each, sorted
        self._places: dict[int, _Place] = {}  # of running trials

    def report(self, course: Course, step: int, value: float) -> None:
        rung = self._rung(step)
        if rung < 0:
            return
        place = self._places.setdefault(course.number, _Place())
        if rung <= place.rung:
            return
        place.rung, place.value, place.due = rung, value, True
        if not math.isnan(value):
            self._rungs += [array("d") for _ in range(len(self._rungs), rung + 1)]
            insort(self._rungs[rung], value)
            place.counted.append((rung, value))

    def _rung(self, step: int) -> int:
        """Return the highest rung at or below a step; -1 below the first."""
        rung, at = -1, self._first
        while at <= step:
            rung, at = rung + 1, at * self._eta
        return rung

    def stops(self, course: Course) -> bool:
        place = self._places.get(course.number)
        if place is None or not place.due:
            return False
        if math.isnan(place.value):
            return True
        values = self._rungs[place.rung]
        place.due = place.value > values[max(1, len(values) // self._eta) - 1]  # who goes on does so to the next rung
        return place.due

    def end(self, course: Course, complete: bool) -> None:
        self._places.pop(course.number, None)

    def withdraw(self, course: Course) -> None:
        for rung, value in self._places.pop(course.number, _Place()).counted:
            del self._rungs[rung][bisect_left(self._rungs[rung], value)]


class HyperbandStopper(Stopper):
    """Hyperband (Li et al., 2017): brackets of successive halving, each with a first rung higher than the last one's.

    Sizes of brackets, and the hash that deals a trial to one, are Optuna's; but the hash is of the trial's number in
    the study of record, so a trial has its bracket for good. Where the most steps are unknown (a function, a program),
    they are taken from the complete trials at the first decision after one; until then nothing stops.
    """

    def __init__(self, name: str, first: int, most: int | None, eta: int) -> None:
        self._name = name
        self._first = first
        self._eta = eta
        self._brackets: list[AshaStopper] = []
        self._shares: list[int] = []  # of the trials, for each bracket
        self._early: dict[int, Course] = {}  # trials before the brackets are known
        self._ended: set[int] = set()  # those of them that have ended
        self._longest: int | None = None
        if most is not None:
            self._set_up(most)

    def _set_up(self, most: int) -> None:
        count = 1  # floor(log_eta(most / first)) + 1, without the rounding that loses Optuna a bracket at 243 / 1
        while self._first * self._eta**count <= most:
            count += 1
        for bracket in range(count):
            left = count - 1 - bracket
            self._shares.append(math.ceil(count * self._eta**left / (left + 1)))
            self._brackets.append(AshaStopper(self._first * self._eta**bracket, self._eta))
        for course in self._early.values():
            for step, value in course.values.items():
                self._of(course).report(course, step, value)
            if course.number in self._ended:
                self._of(course).end(course, complete=False)
        self._early.clear()
        self._ended.clear()

    def _of(self, course: Course) -> AshaStopper:
        """Return the bracket of a trial."""
        lot = binascii.crc32(f"{self._name}_{course.number}".encode()) % sum(self._shares)
        for share, bracket in zip(self._shares, self._brackets, strict=True):
            lot -= share
            if lot < 0:
                return bracket
        raise AssertionError("shares add up")

    def report(self, course: Course, step: int, value: float) -> None:
        if self._brackets:
            self._of(course).report(course, step, value)
        else:
            self._early[course.number] = course

    def stops(self, course: Course) -> bool:
        if not self._brackets and self._longest is not None:
            self._set_up(self._longest + 1)
        return bool(self._brackets) and self._of(course).stops(course)

    def end(self, course: Course, complete: bool) -> None:
        if self._brackets:
            self._of(course).end(course, complete)
            return
        self._ended.add(course.number)
        if complete and course.values:
            self._longest = max(self._longest or 0, *course.values)

    def withdraw(self, course: Course) -> None:
        if self._brackets:
            self._of(course).withdraw(course)
        else:
            self._early.pop(course.number, None)
