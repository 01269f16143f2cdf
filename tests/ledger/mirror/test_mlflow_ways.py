"""The ways into MLflow leave the same: every row of every table, whatever is written, in whatever steps."""

from __future__ import annotations

import re
import uuid
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place
from mlflow import MlflowClient
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow_server import mlflow_server
from postgresql import postgresql
from sqlalchemy import MetaData, NullPool, create_engine, select

from hpo.ledger.mirror import bulk as mlflow_bulk
from hpo.ledger.mirror.book import MlflowBook
from hpo.ledger.mirror.bulk import why_not
from hpo.ledger.mirror.links import OPEN
from hpo.ledger.mirror.local import StoreError
from hpo.ledger.mirror.notes import NOTE, WRITTEN
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Origin, Outcome, SweepRecord, TrialRecord

Batch = list[tuple[TrialRecord, bool]]  # what MlflowBook.write takes: records, and whether they have ended
Rows = dict[str, list[tuple[tuple[str, Any], ...]]]  # by table

DATA = {"name": "s.csv", "digest": "d1", "rows": 7, "type": "local", "source": {"uri": "s.csv"}, "since": 1.7e9}
ORIGIN = Origin("s.yaml", versions={"hpo": "1"}, commit="c0ffee", user="me", data=DATA)
SWEEP = SweepRecord(
    study="study", study_id="one", metric="score", goal="maximize", objective="m", text="name: s\n",
    config={"parameters": {"x": {"type": "float"}}}, origin=ORIGIN, began=1.7e9,
)  # fmt: skip


def trial(number: int, length: int = 3, **facts: Any) -> TrialRecord:
    """Return the record of a trial that has ended after this many steps."""
    start = 1.7e9 + 100 * number
    history = {step: {"score": step / 7 + number, "loss": 1 / (step + number)} for step in range(1, length + 1)}
    record = TrialRecord(
        number=number, params={"x": 0.1, "layers": [64, 32], "on": True, "none": None, "text": "é"}, seed=number,
        started=start, ended=start + 50.25,
        steps=history, times={step: start + step / 3 for step in facts.get("steps", history)}, run_id=uuid.uuid4().hex,
    )  # fmt: skip
    outcome = Outcome("complete", value=history[length]["score"] if length else 0.5)
    return changed(replace(record, outcome=outcome), **facts)


def changed(record: TrialRecord, **facts: Any) -> TrialRecord:
    """Return a record with other facts: its own, or its outcome's."""
    names = {each.name for each in fields(Outcome)}
    outcome = replace(record.outcome, **{name: facts.pop(name) for name in names & facts.keys()})
    return replace(record, outcome=outcome, **facts)


def begun(record: TrialRecord) -> tuple[TrialRecord, bool]:
    return replace(record, outcome=Outcome(), ended=None, steps={}, times={}), False


def ended(record: TrialRecord) -> tuple[TrialRecord, bool]:
    return record, True


ONE = trial(1)
FAILED = trial(2, state="failed", value=None, error="ValueError: é", traceback="Traceback:\n  é\nValueError: é\n")
PRUNED = trial(3, state="pruned", value=None, stopped_by="budget.seconds")
DIVERGED = trial(4, state="pruned", value=None, diverged=3)
MANY = {step: {f"m{index}": step * index / 3 for index in range(7)} for step in range(1, 301)}
SPARSE = {1: {"score": 0.5}, 2: {"late": -0.0, "score": 0.5}, 4: {"late": 1e-300, "loss": 1e300}}
CLASHING = {step: {"a@b": 1.0, "a_b": 1.0, "a#b": float(step), "value": 9.0} for step in (1, 2)}
CASES: dict[str, list[Batch]] = {
    "complete": [[ended(ONE)]],
    "failed": [[ended(FAILED)]],
    "pruned": [[ended(PRUNED)]],
    "diverged": [[ended(DIVERGED)]],
    "without steps": [[ended(trial(1, 0)), ended(trial(2, 0, state="failed", value=None))]],
    "all facts": [[ended(trial(7, retry_of=3, attempts=2, info={"worker": "w-0", "host": "h", "gpu": 0, "pid": 1}))]],
    "begun": [[begun(ONE), begun(FAILED)]],
    "begun twice": [[begun(ONE)], [begun(ONE)]],
    "begun, then ended": [[begun(ONE), begun(FAILED)], [ended(FAILED)], [begun(PRUNED)], [ended(ONE)]],
    "ended twice": [[ended(ONE), ended(FAILED)], [ended(FAILED), ended(ONE)]],
    "new and old at once": [[begun(ONE), ended(PRUNED)], [ended(ONE), begun(FAILED), ended(DIVERGED)]],
    "text that databases do not take": [
        [begun(trial(1, params={"p": "\udcff\0"}))],
        [ended(changed(FAILED, error="\udcff\0", traceback="\ud800\0", params={"p": "\udcff\0"}))],
    ],
    "clashing names": [[ended(trial(1, params={"a@b": 1, "a_b": 2, "a#b": 3, "ok/x.y-z: w": 4}, steps=CLASHING))]],
    "longest names": [[ended(trial(1, params={"n" * 250: 1, "@" * 250: 2, "_" * 250: 3}, steps={1: {"m" * 250: 1}}))]],
    "long values": [
        [ended(trial(1, params={"long": "é" * 7000, "list": list(range(3000))}))],
        [ended(changed(FAILED, error="e" * 9000, traceback="t" * 20_000))],
    ],
    "many params": [[ended(trial(1, params={f"p{index}": index for index in range(230)}))]],
    "many points": [[ended(trial(1, steps=MANY))]],
    "missing at steps": [[ended(trial(1, steps=SPARSE))]],
    "a value before its step": [[ended(trial(1, steps={1: {"score": 2.0}, 0: {"value": 0.25}}, times={0: 3e9, 1: 1}))]],
}


def open_book(home: Home, way: str, study: str = "study") -> MlflowBook:
    """Return a book, of an open sweep, that writes in this way: bulk or client."""
    book = MlflowBook(home)
    with pytest.MonkeyPatch.context() as patch:
        if way == "client":
            patch.setattr(mlflow_bulk, "TESTED", ())
        book.prepare()
    assert book.takes_ids is (way == "bulk")
    book.open(replace(SWEEP, study=study), [])
    return book


def write_cases(home: Home, way: str) -> Home:
    """Write each case into a study of its name."""
    for case, batches in CASES.items():
        book = open_book(home, way, case)
        own = {record.number: uuid.uuid4().hex for batch in batches for record, _ in batch}
        for batch in batches:
            book.write([(replace(record, run_id=own[record.number]), has_ended) for record, has_ended in batch], [])
        book.write([], [(1, 0.5, 1.7e9), (2, 0.75, 1.7e9)])
        book.write([], [(2, 0.75, 1.7e9), (3, 0.25, 1.7e9)])  # one of them is known
    return home


def tables(uri: str) -> Rows:
    """Return all rows of a database, in order, with ids, folders and what the clock says made the same."""
    engine = create_engine(uri, poolclass=NullPool)
    meta = MetaData()
    meta.reflect(engine)
    with engine.connect() as connection:
        read = {name: connection.execute(select(table)).mappings().all() for name, table in meta.tables.items()}
    tags: dict[str, dict[str, str]] = {row["run_uuid"]: {} for row in read["runs"]}
    for row in read["tags"]:
        tags[row["run_uuid"]][row["key"]] = row["value"]
    same = {run_id: f"<{its['hpo.study']} {its.get('hpo.trial', 'parent')}>" for run_id, its in tags.items()}
    same |= {row["artifact_location"]: "<artifacts>" for row in read["experiments"]}
    same |= {row["dataset_uuid"]: f"<data {row['name']} of {row['experiment_id']}>" for row in read["datasets"]}
    same |= {row["input_uuid"]: f"<input {same[row['destination_id']]}>" for row in read["inputs"]}
    # Whole names: `artifacts/0`, the first experiment's folder, begins the folder of a run `0a1b...`, too.
    pattern = re.compile(rf"(?:{'|'.join(sorted(map(re.escape, same), key=len, reverse=True))})(?!\w)")

    def plain(key: str, value: Any) -> Any:
        if key in ("creation_time", "last_update_time"):
            return None
        if isinstance(value, str):
            return pattern.sub(lambda found: same[found[0]], value)
        return int(value) if isinstance(value, bool) else value  # SQLite has numbers for both

    return {
        name: sorted((tuple((key, plain(key, row[key])) for key in sorted(row)) for row in rows), key=repr)
        for name, rows in read.items()
    }


def without_descriptions(rows: Rows) -> Rows:
    return rows | {"tags": [row for row in rows["tags"] if dict(row)["key"] not in (NOTE, WRITTEN)]}


def artifacts(uri: str) -> dict[str, str]:
    """Return the text of every trial's artifacts."""
    client = MlflowClient(uri)
    found = {}
    for run in client.search_runs([each.experiment_id for each in client.search_experiments()]):
        for artifact in client.list_artifacts(run.info.run_id) if "hpo.trial" in run.data.tags else ():
            path = client.download_artifacts(run.info.run_id, artifact.path)
            found[f"{run.info.run_name}: {artifact.path}"] = Path(path).read_text(encoding="utf-8")
    return found


def assert_same(bulk: Rows, other: Rows) -> None:
    for table in bulk:
        assert bulk[table] == other[table], table


@pytest.fixture(scope="module")
def in_bulk(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with all cases, written in bulk."""
    return write_cases(Place(tmp_path_factory.mktemp("bulk")).home, "bulk")


def test_bulk_and_client_leave_the_same_rows(in_bulk: Home, tmp_path: Path):
    by_client = write_cases(Place(tmp_path).home, "client")
    bulk, client = tables(in_bulk.tracking_uri), tables(by_client.tracking_uri)
    assert bulk.keys() == client.keys()
    assert_same(bulk, client)
    assert artifacts(in_bulk.tracking_uri) == artifacts(by_client.tracking_uri)


def test_nothing_is_doubled_or_missing(in_bulk: Home):
    trials = {(case, record.number) for case, batches in CASES.items() for batch in batches for record, _ in batch}
    rows = tables(in_bulk.tracking_uri)
    assert len(rows["runs"]) == len(trials) + len(CASES)
    many = [row for row in map(dict, rows["metrics"]) if row["run_uuid"] == "<many points 1>"]
    assert len(many) == 300 * 7 + len(
        ("hpo/duration_seconds", "hpo/value", "score", "hpo/last_score", "hpo/best_score")
    )
    texts = artifacts(in_bulk.tracking_uri)
    assert texts["failed 0002: traceback.txt"] == FAILED.traceback
    assert texts["long values 0002: traceback.txt"] == "t" * 20_000


@pytest.mark.slow
def test_a_server_gets_the_same_rows(in_bulk: Home, tmp_path: Path):
    with mlflow_server(Place(tmp_path).home.tracking_uri, tmp_path) as address:
        assert why_not(MlflowClient(address)) == "MLflow is not a database here"
        write_cases(Home(tmp_path / "driver", tracking=address), "server")
        kept = artifacts(address)
        theirs = tables(Place(tmp_path).home.tracking_uri)
        book = open_book(Home(tmp_path / "driver", tracking=address), "server", "closed")
        book.write([begun(ONE)], [])
        book.write([ended(ONE)], [])
        book.close("FINISHED", {"outcome": "1 complete", "top": [(1, 0.5, {}), (8, 0.25, {})]})
        client, own = MlflowClient(address), book._runs[1]
        note, table = (client.get_run(each).data.tags[NOTE] for each in (own, book.parent_id))
        place = f"#/experiments/{client.get_run(own).info.experiment_id}/runs"
    assert_same(without_descriptions(tables(in_bulk.tracking_uri)), without_descriptions(theirs))
    assert OPEN not in str(theirs)  # a server's pages are not those of `hpo ui`: links lead to other pages of its own
    assert f"[the sweep's run]({place}/{book.parent_id}?" in note and note.startswith("**Trial 1: complete")
    assert f"| 1 | [1]({place}/{own}?" in table and "| 2 | 8 |" in table
    assert f"[its runs, the best first]({place}?" in table
    assert kept == artifacts(in_bulk.tracking_uri)


@pytest.mark.slow
def test_postgresql_gets_the_same_rows_in_bulk(in_bulk: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # MLflow keeps a database's artifacts where its writer runs
    with postgresql() as uri:
        write_cases(Home(tmp_path, tracking=uri), "bulk")
        assert_same(tables(in_bulk.tracking_uri), tables(uri))
        assert artifacts(uri) == artifacts(in_bulk.tracking_uri)


@pytest.mark.parametrize("way", ["bulk", "client"])
def test_what_mlflow_gives_back(home: Home, way: str):
    book = open_book(home, way)
    long = trial(1, 1200, info={"worker": "w-1"})
    book.write([ended(trial(0)), ended(long), ended(FAILED), begun(trial(5))], [])
    client = MlflowClient(home.tracking_uri)
    best_first = client.search_runs(["1"], "metrics.`hpo/value` > 0", order_by=["metrics.`hpo/value` DESC"])
    assert [run.data.tags["hpo.trial"] for run in best_first] == ["1", "0"]
    run = client.get_run(best_first[0].info.run_id)
    assert (run.info.run_name, run.info.status, run.info.lifecycle_stage) == ("study 0001", "FINISHED", "active")
    assert (run.info.start_time, run.info.end_time) == (1_700_000_100_000, 1_700_000_150_250)
    assert run.data.params == {"x": "0.1", "layers": "[64, 32]", "on": "true", "none": "null", "text": "é"}
    assert (run.data.tags["hpo.worker"], run.data.tags["mlflow.parentRunId"]) == ("w-1", book.parent_id)
    value = 1200 / 7 + 1
    summary = {"value": value, "best_score": value, "last_score": value, "duration_seconds": 50.25}
    assert run.data.metrics == {"score": value, "loss": 1 / 1201, **{f"hpo/{name}": it for name, it in summary.items()}}
    history = client.get_metric_history(run.info.run_id, "score")
    assert {point.step: point.value for point in history} == {step: m["score"] for step, m in long.steps.items()}
    assert {point.step: point.timestamp for point in history} == {s: int(t * 1000) for s, t in long.times.items()}
    children = client.search_runs(["1"], "tags.`hpo.kind` = 'trial'")
    states = {run.data.tags["hpo.trial"]: run.info.status for run in children}
    assert states == {"0": "FINISHED", "1": "FINISHED", "2": "FAILED", "5": "RUNNING"}


@pytest.mark.parametrize("ways", [("bulk", "client"), ("client", "bulk")])
def test_one_way_goes_on_where_the_other_left_off(home: Home, tmp_path: Path, ways: tuple[str, str]):
    alone = Place(tmp_path / "alone").home
    for its_home, its_ways in ((home, ways), (alone, ("bulk", "bulk"))):
        first = open_book(its_home, its_ways[0])
        first.write([begun(ONE), begun(FAILED), ended(PRUNED)], [(1, 0.5, 1.7e9)])
        second = open_book(its_home, its_ways[1])
        assert second.parent_id == first.parent_id
        second.write([ended(ONE), ended(FAILED), ended(PRUNED), begun(DIVERGED)], [(1, 0.5, 1.7e9), (2, 0.75, 1.7e9)])
    assert_same(tables(home.tracking_uri), tables(alone.tracking_uri))


def run_ids(home: Home) -> dict[str, str]:
    runs = MlflowClient(home.tracking_uri).search_runs(["1"], "tags.`hpo.kind` = 'trial'")
    return {run.data.tags["hpo.trial"]: run.info.run_id for run in runs}


def test_a_run_has_the_id_of_its_record_unless_mlflow_has_it_under_another(home: Home):
    by_client = open_book(home, "client")
    by_client.write([begun(replace(ONE, run_id=""))], [])
    given = by_client.new_run_ids()
    assert run_ids(home) == {"1": given[1]}
    assert by_client.new_run_ids() == {}  # each is told once
    in_bulk = open_book(home, "bulk")
    in_bulk.write([ended(ONE), ended(FAILED), begun(replace(PRUNED, run_id=""))], [])
    assert given[1] != ONE.run_id
    told = in_bulk.new_run_ids()
    assert run_ids(home) == {"1": given[1], "2": FAILED.run_id, "3": told[3]}
    assert told.pop(1) == given[1]
    assert list(told) == [3]  # what lacks its id or has another is told it, as by the client


def test_a_release_that_nobody_tested_is_written_by_the_client(home: Home, monkeypatch: pytest.MonkeyPatch):
    client = MlflowClient(home.tracking_uri)
    assert why_not(client) == ""
    monkeypatch.setattr(mlflow_bulk, "TESTED", ((3, 16), (4, 17)))
    reason = why_not(client)
    assert "was not tested for it" in reason
    book = MlflowBook(home)
    assert book.prepare() == [f"MLflow is written run by run, which is slower: {reason}"]
    assert not book.takes_ids


def test_other_columns_are_left_to_the_client(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(mlflow_bulk.COLUMNS, "params", {"key", "value", "run_uuid", "type"})
    assert why_not(MlflowClient(home.tracking_uri)) == "MLflow's table params has other columns"


@pytest.mark.parametrize("way", ["bulk", "client"])
def test_what_others_wrote_to_a_run_stays(home: Home, way: str):
    book, client = open_book(home, way), MlflowClient(home.tracking_uri)
    book.write([begun(ONE)], [])
    (run_id,) = run_ids(home).values()
    client.log_batch(run_id, tags=[RunTag("mlflow.note.content", "mine")])
    client.log_metric(run_id, "their", 7.0)
    client.log_text(run_id, "theirs", "note.txt")
    book.write([ended(ONE)], [])
    run = client.get_run(run_id)
    assert (run.data.tags["mlflow.note.content"], run.data.metrics["their"]) == ("mine", 7.0)
    assert [artifact.path for artifact in client.list_artifacts(run_id)] == ["note.txt"]


def test_a_batch_that_fails_leaves_nothing_of_itself_and_can_be_written_again(home: Home):
    book = open_book(home, "bulk")
    book.write([begun(ONE)], [])
    before = tables(home.tracking_uri)
    too_far = trial(5, steps={2**63: {"score": 1.0}})  # a step that no database takes
    with pytest.raises(StoreError):
        book.write([ended(ONE), ended(FAILED), ended(too_far)], [])
    assert_same(before, tables(home.tracking_uri))
    book.write([ended(ONE), ended(FAILED)], [])
    assert run_ids(home) == {"1": ONE.run_id, "2": FAILED.run_id}


@pytest.mark.parametrize("way", ["bulk", "client"])
def test_what_was_written_although_nobody_was_told_is_found_by_its_tags(home: Home, way: str):
    book, other = open_book(home, way), open_book(home, way)
    with pytest.raises(
        StoreError if way == "bulk" else MlflowException
    ):  # as if the connection had been lost at the commit
        book.write([ended(trial(5, steps={2**63: {"score": 1.0}}))], [])
    other.write([ended(ONE)], [])
    book.write([ended(replace(ONE, run_id=uuid.uuid4().hex))], [])
    assert sorted(run_ids(home)) == (["1"] if way == "bulk" else ["1", "5"])  # the client had made its run


def test_a_run_that_a_server_makes_too_late_does_not_stay(home: Home, monkeypatch: pytest.MonkeyPatch):
    book, client = open_book(home, "client"), MlflowClient(home.tracking_uri)
    book.write([begun(ONE)], [])
    late = []

    def hang(*arguments: Any) -> None:
        late.append(arguments)
        raise MlflowException("timed out")

    with monkeypatch.context() as patch, pytest.raises(MlflowException):
        patch.setattr(book._mlflow.client, "create_run", hang)
        book.write([begun(FAILED)], [])
    book.write([begun(FAILED)], [])
    client.create_run(*late[0])  # what hung is carried out after all
    assert len(client.search_runs(["1"], "tags.`hpo.trial` = '2'")) == 2
    book.write([ended(ONE), ended(FAILED)], [])
    book.close("FINISHED", {"outcome": "done"})
    (run,) = client.search_runs(["1"], "tags.`hpo.trial` = '2'")
    assert run.info.status == "FAILED"
    assert len(client.search_runs(["1"], "tags.`hpo.trial` = '1'")) == 1


@pytest.mark.parametrize("early", [True, False])
def test_of_two_runs_the_one_that_the_study_names_stays(home: Home, early: bool):
    """Which of them is found first is decided by their start."""
    book, client = open_book(home, "client"), MlflowClient(home.tracking_uri)
    book.write([begun(ONE)], [])
    (named,) = book.new_run_ids().values()
    start = int(ONE.started * 1000) + (-1000 if early else 1000)
    client.create_run("1", start, dict(client.get_run(named).data.tags))
    book.look_again()
    book.write([ended(ONE)], [])  # to the run that it had written to
    last = open_book(home, "client")  # of another driver, which knows it from the study, and ends the sweep
    last.level([replace(ONE, run_id=named)])
    last.close("FINISHED", {"outcome": "done"})
    assert run_ids(home) == {"1": named}
    assert client.get_run(named).info.status == "FINISHED"
