"""How a sweep stands: what the driver keeps up to date, and who is told of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.references import References

MOST_LEADERS, MOST_BUSY = 10, 8  # that are kept to be shown


@dataclass
class Counts:
    """How many trials there are of each kind."""

    earlier: int = 0  # complete or pruned before this driver began
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    diverged: int = 0  # of the pruned ones
    running: int = 0
    ended_here: int = 0  # complete or pruned since this driver began
    diagnoses: Counter[str] = field(default_factory=Counter)  # of complete and pruned trials, `healthy` among them
    errors: Counter[str] = field(default_factory=Counter)  # failures by error, numbers in it left out


@dataclass
class Leaders:
    """The best trials so far, complete or stopped, and how the sweep came to them."""

    top: list[TrialRecord] = field(default_factory=list)  # at most MOST_LEADERS, the best first; of equals the earlier
    course: list[tuple[int, float]] = field(default_factory=list)  # each new best: trials done by then, and its value


@dataclass(frozen=True)
class BusyWorker:
    """What one worker has. first: the lowest number of its trials; trials: how many; step: the latest that they
    reported, 0: none; epochs: that they train, None: not known; seconds: since it got them."""

    first: int
    trials: int
    step: int
    epochs: int | None
    seconds: float


@dataclass
class Activity:
    """What goes on at the moment."""

    phase: str = "starting workers"  # what is waited for; "" while trials run
    workers: int = 0
    working: int = 0  # of them
    busy: list[BusyWorker] = field(default_factory=list)  # at most MOST_BUSY, the longest first
    left: float | None = None  # seconds until the sweep ends; None: not known
    left_between: tuple[float, float] | None = None  # they most likely are; None: `left` says enough


@dataclass
class Standing:
    """How the sweep stands: what is shown while it runs and returned in the end."""

    study: str
    metric: str
    goal: str
    trials: int  # the budget
    counts: Counts = field(default_factory=Counts)
    leaders: Leaders = field(default_factory=Leaders)
    baseline: TrialRecord | None = None
    references: References | None = None  # what models of scikit-learn reach on the same split
    seconds: float = 0.0
    activity: Activity = field(default_factory=Activity)
    reason: str = ""  # why the sweep ended before its budget was spent
    error: str = ""  # the error that ended it
    interrupted: int = 0  # by this signal; 0: it was not
    unmirrored: str = ""  # what MLflow lacks in the end, and what to do about it
    remarks: list[str] = field(default_factory=list)  # of the engine, to be said again in the end

    @property
    def done(self) -> int:
        """Trials that count against the budget."""
        return self.counts.complete + self.counts.pruned

    @property
    def best(self) -> TrialRecord | None:
        """The best trial, complete or stopped; None while there is none."""
        return self.leaders.top[0] if self.leaders.top else None


class SweepListener(Protocol):
    """Is told how a sweep goes. Called from the driver's thread; must be quick."""

    def note(self, text: str, warning: bool = False) -> None: ...
    def trial(self, record: TrialRecord, standing: Standing) -> None: ...
    def tick(self, standing: Standing) -> None: ...
