"""Which nodes are used no more."""

from __future__ import annotations

from hpo.engines.ray.health import NodeHealth
from hpo.events import Event, Failed, FailureKind, Finished, Paused, Returned


def test_a_node_that_fails_while_others_succeed():
    health = NodeHealth()
    for number in range(3):
        assert not health.doubtful()
        health.take("bad", [Failed(number, "no disk")])
    assert health.doubtful() == {"bad"}
    for _ in range(5):
        health.take("good", [Finished(9)])
    assert not health.doubtful()  # it gets another chance
    for number in range(2):
        assert not health.suspects()
        health.take("bad", [Failed(number, "no disk")])
    ((node, reason),) = health.suspects()
    assert node == "bad"
    assert reason == "5 trials in a row failed there, while 5 succeeded elsewhere: no disk"
    assert not health.suspects()


def test_an_objective_that_fails_everywhere_is_no_nodes_fault():
    health = NodeHealth()
    for number in range(50):
        health.take("a", [Failed(number, "bad luck")])
        health.take("b", [Failed(number, "bad luck")])
        assert not health.suspects()


def test_an_objective_that_fails_often_is_no_nodes_fault():
    health = NodeHealth()
    for number in range(20):
        health.take("a", [Failed(number, "bad luck")])
        health.take("b", [Failed(number, "bad luck") if number % 3 == 0 else Finished(number)])
        assert not health.suspects()


def test_one_success_and_timeouts_clear_a_node():
    health = NodeHealth()
    for number in range(9):
        health.take("a", [Failed(number, "x", kind=FailureKind.ERROR if number % 3 else FailureKind.TIMEOUT)])
        health.take("b", [Finished(9)])
        health.take("a", [Finished(8)] if number % 3 == 2 else [])
    assert not health.suspects()


def test_a_cohort_that_dies_with_its_worker_is_one_failure():
    health = NodeHealth()
    dead: list[Event] = [Failed(number, "killed", kind=FailureKind.DIED) for number in range(64)]
    health.take("a", dead)
    health.take("b", [Finished(number) for number in range(64)])
    assert not health.suspects()
    for _ in range(4):
        health.take("a", dead)
        health.take("a", [Returned(7, 1), Paused(8)])  # which say nothing of the node
    ((node, _),) = health.suspects()
    assert node == "a"
