"""The circuit breaker: when a sweep that only fails is stopped, instead of burning its night on it."""

from __future__ import annotations

import re
from collections import Counter

from hpo.ledger.study.records import TrialRecord

_FIRST = 5  # trials that all fail alike before any has a result
_IN_A_ROW = 12  # failures without a result in between, at any time


class CircuitBreaker:
    """Is told of each trial's end; says when enough is enough."""

    def __init__(self, trials: int, failures: int) -> None:
        """trials: the budget; failures: `budget.failures`, the failed trials that are borne in all."""
        self._first = min(_FIRST, trials)
        self._most = failures
        self._failed = 0
        self._results = 0  # complete or pruned
        self._row: Counter[str] = Counter()  # failures since the last result, by error

    def remember(self, record: TrialRecord) -> None:
        """Take in a trial that ended before this driver began: it counts, but makes no row."""
        self._results += record.counts
        self._failed += record.state == "failed" and not record.interrupted

    def take(self, record: TrialRecord) -> str:
        """Take in a trial that has ended; return why the sweep must stop, "" if it may go on."""
        if record.interrupted:
            return ""
        if record.state != "failed":
            self._results += 1
            self._row.clear()
            return ""
        self._failed += 1
        self._row[without_numbers(record.error)] += 1
        row = self._row.total()
        if self._results == 0 and row >= self._first and len(self._row) == 1:
            return f"the first {row} trials all failed with the same error"
        if self._failed > self._most:
            return f"{self._failed} trials failed, more than budget.failures={self._most}"
        if row >= _IN_A_ROW:
            return f"{row} trials failed in a row"
        return ""


def without_numbers(error: str) -> str:
    """Return an error with its numbers left out, so that the same error of two trials is the same text."""
    return re.sub(r"\d+", "#", error)
