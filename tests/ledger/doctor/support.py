"""A small sweep's home, in which all agree, and what doctors find in it."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from waiting import wait_for

from hpo.ledger.ledger import Ledger
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome
from hpo.review.doctor import Checkup, diagnose, lines_of
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection
from hpo.spec.sweep import Sweep

SWEEP = """
name: small
objective: thing
metric: {name: score, goal: maximize}
method: random
budget: {trials: 5}
parameters:
  x: {min: 0.0, max: 9.0}
  layers: {values: [[64, 32], 3, null]}
  mode: {values: [true, false]}
  fixed: {value: 1e-5}
"""


AGREED = "small: study, MLflow and disk agree (7 trials); 1 interrupted trial will be run again by the next hpo sweep"


def load(folder: Path, text: str = SWEEP) -> Sweep:
    path = folder / "small.yaml"
    path.write_text(text)
    return load_sweep(path, lambda named: Inspection(None), ())


def params(number: int) -> dict[str, Any]:
    return {"x": float(number), "layers": [[64, 32], 3, None][number % 3], "mode": number % 2 == 0, "fixed": 1e-5}


def run_sweep(home: Home, sweep: Sweep, dies: bool = False) -> Home:
    """Run a sweep of 7 trials, as a driver does: 4 complete, one pruned, one that failed, one interrupted.

    dies: the driver is gone before it has ended two more trials.
    """
    home.prepare()
    ledger = Ledger(sweep, home)
    ledger.start()
    best = -1.0
    for number in range(7):
        record = ledger.begin(params(number))
        for step in range(1, 4):
            ledger.report(number, step, {"score": number / 7 + step, "loss": 1 / (step + number)}, time.time())
        if number == 4:
            record.info |= {"worker": "w-0", "host": "here"}
            ledger.end(number, Outcome("pruned"))
        elif number == 5:
            ledger.end(number, Outcome("failed", error="ValueError: no", traceback="Traceback: no\n", failure="error"))
        elif number == 6:
            ledger.end(number, Outcome("failed", error="the sweep was interrupted", interrupted=True))
        else:
            value = record.last("score") or 0.0
            record.info |= {"worker": "w-1"}
            ledger.end(number, Outcome("complete", value=value))
            if value > best:
                best = value
                ledger.best(record)
    if dies:
        ledger.begin(params(7))
        ledger.report(7, 1, {"score": 0.5}, time.time())

        def written() -> bool:
            ledger.pump()
            return not ledger._mirror._unwritten

        wait_for(written, "an MLflow that has all")
        ledger.abandon()
    else:
        ledger.close("FINISHED", {"outcome": "done", "trials_complete": 4}, lambda: False)
    return home


def look(home: Home, fix: bool = False) -> tuple[str, Checkup]:
    diagnosis = diagnose(home, "small", fix)
    return "\n".join(lines_of(diagnosis, home)), diagnosis


def assert_found_and_repaired(home: Home, *patterns: str) -> str:
    """What is damaged is found and named, nothing else is; it is repaired; then there is nothing to do."""
    before = home.journal.read_bytes()
    said, found = look(home)
    for pattern in patterns:
        assert re.search(pattern, said), said
    assert len(found.before) == len(patterns), said
    assert "doctor small --fix --home" in said.splitlines()[-1]
    assert home.journal.read_bytes() == before
    repaired, fixed = look(home, fix=True)
    assert not len(fixed.after), repaired
    assert_silent(home)
    return repaired


def assert_silent(home: Home) -> None:
    said, found = look(home)
    assert said.count("\n") == 0, said
    assert "small: study, MLflow and disk agree" in said
    assert look(home, fix=True)[1].done is None
    assert not len(found.before)


def sql(home: Home, statement: str) -> list[Any]:
    assert home.mlflow_database is not None
    with closing(sqlite3.connect(home.mlflow_database)) as connection, connection:
        changed = connection.execute(statement)
        assert changed.rowcount != 0 or statement.startswith("select"), statement
        return changed.fetchall()


def run_of(home: Home, number: int) -> str:
    study = open_storage(home)
    return str(study.get_all_trials(study.get_all_studies()[0]._study_id)[number].user_attrs["mlflow_run_id"])
