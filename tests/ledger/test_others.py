"""Several ledgers on one study of PostgreSQL: the budget is met exactly, and nothing is doubled."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import pytest
from postgresql import postgresql

from hpo.ledger.home import Home, open_database
from hpo.ledger.ledger import Ledger
from hpo.ledger.records import TrialRecord, is_surplus
from hpo.spec.space import Categorical, Parameter, Space
from hpo.spec.sweep import Limits, Sweep, Target

BUDGET, VALUES, DRIVERS = 16, 20, 4


def make_sweep() -> Sweep:
    space = Space((Parameter("x", Categorical(tuple(range(VALUES)))),))
    return Sweep("s", Path("s.yaml"), "", Target("score", "maximize"), space, Limits(BUDGET), objective="m")


def drive(arguments: tuple[str, Path, int]) -> int:
    """Be a driver whose trials take no time and sometimes fail; return how many trials it knows in the end."""
    url, folder, number = arguments
    rng = random.Random(number)
    ledger = Ledger(make_sweep(), Home(folder / str(number), storage=url), join=True)
    ledger._mirror = Mock(takes_ids=True, in_trouble=False, parent_id="", run_ids={})
    ledger._mirror.receive.side_effect = ledger._mirror.wait.side_effect = lambda *hurry: []
    ledger._mirror.close.return_value = []
    ledger.start()
    left = set(range(VALUES))  # a driver knows its own trials
    while ledger.news() and ledger.done < BUDGET:
        record = ledger.begin({"x": rng.choice(sorted(left))})
        if isinstance(record, TrialRecord):
            fails = rng.random() < 0.3
            left -= set() if fails else {record.params["x"]}
            ledger.end(record.number, "failed" if fails else "complete", value=0.5)
    last, _ = ledger.leave(lambda: False)
    assert ledger.news() is not None
    ledger.close("FINISHED" if last else "", {}, lambda: False)
    ledger._ownership._engine.dispose()
    return ledger.done


@pytest.mark.slow
def test_drivers_that_race_for_each_trial_meet_the_budget_exactly(tmp_path: Path):
    with postgresql() as url, multiprocessing.get_context("spawn").Pool(DRIVERS) as pool:
        for attempt in range(2):
            folder = tmp_path / str(attempt)
            assert (
                pool.map(drive, [(url, folder, number) for number in range(DRIVERS)], chunksize=1) == [BUDGET] * DRIVERS
            )
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
            storage.delete_study(study)
            storage.engine.dispose()
