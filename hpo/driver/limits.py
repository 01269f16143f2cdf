"""The limits of time: of the whole sweep (`budget.seconds`), of a trial and of its silence."""

from __future__ import annotations

from hpo.driver.results import TIME_IS_UP, TRIAL_TIME_IS_UP
from hpo.driver.termination import Termination
from hpo.driver.trials import RunningTrials
from hpo.driver.watchdog import Watchdog
from hpo.engines.base import Engine
from hpo.ledger.ledger import Ledger
from hpo.standing import SweepListener


class TimeLimits:
    """Stops trials whose time is up, and kills workers that do not obey."""

    def __init__(
        self,
        seconds: float | None,
        ledger: Ledger,
        engine: Engine,
        watchdog: Watchdog,
        termination: Termination,
        listener: SweepListener,
    ) -> None:
        """seconds: `budget.seconds`."""
        self._seconds = seconds
        self._ledger = ledger
        self._engine = engine
        self._watchdog = watchdog
        self._termination = termination
        self._listener = listener
        self._spent = False

    @property
    def left(self) -> float | None:
        """The seconds until the sweep's time is spent; None: it has no limit."""
        return None if self._seconds is None else max(0.0, self._seconds - self._ledger.seconds)

    def check_sweep(self, trials: RunningTrials | None = None) -> None:
        """End the sweep when its time is spent; also one that has asked for its last trials before.

        trials: those that run; None before there are any.
        """
        if self._seconds is None or self._ledger.seconds < self._seconds or self._spent:
            return
        self._spent = True
        self._termination.stop(f"budget.seconds={self._seconds:g} is spent")
        if trials is not None and trials.numbers:
            trials.stopping(trials.numbers, TIME_IS_UP)
            self._engine.stop(trials.numbers)

    def check_trials(self, trials: RunningTrials) -> None:
        """Stop trials that take too long; kill their workers if they don't."""
        for overdue in self._watchdog.look():
            if not overdue.kill:
                trials.stopping(overdue.numbers, TRIAL_TIME_IS_UP)
                self._engine.stop(overdue.numbers)
                continue
            # Of a cohort nobody knows whose fault it is: its members run again, in smaller ones, in the end alone.
            reasons = dict.fromkeys(overdue.numbers, f"TrialTimeout: {overdue.reason}") if overdue.alone else {}
            if not self._engine.kill(overdue.assignment, reasons):
                self._listener.note(f"a trial can't be stopped in this process: {overdue.reason}", warning=True)
