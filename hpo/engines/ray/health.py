"""Which nodes of a cluster do badly: whose trials keep failing while those of other nodes succeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.events import Event, Failed, FailureKind, Paused, Returned

_DOUBTFUL = 3  # failures in a record on a node, after which others get the trials for a while, if there are any
_BROKEN = 5  # failures in a record on a node, after which it is the node's fault
_ELSEWHERE = 5  # if meanwhile so many trials of others succeeded,
_FAILED_ELSEWHERE = 1  # and no more than so many failed: some objectives fail often, anywhere


@dataclass
class _Record:
    """What happened since a node's last success."""

    failures: int = 0
    elsewhere: int = 0  # successes of other nodes since the first
    failed_elsewhere: int = 0
    last: str = ""


class NodeHealth:
    """Is told how trials end, and on which node; finds the nodes whose fault that may be."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}  # of nodes whose last trial failed

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
                self._records.pop(node, None)
                for other in self._records.values():
                    other.elsewhere += 1
            elif event.kind is not FailureKind.TIMEOUT:  # that says more of the trial than of the node
                record = self._records.setdefault(node, _Record())
                record.failures += 1
                record.last = event.error
                for name, other in self._records.items():
                    other.failed_elsewhere += name != node

    def doubtful(self) -> set[str]:
        """Return the nodes on which all recent trials failed: others must show whose fault that is."""
        return {
            node
            for node, record in self._records.items()
            if record.failures >= _DOUBTFUL and record.elsewhere < _ELSEWHERE
        }

    def suspects(self) -> list[tuple[str, str]]:
        """Return the nodes that should be used no more, with the reason; each is returned once."""
        judged = {
            node: record
            for node, record in self._records.items()
            if record.failures >= _BROKEN and record.elsewhere >= _ELSEWHERE
        }
        for node in judged:
            del self._records[node]
        return [
            (
                node,
                f"{record.failures} trials in a row failed there, while {record.elsewhere} succeeded elsewhere: "
                f"{record.last}",
            )
            for node, record in judged.items()
            if record.failed_elsewhere <= _FAILED_ELSEWHERE
        ]
