"""Reports of trials that are gathered, and written to the study in one go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpo.ledger.ledger import Ledger

_SECONDS = 0.5  # of reports that are written together
_MOST = 1000  # reports


class ReportBuffer:
    """Holds back reports for half a second at most, since each write costs as much as many reports."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._reports: list[tuple[int, int, Mapping[str, float], float]] = []
        self._written = clock()

    def add(self, number: int, step: int, metrics: Mapping[str, float], moment: float) -> None:
        """Take in a trial's metrics at a step. moment: seconds since the Unix epoch."""
        self._reports.append((number, step, metrics, moment))

    @property
    def full(self) -> bool:
        return len(self._reports) >= _MOST

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._clock() - self._written > _SECONDS

    def flush(self) -> None:
        """Write what is held back."""
        reports, self._reports = self._reports, []
        self._written = self._clock()
        if reports:
            with self._ledger.together():
                for number, step, metrics, moment in reports:
                    self._ledger.report(number, step, metrics, moment)
