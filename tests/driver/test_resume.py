"""A sweep of mixed shapes, driven in simulated time: what was decided live and what a resume would decide."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hpo.driver import Driver
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.events import Decision
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import TrialRecord
from hpo.search.searcher import Searcher
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Standing
from hpo.stopping.hyperband import HyperbandKeys

pytestmark = pytest.mark.slow
TRIALS, EPOCHS = 60, 9


class Watcher:
    def note(self, text: str, warning: bool = False) -> None: ...

    def trial(self, record: TrialRecord, standing: Standing) -> None: ...

    def tick(self, standing: Standing) -> None: ...


def decisions(searcher: Searcher) -> list[Decision]:
    """Have trials of the next numbers report the same made-up values to a searcher; return its decisions."""
    rng, decided = random.Random(0), []
    for number in range(1000, 1040):
        proposal = searcher.propose()
        assert proposal is not None
        searcher.begin(proposal.key, number, None)
        for step in range(1, EPOCHS + 1):
            value = rng.random()
            decided.append(searcher.report(proposal.key, step, value, decide=True))
            if decided[-1] is Decision.STOP:
                break
        searcher.finish(proposal.key, TrialState.PRUNED if decided[-1] is Decision.STOP else TrialState.COMPLETE, value)
    return decided


def test_brackets_stay_as_they_are(tmp_path: Path) -> None:
    """Hyperband deals trials to brackets by their numbers in the study, which are not the order of the proposals: the
    planner has trials begin by shapes."""
    clock = SimulatedClock()
    space = Space((Parameter("rate", Range(1e-5, 1e-1, log=True)), Parameter("units", Categorical((8, 16, 32)))))
    sweep = Sweep(
        name="s", source=Path("s.yaml"), text="", metric=Target("val_accuracy", "maximize"), space=space,
        budget=Limits(TRIALS, EPOCHS, failures=TRIALS), method="random", objective="simulated",
        early_terminate=HyperbandKeys(type="hyperband"),
        traits=Traits(reports_each_epoch=True, shape_parameters=("units",)),
    )  # fmt: skip
    home = Home(tmp_path)
    home.prepare()
    driver = Driver(sweep, Ledger(sweep, home, clock), SimulatedEngine(2, clock, RandomFates(seed=1)), Watcher(), clock)
    standing = driver.run()
    assert standing.done == TRIALS and standing.counts.pruned > 10
    trials = optuna.load_study(study_name="s", storage=open_storage(home)).trials
    units = [trial.params["units"] for trial in trials]
    assert sum(one != other for one, other in itertools.pairwise(units)) < TRIALS / 3  # by shapes
    assert driver._study is not None
    live = decisions(driver._study.trials._searcher)
    assert live == decisions(Searcher(sweep, trials))
    assert live.count(Decision.STOP) > 20
