"""Fifty workers in simulated time: driver, planner, searcher, study and MLflow are real, training is missing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
from e2e.support import Place
from optuna.trial import FrozenTrial

from hpo.driver import Driver
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.home import open_storage
from hpo.ledger.study.records import TrialRecord
from hpo.review.doctor import diagnose
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Standing
from hpo.stopping.asha import AshaKeys

pytestmark = pytest.mark.slow
TRIALS, WORKERS = 600, 50
FATES = RandomFates(seed=3, diverging=0.05, failing=0.03, dying=0.02, hanging=0.01)


class Watcher:
    def __init__(self) -> None:
        self.most = 0  # that ran at a time

    def note(self, text: str, warning: bool = False) -> None: ...

    def trial(self, record: TrialRecord, standing: Standing) -> None: ...

    def tick(self, standing: Standing) -> None:
        self.most = max(self.most, standing.counts.running)


class Outcome(NamedTuple):
    place: Place
    standing: Standing
    most: int
    seconds: float  # simulated
    trials: list[FrozenTrial]


def simulate(folder: Path) -> Outcome:
    place, clock, watcher = Place(folder), SimulatedClock(), Watcher()
    space = Space(
        (
            Parameter("rate", Range(1e-5, 1e-1, log=True)),
            Parameter("units", Range(8, 64, integer=True)),
            Parameter("kind", Categorical(("a", "b", "c"))),
            Parameter("momentum", Range(0.0, 0.99), {"kind": "a"}),
        )
    )
    sweep = Sweep(
        name="simulated", source=Path("simulated.yaml"), text="", metric=Target("val_accuracy", "maximize"),
        space=space, budget=Limits(TRIALS, 9, failures=TRIALS, trial_seconds=900, stall_seconds=600), method="random",
        early_terminate=AshaKeys(type="asha"), objective="simulated", seed=5, traits=Traits(reports_each_epoch=True),
    )  # fmt: skip
    began = clock.now
    engine = SimulatedEngine(WORKERS, clock, FATES)
    standing = Driver(sweep, Ledger(sweep, place.home, clock), engine, watcher, clock).run()
    trials = optuna.load_study(study_name="simulated", storage=open_storage(place.home)).trials
    return Outcome(place, standing, watcher.most, clock.now - began, trials)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return simulate(tmp_path_factory.mktemp("first"))


def test_the_budget_is_exact_whatever_fails_dies_or_hangs(outcome: Outcome) -> None:
    states = Counter(trial.state.name for trial in outcome.trials)
    assert states["COMPLETE"] + states["PRUNED"] == TRIALS == outcome.standing.done
    assert set(states) == {"COMPLETE", "PRUNED", "FAIL"}  # all of them, and none is left running
    failures = Counter(trial.user_attrs.get("failure") for trial in outcome.trials if trial.state.name == "FAIL")
    assert failures["error"] > 0
    assert failures["timeout"] > 0  # those that hung
    assert any(trial.user_attrs.get("attempts", 1) > 1 for trial in outcome.trials)  # whose worker died
    assert any("diverged" in trial.user_attrs for trial in outcome.trials)
    assert outcome.most == WORKERS


def test_both_records_agree(outcome: Outcome) -> None:
    assert list(diagnose(outcome.place.home, "simulated", fix=False).before.lines()) == []


def test_the_same_seeds_give_the_same_sweep(outcome: Outcome, tmp_path: Path) -> None:
    again = simulate(tmp_path)
    assert again.seconds == outcome.seconds
    assert [facts(trial) for trial in again.trials] == [facts(trial) for trial in outcome.trials]


def facts(trial: FrozenTrial) -> dict[str, Any]:
    kept = {name: fact for name, fact in trial.user_attrs.items() if name != "mlflow_run_id"}
    return kept | {"state": trial.state, "values": trial.values, "params": trial.params, "start": trial.datetime_start}
