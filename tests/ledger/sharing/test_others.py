"""Several ledgers on one study, all in PostgreSQL: the budget is met exactly, nothing is doubled, MLflow agrees."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from postgresql import postgresql_server
from waiting import wait_for
from warm import Warm

from hpo.ledger.ledger import Ledger
from hpo.ledger.study.home import Home, open_database
from hpo.ledger.study.records import Outcome, TrialRecord, is_surplus
from hpo.spec.space import Categorical, Parameter, Space
from hpo.spec.sweep import Limits, Sweep, Target

BUDGET, VALUES, DRIVERS = 24, 30, 4


def make_sweep() -> Sweep:
    space = Space((Parameter("x", Categorical(tuple(range(VALUES)))),))
    return Sweep("s", Path("s.yaml"), "", Target("score", "maximize"), space, Limits(BUDGET), objective="m")


def drive(home: Home, number: int, start: Barrier, writers: str) -> int:
    """Be a driver whose trials take no time and sometimes fail; return how many trials it knows in the end.

    writers: the address of the server whose forks write MLflow.
    """
    Warm.WRITERS.use_here(writers)
    rng = random.Random(number)
    ledger = Ledger(make_sweep(), home, join=True)
    ledger.warm_up()

    def loaded() -> bool:
        ledger._mirror.receive()
        return ledger._mirror.takes_ids

    wait_for(loaded, "a mirror that has loaded MLflow")
    start.wait(60)
    ledger.start()
    left = set(range(VALUES))  # a driver knows its own trials
    while ledger.news() and ledger.done < BUDGET:
        ledger.pump()
        record = ledger.begin({"x": rng.choice(sorted(left))})
        if isinstance(record, TrialRecord):
            fails = rng.random() < 0.3
            left -= set() if fails else {record.params["x"]}
            ledger.end(record.number, Outcome("failed" if fails else "complete", value=0.5))
    last, _ = ledger.leave(lambda: False)
    assert ledger.news() is not None
    assert ledger.close("FINISHED" if last else "", {"outcome": "done", "trials_complete": BUDGET}, lambda: False) == []
    ledger.membership._ownership._storage.engine.dispose()
    return ledger.done


@pytest.mark.slow
def test_drivers_that_race_for_each_trial_meet_the_budget_exactly(tmp_path: Path):
    from e2e.support import Place  # not for the drivers' processes: it imports MLflow

    context = multiprocessing.get_context("spawn")
    with (
        postgresql_server() as server,
        Warm.DRIVERS.lent_here(),
        ProcessPoolExecutor(DRIVERS, context) as pool,
        context.Manager() as manager,
    ):
        url, tracking = server.get_uri(), server.get_uri(database="mlflow")
        homes = [Home(tmp_path / str(number), url, tracking) for number in range(DRIVERS)]
        start = manager.Barrier(DRIVERS)
        known = pool.map(drive, homes, range(DRIVERS), [start] * DRIVERS, [Warm.WRITERS.serve()] * DRIVERS)
        assert list(known) == [BUDGET] * DRIVERS
        storage = open_database(url)
        study = storage.get_study_id_from_name("s")
        trials = storage.get_all_trials(study)
        counted = [trial for trial in trials if not is_surplus(trial)]
        complete = [trial for trial in counted if trial.state.name == "COMPLETE"]
        assert len(complete) == BUDGET
        assert len({trial.params["x"] for trial in complete}) == BUDGET
        assert Counter(trial.state.name for trial in trials).keys() <= {"COMPLETE", "FAIL"}
        drivers = {trial.user_attrs["driver"] for trial in trials}  # one may come too late for any
        assert len(drivers) > 1 and drivers <= set(range(1, DRIVERS + 1))
        assert storage.get_study_user_attrs(study)["owners"] == {"entered": DRIVERS, "drivers": []}
        storage.engine.dispose()
        doctor = Place(tmp_path).run("doctor", "s", "--storage", url, env={"MLFLOW_TRACKING_URI": tracking})
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert f"{len(counted)} trials" in doctor.stdout
