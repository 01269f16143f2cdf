"""What a confirmation shows while it trains: progress and what went wrong; no best trial, which means nothing here."""

from __future__ import annotations

from hpo.ledger.study.records import TrialRecord
from hpo.standing import Standing, SweepListener


class ConfirmListener:
    """Another listener (hpo.standing.SweepListener), which hears of trials only what went wrong."""

    def __init__(self, listener: SweepListener) -> None:
        self._listener = listener
        self._known: set[str] = set()

    def note(self, text: str, warning: bool = False) -> None:
        """Pass on a warning, once; what else there is to say of data and workers was said when the sweep ran."""
        if warning and text not in self._known:
            self._known.add(text)
            self._listener.note(text, warning)

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        """Tell of a trial that did not come through."""
        if record.state == "failed" and not record.interrupted:
            self.note(f"trial {record.number} failed: {record.error}", warning=True)
        elif record.diverged is not None:
            self.note(f"trial {record.number} diverged in epoch {record.diverged}", warning=True)

    def tick(self, standing: Standing) -> None:
        self._listener.tick(standing)
