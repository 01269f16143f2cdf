"""Hyperband: brackets of successive halving."""

from __future__ import annotations

import binascii
import math
from typing import Literal

from pydantic import Field, PositiveInt

from hpo.stopping.asha import AshaRule, HalvingKeys
from hpo.stopping.base import Course, StoppingRule


class HyperbandKeys(HalvingKeys):
    """Hyperband (Li et al., 2017): successive halving in brackets of different first rungs."""

    type: Literal["hyperband"]
    min_iter: PositiveInt | None = Field(None, description="epochs at the first rung (default 1)")
    max_iter: PositiveInt | None = Field(None, description="the most epochs a trial trains (default: its epochs)")
    s: PositiveInt | None = Field(None, description="W&B: with max_iter, the first rung is max_iter/eta^s")
    strict: bool | None = Field(None, description="W&B's; accepted with a note")

    @property
    def first_rung(self) -> int:
        if self.min_iter is None and self.max_iter and self.s:
            return max(1, int(self.max_iter / self.eta**self.s))
        return self.min_iter or 1

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return HyperbandRule(study, self.first_rung, self.max_iter or max_epochs, self.eta)

    def remarks(self, max_epochs: int | None) -> list[str]:
        noted = ["early_terminate.strict is W&B's; Optuna's Hyperband is always asynchronous"]
        return (noted if self.strict is not None else []) + super().remarks(max_epochs)


class HyperbandRule(StoppingRule):
    """Hyperband (Li et al., 2017): brackets of successive halving, each with a first rung higher than the last one's.

    Sizes of brackets, and the hash that deals a trial to one, are Optuna's; but the hash is of the trial's number in
    the study of record, so a trial has its bracket for good. Where the most steps are unknown (a function, a program),
    they are taken from the complete trials at the first decision after one; until then nothing stops.
    """

    def __init__(self, name: str, first: int, most: int | None, eta: int) -> None:
        self._name = name
        self._first = first
        self._eta = eta
        self._brackets: list[AshaRule] = []
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
            self._brackets.append(AshaRule(self._first * self._eta**bracket, self._eta))
        for course in self._early.values():
            for step, value in course.values.items():
                self._of(course).report(course, step, value)
            if course.number in self._ended:
                self._of(course).end(course, complete=False)
        self._early.clear()
        self._ended.clear()

    def _of(self, course: Course) -> AshaRule:
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
