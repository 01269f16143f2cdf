"""What `hpo doctor` finds: disagreements between the records, counted by kind, with the first of each kind in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

SHOWN = 50  # findings of one kind that are kept in words

# Kinds that nothing can repair, each with what it means for the user.
BEYOND_REPAIR = {
    "study.contradiction": "Optuna lets nobody change a trial that has ended",
    "study.attributes": "what the study lacks, nothing else holds",
    "study.budget": "no trial is deleted; hpo sweep with -o budget.trials=N says that N are wanted",
    "study.removal": "hpo study rm STUDY finishes it",
    "disk.lost_outputs": "nothing else holds it; hpo confirm begins anew, with other seeds",
    "mlflow.unreachable": "start or correct MLflow (MLFLOW_TRACKING_URI), then run this command again",
    "mlflow.elsewhere": "only the home's own database is replaced; move this one away, then run this command again",
    "mlflow.model": "hpo model STUDY --trial N --on ROWS --register writes it again",
    "mlflow.release": "use the MLflow that wrote it, or move it away",
}


@dataclass(frozen=True)
class Finding:
    """One disagreement: what each side has."""

    kind: str  # <study, mlflow or disk>.<what>
    text: str
    trial: int | None = None

    def __str__(self) -> str:
        where = self.kind.partition(".")[0]
        return f"{where}: trial {self.trial}: {self.text}" if self.trial is not None else f"{where}: {self.text}"


class Findings:
    """Collects findings; of a kind that never ends it keeps the first ones, and how many there are."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.shown: list[Finding] = []

    def add(self, kind: str, text: str, trial: int | None = None) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.shown.append(Finding(kind, text, trial))

    def extend(self, others: Findings) -> None:
        """Take in what was collected elsewhere, of other kinds."""
        self.counts += others.counts
        self.shown += others.shown

    def __len__(self) -> int:
        return self.counts.total()

    @property
    def repairable(self) -> int:
        return sum(count for kind, count in self.counts.items() if kind not in BEYOND_REPAIR)

    def lines(self) -> Iterator[str]:
        """Yield a line for each finding, kind after kind, and one for those of a kind that are not shown."""
        for kind, count in self.counts.items():
            yield from (str(finding) for finding in self.shown if finding.kind == kind)
            if count > SHOWN:
                yield f"{kind.partition('.')[0]}: ... and {count - SHOWN:,} more of this kind ({kind})"
