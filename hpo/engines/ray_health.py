"""Which nodes of a cluster do badly: whose trials keep failing while those of other nodes succeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.events import Event, Failed, FailureKind

_IN_A_ROW = 5  # failures on a node, and successes elsewhere since the first of them


@dataclass
class _Row:
    failures: int = 0
    elsewhere: int = 0  # successes of other nodes since the first
    last: str = ""


@dataclass
class Health:
    """Is told how trials end, and where. quarantined: nodes that are used no more."""

    quarantined: set[str] = field(default_factory=set)
    _rows: dict[str, _Row] = field(default_factory=dict)

    def take(self, node: str, ended: Sequence[Event]) -> None:
        """Take in events that end trials on a node."""
        for event in ended:
            if not isinstance(event, Failed):
                self._rows.pop(node, None)
                for other in self._rows.values():
                    other.elsewhere += 1
            elif event.kind is not FailureKind.TIMEOUT:  # that says more of the trial than of the node
                row = self._rows.setdefault(node, _Row())
                row.failures += 1
                row.last = event.error

    def suspects(self) -> list[tuple[str, str]]:
        """Return the nodes that should be used no more, with the reason; each is returned once."""
        found = [
            (
                node,
                f"{row.failures} trials in a row failed there, while {row.elsewhere} succeeded elsewhere: {row.last}",
            )
            for node, row in self._rows.items()
            if row.failures >= _IN_A_ROW and row.elsewhere >= _IN_A_ROW
        ]
        for node, _ in found:
            del self._rows[node]
        return found
