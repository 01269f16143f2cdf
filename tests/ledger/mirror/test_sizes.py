"""MLflow's SQLite database knows how long its tables are, so that many runs are ordered in a way that suits many."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place
from mlflow import MlflowClient
from sqlalchemy import event

from hpo.ledger.mirror.bulk import BulkWriter
from hpo.ledger.mirror.compat import store_of
from hpo.ledger.mirror.rows import Point, RunOrder, RunRows
from hpo.ledger.study.home import Home
from hpo.review.ui_mlflow import _tell_sizes

RUNS = 96
ORDERS = ["metrics.`score` DESC", "params.`x` ASC", "tags.`kind` ASC"]


def rows(number: int) -> RunRows:
    known = {name: str(number) for name in "xyz"}
    points = [Point("score", number / 7, 1, 1), Point("loss", 0.5, 1, 1)]
    return RunRows(f"run {number}", 1, {"kind": "a"}, known, points=points)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with some runs, written by the bulk writer a few at a time."""
    place = Place(tmp_path).home
    client = MlflowClient(place.tracking_uri)
    writer = BulkWriter(client, client.create_experiment("e"))
    for first in range(0, RUNS, 8):
        writer.write([RunOrder(number, rows(number)) for number in range(first, first + 8)])
    return place


def plan(home: Home, order: str) -> list[str]:
    """Return how SQLite carries out MLflow's search for runs in an order."""
    client, said = MlflowClient(home.tracking_uri), list[tuple[str, Any]]()
    engine = store_of(client).engine

    def listen(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        said.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", listen)
    try:
        found = client.search_runs([client.get_experiment_by_name("e").experiment_id], order_by=[order])
    finally:
        event.remove(engine, "before_cursor_execute", listen)
    assert len(found) == RUNS
    statement, parameters = next(each for each in said if "AS anon_1" in each[0] and "LIMIT" in each[0])
    assert home.mlflow_database is not None
    with closing(sqlite3.connect(home.mlflow_database)) as connection:
        return [line for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def compares_each_with_each(lines: list[str]) -> bool:
    return any(line.startswith("SCAN anon_") for line in lines)


@pytest.mark.parametrize("order", ORDERS)
def test_runs_are_ordered_without_comparing_each_with_each(home: Home, order: str) -> None:
    assert not compares_each_with_each(plan(home, order))


def test_the_ui_tells_an_old_database_its_sizes(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    assert home.mlflow_database is not None
    with closing(sqlite3.connect(home.mlflow_database)) as connection:
        connection.execute("DELETE FROM sqlite_stat1")
        connection.commit()
    assert compares_each_with_each(plan(home, ORDERS[0]))
    _tell_sizes(home.tracking_uri)
    assert not compares_each_with_each(plan(home, ORDERS[0]))
    assert capfd.readouterr().err == ""


def test_a_database_that_can_t_be_told_is_served_all_the_same(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    _tell_sizes(f"{home.tracking_uri}?mode=ro&uri=true".replace("sqlite:///", "sqlite:///file:"))
    assert "ordering many runs will take long" in capfd.readouterr().err
