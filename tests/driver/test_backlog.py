"""What is asked for together: trials of one shape, so that they can train as one stack."""

from __future__ import annotations

from collections import Counter

import pytest
from optuna.trial import TrialState
from search.support import space_of, sweep_of

from hpo.driver.backlog import Backlog
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.space import Categorical, Parameter, Range
from hpo.spec.sweep import Sweep

SPACE = space_of(
    Parameter("layers", Categorical(([32], [64, 32], [128]))),
    Parameter("batch", Categorical((32, 64, 128))),
    Parameter("rate", Range(1e-4, 1e-1, log=True)),
    Parameter("kind", Categorical(("a", "b"))),
    Parameter("momentum", Range(0.0, 0.99), {"kind": "a"}),
)
SHAPING = ("layers", "batch")


class Played:
    """A sweep whose workers train groups in turn, with made-up values."""

    def __init__(self, sweep: Sweep, workers: int = 2) -> None:
        self.sweep, self.searcher = sweep, Searcher(sweep)
        self.backlog = Backlog(sweep, self.searcher, workers, [])
        self.groups: list[list[Proposal]] = []
        self.ended = self.begun = 0
        self._running: list[list[Proposal]] = []
        self._workers = workers

    def turn(self, room: int) -> None:
        """Give each idle worker a group, and end the oldest one. room: trials that the budget has left."""
        idle = self._workers - len(self._running)
        self.backlog.ask(idle, sum(map(len, self._running)), self.ended, room)
        for group in self.backlog.take(idle, self.ended):
            proposals = [item for item in group if isinstance(item, Proposal)]
            for proposal in proposals:
                self.searcher.begin(proposal.key, self.begun, None)
                self.begun += 1
            self.groups.append(proposals)
            self._running.append(proposals)
        for proposal in self._running.pop(0):
            self.searcher.finish(proposal.key, TrialState.COMPLETE, -abs(proposal.params["rate"] - 0.01))
            self.ended += 1


def sweep(method: str = "tpe") -> Sweep:
    return sweep_of(SPACE, method, shapes=SHAPING)


def played(method: str, trials: int = 240) -> Played:
    found = Played(sweep(method))
    while found.begun < trials:
        found.turn(trials - found.begun)
    return found


def test_a_method_that_learns_asks_for_whole_groups_of_a_shape() -> None:
    """Nine shapes, and never more than 30 open trials: by chance a group would hold two or three."""
    found = played("tpe")
    assert all(len({found.sweep.shape_of(one.params) for one in group}) == 1 for group in found.groups)
    assert len({found.sweep.shape_of(group[0].params) for group in found.groups[:4]}) > 2  # these are drawn blindly
    assert sum(len(group) >= 8 for group in found.groups) > 0.8 * len(found.groups)
    assert len({found.sweep.shape_of(group[0].params) for group in found.groups}) > 5
    assert found.begun == 240


def test_where_all_are_of_one_shape_as_many_are_asked_for_as_may_be_open() -> None:
    """Also beside one that waits already, such as a trial that runs again."""
    backlog = Backlog(made := sweep_of(SPACE, "tpe", shapes=()), Searcher(made), 2, [])
    backlog.ask(idle=2, running=0, ended=8, room=1)
    backlog.ask(idle=2, running=0, ended=8, room=100)
    assert [len(group) for group in backlog.take(2, 8)] == [8, 8]


def test_methods_that_do_not_learn_fill_cohorts_of_all_shapes_at_once() -> None:
    found = played("random", trials=900)
    assert len(found.groups[0]) > 80  # a ninth of them
    shares = Counter(found.sweep.shape_of(one.params) for group in found.groups for one in group)
    assert len(shares) == 9 and min(shares.values()) > 60  # drawn as ever, only trained in another order


@pytest.mark.parametrize("method", ["gp", "nsga2", "cmaes"])
def test_methods_that_cannot_draw_for_a_shape_are_asked_as_ever(method: str) -> None:
    space = space_of(*SPACE.parameters[:3])
    searcher = Searcher(made := sweep_of(space, method, shapes=SHAPING))
    backlog = Backlog(made, searcher, 2, [])
    backlog.ask(idle=2, running=0, ended=0, room=16)
    groups = backlog.take(2, 0)
    alone = Searcher(sweep_of(space, method, shapes=SHAPING))
    asked = [proposal.params for _ in range(16) if (proposal := alone.propose()) is not None]
    taken = [item.params for group in groups for item in group if isinstance(item, Proposal)]
    assert all(params in asked for params in taken)


def test_a_shape_that_trains_one_by_one_is_not_asked_for_in_groups() -> None:
    found = Played(sweep())
    for layers in SPACE["layers"].domain.values:  # type: ignore[union-attr]
        for batch in SPACE["batch"].domain.values:  # type: ignore[union-attr]
            found.backlog._planner.limit(found.sweep.shape_of({"layers": layers, "batch": batch}), 1)
    found.backlog.ask(idle=2, running=0, ended=0, room=16)
    groups = [group for _ in range(8) for group in found.backlog.take(2, 0)]
    assert [len(group) for group in groups] == [1] * 16
    shapes = {found.sweep.shape_of(item.params) for group in groups for item in group if isinstance(item, Proposal)}
    assert len(shapes) > 4  # nothing is gained by giving up what the sampler would propose
