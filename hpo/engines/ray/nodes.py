"""The nodes of the cluster, as far as the engine's actors use them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from hpo.engines.ray.cluster import Cluster, Node
from hpo.engines.ray.health import NodeHealth

_SECONDS_BETWEEN_LOOKS = 2.0


class ClusterNodes:
    """Follows a cluster that grows and shrinks: how many actors there is room for, and which nodes are used no more."""

    def __init__(self, cluster: Cluster, demand: Mapping[str, float]) -> None:
        """demand: what an actor takes of a node, by Ray's names."""
        self.health = NodeHealth()
        self.quarantined: set[str] = set()  # ids of nodes that are used no more
        self.room = 1  # for so many actors, by the last look
        self.demand = demand
        self._cluster = cluster
        self._looked = 0.0

    def look(self) -> list[Node]:
        """Return the nodes that are alive, and count the room on those that are used."""
        self._looked = time.monotonic()
        nodes = self._cluster.nodes()
        self.room = sum(node.room(self.demand) for node in nodes if node.id not in self.quarantined)
        return nodes

    def is_due(self) -> bool:
        """Whether it is time for another look."""
        return time.monotonic() - self._looked >= _SECONDS_BETWEEN_LOOKS

    def look_soon(self) -> None:
        """Have the next look be due at once."""
        self._looked = 0.0

    def has_room_without(self, node: str) -> bool:
        """Whether an actor could run if that node were used no more, too."""
        bad = {*self.quarantined, node}
        return any(other.room(self.demand) for other in self._cluster.nodes() if other.id not in bad)

    def only_quarantined(self, nodes: Sequence[Node]) -> list[Node]:
        """Return the nodes that have room if all of them are used no more, else []."""
        able = [node for node in nodes if node.room(self.demand)]
        return able if all(node.id in self.quarantined for node in able) else []
