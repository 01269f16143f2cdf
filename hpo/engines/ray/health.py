"""Which nodes of a cluster do badly: whose trials keep failing while those of other nodes succeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.events import Event, Failed, FailureKind, Paused, Returned

_DOUBTFUL = 3  # failures in a row on a node, after which others get the trials for a while, if there are any
_BROKEN = 5  # failures in a row on a node, after which it is the node's fault
_ELSEWHERE = 5  # if meanwhile so many trials of others succeeded,
_FAILED_ELSEWHERE = 1  # and no more than so many failed: some objectives fail often, anywhere


@dataclass
class _Row:
    failures: int = 0
    elsewhere: int = 0  # successes of other nodes since the first
    failed_elsewhere: int = 0
    last: str = ""


@dataclass
class Health:
    """Is told how trials end, and where. quarantined: nodes that are used no more."""

    quarantined: set[str] = field(default_factory=set)
    _rows: dict[str, _Row] = field(default_factory=dict)

    def take(self, node: str, ended: Sequence[Event]) -> None:
        """Take in events by which a node lets go of trials, all at once."""
        died = False
        for event in ended:
            if isinstance(event, Returned | Paused):  # says nothing of the node
                continue
            if isinstance(event, Failed) and event.kind in (FailureKind.DIED, FailureKind.OUT_OF_MEMORY):
                if died:  # of the same cohort: one process, one failure
                    continue
                died = True
            if not isinstance(event, Failed):
                self._rows.pop(node, None)
                for other in self._rows.values():
                    other.elsewhere += 1
            elif event.kind is not FailureKind.TIMEOUT:  # that says more of the trial than of the node
                row = self._rows.setdefault(node, _Row())
                row.failures += 1
                row.last = event.error
                for name, other in self._rows.items():
                    other.failed_elsewhere += name != node

    def doubtful(self) -> set[str]:
        """Return the nodes on which all recent trials failed: others must show whose fault that is."""
        return {n for n, row in self._rows.items() if row.failures >= _DOUBTFUL and row.elsewhere < _ELSEWHERE}

    def suspects(self) -> list[tuple[str, str]]:
        """Return the nodes that should be used no more, with the reason; each is returned once."""
        judged = {n: row for n, row in self._rows.items() if row.failures >= _BROKEN and row.elsewhere >= _ELSEWHERE}
        for node in judged:
            del self._rows[node]
        return [
            (
                node,
                f"{row.failures} trials in a row failed there, while {row.elsewhere} succeeded elsewhere: {row.last}",
            )
            for node, row in judged.items()
            if row.failed_elsewhere <= _FAILED_ELSEWHERE
        ]
