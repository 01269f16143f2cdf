"""When a sweep asks for no more trials: when its budget is spent, or for a reason that comes before that."""

from __future__ import annotations

from collections.abc import Callable

from hpo.driver.breaker import CircuitBreaker
from hpo.ledger.study.records import TrialRecord
from hpo.spec.sweep import Sweep
from hpo.standing import Standing


class Termination:
    """Knows whether more trials are asked for. Trials that run go on to their ends whatever it says."""

    def __init__(self, sweep: Sweep, standing: Standing, tell: Callable[[str], None] = lambda reason: None) -> None:
        """standing: keeps the reason, and the error behind it. tell: called with the reason, once."""
        self._sweep = sweep
        self._standing = standing
        self._tell = tell
        self._breaker = CircuitBreaker(sweep.budget.trials, sweep.budget.failures)
        self.reason = ""  # why no more are asked for before the budget is spent

    def room(self, running: int) -> int:
        """Return how many more trials may begin without overspending the budget. running: trials that may yet count."""
        return 0 if self.reason else self._sweep.budget.trials - self._standing.done - running

    def stop(self, reason: str) -> None:
        """Ask for no more trials. Only the first reason counts."""
        if not self.reason:
            self.reason = self._standing.reason = reason
            self._tell(reason)

    def remember(self, record: TrialRecord) -> None:
        """Take in a trial that ended before this driver began, or with another driver."""
        self._breaker.remember(record)

    def take(self, record: TrialRecord) -> None:
        """Take in a trial that has ended here."""
        self.check_target(record)
        if reason := self._breaker.take(record):
            self._standing.error = record.traceback or record.error
            self.stop(reason)

    def check_target(self, record: TrialRecord | None, when: str = "reached") -> None:
        """Stop if a trial has reached the metric's target. when: the verb of the reason."""
        metric = self._sweep.metric
        if record is not None and record.value is not None and metric.reached(record.value):
            self.stop(f"{metric.name} {when} its target with trial {record.number}")
