"""The home's own database, written without MLflow: every row and every file is what MLflow's own client leaves."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place, assert_records_agree, empty_mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException

from hpo.ledger.mirror import bulk, connecting, template
from hpo.ledger.mirror.book import MlflowBook
from hpo.ledger.mirror.connecting import connect, needs_mlflow
from hpo.ledger.mirror.health import ailment_of, is_damage
from hpo.ledger.mirror.local import LocalClient, StoreError
from hpo.ledger.mirror.notes import NOTE
from hpo.ledger.mirror.rows import Point
from hpo.ledger.mirror.tracking import Client, log_batch
from hpo.ledger.study.home import Home

from .test_mlflow_ways import FAILED, ONE, PRUNED, SWEEP, Rows, assert_same, begun, ended, tables, trial

WAYS = ("local", "store", "client")  # without MLflow; MLflow's store, in bulk; MLflow's client, run by run
MODELS = {
    "linear": {"moment": 1.7e9, "metrics": {"score": 0.5}},
    "constant": {"moment": 1.7e9, "metrics": {"score": 0}},
}
REFERENCES = {"data": "d1", "kind": "binary", "models": MODELS}
CONFIRMED = {
    "study": "study-confirmed", "moment": 1.7e9, "winner": {"test": 0.5}, "baseline": {"test": None},
    "result": {"interval": (0.1, math.inf), "difference": 0.25, "verdict": "better"},
}  # fmt: skip
SUMMARY = {"outcome": "3 complete", "trials": 3, "best": 0.75, "spread": math.inf, "top": [(1, 0.75, {"x": 0.1})]}


def prepared(home: Home, way: str) -> MlflowBook:
    book = MlflowBook(home)
    with pytest.MonkeyPatch.context() as patch:
        if way == "store":
            patch.setattr(connecting, "needs_mlflow", lambda home: True)
        elif way == "client":
            patch.setattr(bulk, "TESTED", ())
        book.prepare()
    assert isinstance(book._mlflow.client, LocalClient) is (way == "local")
    assert book.takes_ids is (way != "client")
    return book


def plain(book: MlflowBook, folder: Path) -> None:
    """A sweep from its begin to its end, with files."""
    book.open(replace(SWEEP, references=REFERENCES), [])
    book.write([begun(ONE), begun(FAILED)], [])
    book.write([ended(ONE), ended(FAILED), ended(PRUNED)], [(1, 0.5, 1.7e9), (2, 0.75, 1.7e9)])
    output = folder / "printed" / "anything"
    output.parent.mkdir()
    output.write_text("printed")
    assert book.attach(1, "output.log", str(output)) == []
    assert not output.parent.exists()
    book.close("FINISHED", {**SUMMARY, "references": REFERENCES})


def continued(book: MlflowBook, folder: Path) -> None:
    """A sweep that is interrupted, gone on with, described, and given files; somebody has described a run meanwhile."""
    book.open(SWEEP, [])
    book.write([begun(ONE)], [])
    book.interrupted(lambda study: False)
    log_batch(book._mlflow.client, book._runs[1], tags={NOTE: "mine"})
    book.open(SWEEP, [])
    book.write([ended(ONE)], [])
    told = replace(SWEEP, decision={"confirmation": CONFIRMED, "confirms": {"study": "first", "parent": "0" * 32}})
    book.describe(told, {"a/b.txt": b"first", "c.bin": bytes(range(256))})
    book.describe(told, {"a/b.txt": b"second"})
    book.close("KILLED", SUMMARY)


def forsaken(book: MlflowBook, folder: Path) -> None:
    """A sweep whose study is deleted while trials run."""
    book.open(SWEEP, [])
    book.write([begun(ONE), ended(PRUNED)], [])
    book.forsake("somebody deleted it")


def restored(book: MlflowBook, folder: Path) -> None:
    """A sweep whose experiment was deleted with its runs, and has another name."""
    book.open(SWEEP, [])
    book.write([ended(ONE)], [])
    client = MlflowClient(book._home.tracking_uri)
    client.rename_experiment("1", "another")
    client.delete_experiment("1")
    book.open(replace(SWEEP, parent=book.parent_id), [])
    book.write([ended(FAILED)], [])


@pytest.mark.parametrize("course", [plain, continued, forsaken, restored])
def test_every_row_and_file_is_what_mlflow_leaves(tmp_path: Path, course: Callable[[MlflowBook, Path], None]):
    left = {}
    for way in WAYS:
        folder = tmp_path / way
        folder.mkdir()
        home = Place(folder).home
        course(prepared(home, way), folder)
        left[way] = timeless(tables(home.tracking_uri)), files(home)
    rows, written = left["local"]
    assert {"experiments", "experiment_tags", "runs", "tags", "params", "metrics", "latest_metrics"} <= rows.keys()
    assert rows["inputs"] and rows["experiment_tags"] and written
    for way in WAYS[1:]:
        assert_same(rows, left[way][0])
        assert written == left[way][1]


def timeless(rows: Rows) -> Rows:
    """Return rows with the same in the place of each moment of the last minutes, in milliseconds."""
    now = time.time() * 1000

    def plain(value: Any) -> Any:
        return "<now>" if isinstance(value, int) and now - 600_000 < value <= now else value

    return {name: sorted((tuple((k, plain(v)) for k, v in row) for row in its), key=repr) for name, its in rows.items()}


def files(home: Home) -> dict[str, tuple[bytes, int]]:
    """Return what the files of all runs hold, and what may be done with them, by run and path."""
    client, found = MlflowClient(home.tracking_uri), {}
    for run in client.search_runs([each.experiment_id for each in client.search_experiments()]):
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        for path in filter(Path.is_file, folder.rglob("*")):
            found[f"{run.info.run_name}: {path.relative_to(folder)}"] = path.read_bytes(), path.stat().st_mode
    return found


@pytest.mark.parametrize(
    "points",
    [
        [Point("m", 1.0, 5, 1), Point("m", 2.0, 5, 0), Point("n", -0.0, 1, 1)],
        [Point("m", math.nan, 5, 1), Point("m", math.nan, 5, 1), Point("m", 3.0, 6, 1)],
        [Point("m", math.inf, 5, 1), Point("n", -math.inf, 5, 1), Point("o", math.nan, 5, 2), Point("o", 1.0, 5, 2)],
    ],
)
def test_values_and_tags_of_any_kind_are_stored_as_mlflow_stores_them(tmp_path: Path, points: list[Point]):
    rows = []
    for way in ("local", "client"):
        (tmp_path / way).mkdir()
        book = prepared(Place(tmp_path / way).home, way)
        book.open(SWEEP, [])
        client = book._mlflow.client
        for tags in ({"long": "é" * 9000, "t": "1"}, {"t": "2", "odd": "a\nb'\"`;--"}):
            log_batch(client, book.parent_id, points, tags)
            log_batch(client, book.parent_id, points[1:])
        client.update_run(book.parent_id, name="another")
        rows.append(timeless(tables(book._home.tracking_uri)))
    assert_same(*rows)


def test_mlflow_reads_all_of_it(home: Home, tmp_path: Path):
    plain(prepared(home, "local"), tmp_path)
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    assert experiment.artifact_location == home.artifacts
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`hpo.kind` = 'sweep'")
    assert (parent.info.status, parent.info.run_name, parent.info.user_id) == ("FINISHED", "study (sweep)", "unknown")
    assert (parent.data.tags["mlflow.user"], parent.data.tags["mlflow.runName"]) == ("me", "study (sweep)")
    assert parent.data.metrics["hpo/best_so_far_score"] == 0.75
    assert parent.data.metrics["hpo/reference/linear/score"] == 0.5
    (data,) = parent.inputs.dataset_inputs
    assert (data.dataset.name, data.tags[0].value) == ("s.csv", "training")
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert names == {"sweep.yaml", "resolved.yaml", "versions.json", "references.json"}
    (one,) = client.search_runs([experiment.experiment_id], "tags.`hpo.trial` = '1'")
    path = client.download_artifacts(one.info.run_id, "output.log", str(tmp_path))
    assert Path(path).read_text() == "printed"
    client.log_batch(one.info.run_id, [Metric("score", 9.0, 9, 9)], tags=[RunTag("theirs", "1")])


@pytest.mark.parametrize("way", WAYS)
def test_a_parent_run_that_somebody_has_deleted_is_refused_in_the_same_way(home: Home, way: str):
    book = prepared(home, way)
    book.open(SWEEP, [])
    MlflowClient(home.tracking_uri).delete_run(book.parent_id)
    with pytest.raises(StoreError if way == "local" else MlflowException) as refused:
        book.close("FINISHED", SUMMARY)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def odd(home: Home, statement: str) -> None:
    assert home.mlflow_database is not None
    with closing(sqlite3.connect(home.mlflow_database)) as connection, connection:
        connection.execute(statement)


ODD: dict[str, Callable[[Home, pytest.MonkeyPatch], Any]] = {
    "release": lambda home, patch: patch.setattr(bulk, "TESTED", ((3, 16),)),
    "setting": lambda home, patch: patch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "3"),
    "no template": lambda home, patch: patch.setattr(template, "_kept", lambda: None),
    "broken template": lambda home, patch: patch.setattr(template, "_kept", lambda: Path(__file__)),
    "another column": lambda home, patch: odd(home, "ALTER TABLE webhooks ADD COLUMN more TEXT"),
    "no first experiment": lambda home, patch: odd(home, "DELETE FROM experiments"),
    "a missing table": lambda home, patch: odd(home, "DROP TABLE webhook_events"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_odd_is_left_to_mlflow_with_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str):
    clients: list[Client] = []
    left = []
    for name in ("plain", "odd"):
        (tmp_path / name).mkdir()
        home = Place(tmp_path / name).home
        assert not needs_mlflow(home)
        if name == "odd":
            ODD[what](home, monkeypatch)
        book = MlflowBook(home)
        book.prepare()
        clients.append(book._mlflow.client)
        book.open(SWEEP, [])
        book.write([ended(ONE)], [])
        book.close("FINISHED", SUMMARY)
        left.append(timeless(tables(home.tracking_uri)))
    assert isinstance(clients[0], LocalClient)
    assert type(clients[1]) is (LocalClient if what == "a missing table" else MlflowClient)  # that one is mended
    for table in ("runs", "tags", "metrics", "latest_metrics", "inputs"):
        assert left[0][table] == left[1][table], table


def test_an_older_schema_needs_mlflow_and_is_an_ailment_as_before(home: Home):
    odd(home, "UPDATE alembic_version SET version_num = 'other'")
    assert needs_mlflow(home)
    ailment = ailment_of(home)
    assert ailment is not None and ailment.kind == "release"


def test_a_file_that_is_written_over_is_noticed_although_sqlite_remembers_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("hpo.ledger.mirror.book._ended_trials", lambda home, study: [])
    book = prepared(home, "local")
    book.open(SWEEP, [])
    client = book._mlflow.client
    assert isinstance(client, LocalClient) and home.mlflow_database is not None
    with home.mlflow_database.open("rb+") as file:
        file.write(b"\0" * file.seek(0, os.SEEK_END))
        file.seek(0)
        file.write(b"\0" * 300_000)
    with pytest.raises(StoreError) as broken:
        client.look()
    assert is_damage(broken.value)
    assert any("was moved to" in note for note in book.recover())
    book.close("FINISHED", SUMMARY)
    assert MlflowClient(home.tracking_uri).get_run(book.parent_id).info.status == "FINISHED"


def test_a_file_that_is_gone_is_not_made_anew_in_mid_sweep(home: Home):
    connected = connect(home).client
    assert isinstance(connected, LocalClient) and home.mlflow_database is not None
    home.mlflow_database.unlink()
    connected.look()
    assert not home.mlflow_database.exists()


def test_several_write_at_once(home: Home):
    """Two sweeps of a home in two processes, as it were, and somebody with MLflow's own client."""
    books = [prepared(home, way) for way in ("local", "local", "store")]
    for number, book in enumerate(books):
        book.open(replace(SWEEP, study=f"study-{number}", study_id=str(number)), [])

    def work(book: MlflowBook) -> None:
        for number in range(1, 31):
            record = trial(number)
            book.write([begun(record)], [])
            book.write([ended(record)], [(number, number / 7, 1.7e9)])
        book.close("FINISHED", SUMMARY)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, book) for book in books]:
            done.result()
    client = MlflowClient(home.tracking_uri)
    for number in range(3):
        experiment = client.get_experiment_by_name(f"study-{number}")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert [run.info.status for run in runs] == ["FINISHED"] * 31


NOTING = """
import multiprocessing, os, sys

class Noting:
    @staticmethod
    def find_spec(name, path, target=None):
        package, _, module = name.partition(".")
        if module and package in ("mlflow", "pandas", "alembic") or name == "hpo.ledger.mirror.book":
            process = multiprocessing.current_process().name
            with open(os.path.join(os.environ["NOTED"], f"{process}-{os.getpid()}"), "a") as file:
                file.write(f"{package}\\n")

sys.meta_path.insert(0, Noting)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("fresh", "loads"), [(True, False), (False, False), (False, True)])
def test_the_process_that_writes_a_sweep_loads_mlflow_only_where_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool, loads: bool
):
    """Of a sweep that makes the database of the one that is kept, or finds one; and of one that goes on with it.

    loads: a setting of MLflow's says how it opens databases.
    """
    if loads:
        monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", "3")
    empty_mlflow()  # of which a copy is kept then
    (noted := tmp_path / "noted").mkdir()
    (tmp_path / "sitecustomize.py").write_text(NOTING)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("NOTED", str(noted))
    place = Place(tmp_path, fresh=fresh, cold=True)
    path = place.write("prints")
    place.sweep(path)
    assert_records_agree(place)
    place.sweep(path, "--extend", "2")
    assert_records_agree(place)
    writers = [each.read_text().split() for each in noted.iterdir() if each.name.startswith("mlflow-mirror")]
    assert [set(loaded) for loaded in writers] == [{"hpo", "mlflow", "alembic"} if loads else {"hpo"}] * 2
