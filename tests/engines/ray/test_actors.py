"""What the engine keeps of actors and nodes, without Ray: updates, notes, failed starts, room."""

from __future__ import annotations

import threading

import pytest

from hpo.engines.base import EngineError, Note
from hpo.engines.ray.cluster import Cluster, Node
from hpo.engines.ray.messages import ActorUpdate, CannotRun
from hpo.engines.ray.nodes import ClusterNodes
from hpo.engines.ray.outbox import Outbox
from hpo.engines.ray.starts import StartFailures
from hpo.engines.ray.updates import PendingUpdate
from hpo.engines.ray.versions import difference, versions


class TwoNodes(Cluster):
    """A cluster with two nodes of two cores."""

    def nodes(self) -> list[Node]:
        return [Node(name, "10.0.0.1", name, {"CPU": 2}) for name in ("a", "b")]


def test_an_update_has_all_that_happened_since_the_last_one():
    pending = PendingUpdate()
    assert pending.take(0) == ActorUpdate((), idle=False, ended=False)
    pending.add([CannotRun("x"), CannotRun("y")], idle=True)
    assert pending.take(60) == ActorUpdate((CannotRun("x"), CannotRun("y")), idle=True, ended=False)
    pending.add([], idle=False)
    assert pending.take(60) == ActorUpdate((), idle=False, ended=False)  # at once: that it is busy is news
    pending.add([CannotRun("last")])
    pending.end()
    assert pending.take(60) == ActorUpdate((CannotRun("last"),), idle=False, ended=True)


def test_an_update_is_waited_for():
    pending = PendingUpdate()
    found: list[ActorUpdate] = []
    waiting = threading.Thread(target=lambda: found.append(pending.take(60)))
    waiting.start()
    pending.add([CannotRun("x")])
    waiting.join(timeout=30)
    assert found == [ActorUpdate((CannotRun("x"),), idle=False, ended=False)]


def test_a_thing_is_noted_once():
    outbox = Outbox()
    for _ in range(2):
        outbox.note("an old disk")
        outbox.note("no disk", warning=True)
    assert outbox and outbox.take() == [Note("an old disk"), Note("no disk", warning=True)]
    outbox.note("no disk", warning=True)
    assert not outbox and outbox.take() == []


def test_actors_that_die_while_they_start_are_started_less_often_and_then_no_more():
    starts = StartFailures()
    for _ in range(2):
        assert starts.any_worked is False
        starts.take_failure("no disk on a")
        assert not starts.may_start()
    with pytest.raises(EngineError, match="workers die while they start: no disk on a"):
        starts.take_failure("no disk on a")


def test_where_actors_have_worked_those_that_die_end_no_sweep():
    starts = StartFailures()
    assert starts.may_start()
    starts.take_success()
    for _ in range(10):
        starts.take_failure("no disk on a")
    assert starts.any_worked and not starts.may_start()


def test_a_node_that_is_used_no_more_gives_no_room():
    nodes = ClusterNodes(TwoNodes(), {"CPU": 1})
    assert nodes.is_due() and nodes.room == 1
    assert [node.id for node in nodes.look()] == ["a", "b"]
    assert not nodes.is_due() and nodes.room == 4
    assert nodes.has_room_without("a")
    nodes.quarantined.add("b")
    nodes.look_soon()
    assert nodes.is_due() and not nodes.has_room_without("a")
    both = nodes.look()
    assert nodes.room == 2 and nodes.only_quarantined(both) == []
    nodes.quarantined.add("a")
    assert nodes.only_quarantined(both) == both


def test_other_versions_are_named():
    assert difference(versions(), versions()) == ""
    told = difference({"torch": "1.0", "pandas": "3"}, {"torch": "2.0", "pandas": "3"})
    assert told.endswith("has torch 2.0 (the driver has 1.0)")
    assert difference({"torch": "1.0"}, {}).endswith("has torch not there (the driver has 1.0)")
