"""How a sweep stands: what the driver keeps up to date, and who is told of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.references import References


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
class Standing:
    """How the sweep stands: what is shown while it runs and returned in the end."""

    study: str
    metric: str
    goal: str
    trials: int  # the budget
    counts: Counts = field(default_factory=Counts)
    best: TrialRecord | None = None
    baseline: TrialRecord | None = None
    references: References | None = None  # what models of scikit-learn reach on the same split
    seconds: float = 0.0
    phase: str = "starting workers"  # what is waited for; "" while trials run
    reason: str = ""  # why the sweep ended before its budget was spent
    error: str = ""  # the error that ended it
    interrupted: int = 0  # by this signal; 0: it was not
    unmirrored: str = ""  # what MLflow lacks in the end, and what to do about it
    remarks: list[str] = field(default_factory=list)  # of the engine, to be said again in the end

    @property
    def done(self) -> int:
        """Trials that count against the budget."""
        return self.counts.complete + self.counts.pruned


class SweepListener(Protocol):
    """Is told how a sweep goes. Called from the driver's thread; must be quick."""

    def note(self, text: str, warning: bool = False) -> None: ...
    def trial(self, record: TrialRecord, standing: Standing) -> None: ...
    def tick(self, standing: Standing) -> None: ...
