"""Hyperband: brackets of successive halving."""

from __future__ import annotations

import binascii
import math
from array import array
from typing import Literal

from pydantic import Field

from hpo.section import Count
from hpo.stopping.asha import AshaRule, Climb, HalvingKeys
from hpo.stopping.base import Course, StoppingRule


class HyperbandKeys(HalvingKeys):
    """Hyperband (Li et al., 2017): successive halving in brackets of different first rungs."""

    type: Literal["hyperband"]
    min_iter: Count | None = Field(None, description="epochs at the first rung (default 1)")
    max_iter: Count | None = Field(None, description="the most epochs a trial trains (default: its epochs)")
    s: Count | None = Field(None, le=64, description="W&B: with max_iter, the first rung is max_iter/eta^s")
    strict: bool | None = Field(None, description="W&B's; accepted with a note")

    @property
    def first_rung(self) -> int:
        if self.min_iter is None and self.max_iter and self.s:
            return max(1, int(self.max_iter / self.eta**self.s))
        return self.min_iter or 1

    def lasting(self, max_epochs: int) -> list[tuple[int, float]]:
        shares = dealt(self.first_rung, self.max_iter or max_epochs, self.eta)
        return [
            (
                step,
                sum(share * self.eta ** -max(0, rung + 1 - bracket) for bracket, share in enumerate(shares))
                / sum(shares),
            )
            for rung, step in enumerate(self.rungs(max_epochs))
        ]

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return HyperbandRule(study, self.first_rung, self.max_iter or max_epochs, self.eta)

    def remarks(self, max_epochs: int | None) -> list[str]:
        noted = super().remarks(max_epochs)
        if self.strict is not None:
            noted.append("early_terminate.strict is W&B's; Optuna's Hyperband is always asynchronous")
        if self.s is not None and (self.max_iter is None or self.min_iter is not None):
            noted.append("early_terminate.s has an effect with max_iter and without min_iter only")
        return noted


class HyperbandRule(AshaRule):
    """Hyperband (Li et al., 2017): brackets of successive halving, each with a first rung higher than the last one's.

    Sizes of brackets, and the hash that deals a trial to one, are Optuna's; but the hash is of the trial's number in
    the study of record, so a trial has its bracket for good, also when it is interrupted and begins again under another
    number. (A study that goes on under another name, since its space was changed, deals its trials anew.)

    Where the most steps are unknown (a function, a program), they are those of the longest complete trial; until there
    is one, nothing stops, and when a longer one makes room for another bracket, all trials are dealt anew. So it is
    always as if it had been known from the first which trials there would be.
    """

    def __init__(self, name: str, first: int, most: int | None, eta: int) -> None:
        super().__init__(first, eta)
        self._name = name
        self._learns = most is None  # the most steps
        self._shares: list[int] = []  # of the trials, for each bracket
        self._ended: dict[int, tuple[array[int], array[float]]] = {}  # if it learns: origins and values at each rung
        if most is not None:
            self._shares = dealt(first, most, eta)

    def _bracket(self, origin: int) -> int | None:
        if not self._shares:
            return None
        lot = binascii.crc32(f"{self._name}_{origin}".encode()) % sum(self._shares)
        for bracket, share in enumerate(self._shares):
            lot -= share
            if lot < 0:
                return bracket
        raise AssertionError("shares add up")

    def end(self, course: Course, complete: bool) -> None:
        if self._learns:
            climb = self._climbs.get(course.number, Climb(course.origin))
            for rung, (_, value) in climb.counted.items():
                origins, values = self._ended.setdefault(rung, (array("q"), array("d")))
                origins.append(climb.origin)
                values.append(value)
        super().end(course, complete)
        if self._learns and complete and course.values:
            shares = dealt(self._first, max(course.values) + 1, self._eta)
            if len(shares) > len(self._shares):
                self._deal(shares)

    def _deal(self, shares: list[int]) -> None:
        """Deal all trials to brackets anew."""
        self._shares = shares
        self._values.clear()
        for rung, ended in self._ended.items():
            for origin, value in zip(*ended, strict=True):
                self._count(origin, rung, value)
        for climb in self._climbs.values():
            for rung, (_, value) in climb.counted.items():
                self._count(climb.origin, rung, value)


def dealt(first: int, most: int, eta: int) -> list[int]:
    """Return the brackets' shares of the trials. most: steps of a trial."""
    count = 1  # floor(log_eta(most / first)) + 1, without the rounding that loses Optuna a bracket at 243 / 1
    while first * eta**count <= most:
        count += 1
    return [math.ceil(count * eta**left / (left + 1)) for left in reversed(range(count))]
