"""MLflow's descriptions and data sets: what they say, whose they are, and that the doctor sees to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hpo.ledger.doctor.compare import differences
from hpo.ledger.doctor.readers import Content
from hpo.ledger.mirror.links import link_to
from hpo.ledger.mirror.markdown import code_block, escaped
from hpo.ledger.mirror.notes import (
    NOTE,
    Leading,
    begun_note,
    ended_note,
    note_with_verdict,
    parent_note,
    same_note,
)
from hpo.ledger.mirror.parent import describe_parent
from hpo.ledger.mirror.rows import dataset_rows, ended_rows
from hpo.ledger.study.dataset import dataset_of
from hpo.ledger.study.records import Outcome, SweepRecord

from .test_mlflow_ways import SWEEP, Home, open_book, trial

TOP = [Leading(7, 0.75, {"x": 0.25}), Leading(3, 0.5, {})]


def test_a_run_says_its_result_and_where_the_dashboard_shows_it() -> None:
    sweep = replace(SWEEP, study="größte [Suche]")
    note = ended_note(sweep, replace(trial(4), outcome=Outcome("failed", error="ValueError: <b>\nno")))
    assert note.startswith(r"**Trial 4: failed, score 4.42857: ValueError: &lt;b&gt; no**")
    assert f"({link_to('dashboard', sweep.study, 4)})" in note and f"({link_to('dashboard', sweep.study)})" in note
    assert r"größte \[Suche\]" in begun_note(sweep, 4)
    assert "/hpo/open" not in ended_note(replace(sweep, on_server="3"), trial(4), "p")


def test_the_sweep_s_run_lists_the_best() -> None:
    lines = parent_note(SWEEP, "2 complete", TOP).splitlines()
    assert f"| 1 | [7]({link_to('mlflow', 'study', 7)}) | 0.75 | 0.25 |" in lines
    assert f"| 2 | [3]({link_to('mlflow', 'study', 3)}) | 0.5 |  |" in lines
    long = parent_note(replace(SWEEP, origin=replace(SWEEP.origin, description="x" * 20_000)), "2 complete", TOP)
    names = ["same", "wide", "x", "fits"]
    params = {name: {"type": "range"} for name in names} | {"epochs": {"type": "constant"}}
    top = [Leading(n, 0.5, {"same": 1, "wide": "w" * 60 + str(n), "x": n, "fits": -n, "epochs": 3}) for n in (1, 2)]
    told = parent_note(replace(SWEEP, config={"parameters": params}), "", top)
    assert "| rank | trial | score | x | fits |" in told  # in what they differ, as far as a narrow page shows it
    assert 7_000 < len(long) < 8_000  # what MLflow takes
    assert long.endswith(parent_note(replace(SWEEP, origin=replace(SWEEP.origin, description="")), "2 complete", TOP))


def confirmed(verdict: str) -> SweepRecord:
    return replace(SWEEP, decision={"confirmation": {"study": "study.confirm", "result": {"verdict": verdict}}})


@pytest.mark.parametrize("server", ["", "3"])
def test_a_verdict_is_added_to_what_the_description_says(server: str) -> None:
    whole = replace(SWEEP, on_server=server)
    ended = parent_note(whole, "2 complete", TOP, {7: "a"})
    for verdict in ("not shown", "better"):  # the later takes the place of the earlier
        ended = note_with_verdict(ended, replace(confirmed(verdict), on_server=server))
        assert ended == parent_note(replace(confirmed(verdict), on_server=server), "2 complete", TOP, {7: "a"})
    assert ("| 1 | [7](#/experiments/3/runs/a?" in ended) == bool(server)  # the links of its own pages hold there
    assert note_with_verdict(ended, whole) == parent_note(whole, "2 complete", TOP, {7: "a"})
    assert "Confirmed: **better**" in note_with_verdict("of an older release", confirmed("better"))


@pytest.mark.parametrize("own", ["Confirmed: **by hand**, in May", "`hpo ui` shows it in the Optuna dashboard, too"])
def test_a_verdict_takes_the_place_of_no_person_s_words(own: str) -> None:
    origin = replace(SWEEP.origin, description=f"{own}\n\nmine")
    ended = parent_note(replace(SWEEP, origin=origin), "2 complete", TOP)
    for verdict in ("not shown", "better"):
        ended = note_with_verdict(ended, confirmed(verdict))
        assert ended == parent_note(replace(confirmed(verdict), origin=origin), "2 complete", TOP)


def test_a_run_of_an_older_release_gets_a_verdict_and_leaves_the_description_to_who_knows_the_outcome(
    tmp_path: Path,
) -> None:
    book, client = open_book(Home(tmp_path), "bulk"), MlflowClient(Home(tmp_path).tracking_uri)
    client.delete_tag(book.parent_id, NOTE)
    describe_parent(client, book.parent_id, "1", confirmed("better"), None, {})
    tags = client.get_run(book.parent_id).data.tags
    assert NOTE not in tags and tags["hpo.verdict"] == "better"
    describe_parent(client, book.parent_id, "1", confirmed("better"), {"outcome": "2 complete"}, {})
    note = client.get_run(book.parent_id).data.tags[NOTE]
    assert "2 complete" in note and "Confirmed: **better**" in note


def test_a_description_is_known_again_wherever_its_links_lead() -> None:
    server = replace(SWEEP, on_server="3")
    assert same_note(ended_note(server, trial(1), "p1"), ended_note(server, trial(1), "p2"))
    assert not same_note(ended_note(server, trial(1), "p1"), ended_note(server, trial(2), "p1"))


def test_texts_of_people_stay_as_they_are() -> None:
    assert escaped("a|b\n<c> `d` & *e*") == r"a\|b &lt;c&gt; \`d\` &amp; \*e\*"
    assert code_block("x ``` y") == "````\nx ``` y\n````"


def test_descriptions_that_people_write_stay(tmp_path: Path) -> None:
    book = open_book(Home(tmp_path), "bulk")
    client = MlflowClient(Home(tmp_path).tracking_uri)
    records = [trial(number) for number in range(2)]
    book.write([(replace(record, steps={}, times={}, outcome=Outcome()), False) for record in records], [])
    assert client.get_run(records[0].run_id).data.tags[NOTE] == begun_note(SWEEP, 0)
    client.set_tag(records[1].run_id, NOTE, "mine")
    book.write([(record, True) for record in records], [])
    notes = [client.get_run(record.run_id).data.tags[NOTE] for record in records]
    assert notes == [ended_note(SWEEP, records[0]), "mine"]

    book.close("FINISHED", {"outcome": "2 complete", "top": [tuple(TOP[0])]})
    assert "| 1 | [7]" in client.get_run(book.parent_id).data.tags[NOTE]
    client.set_tag(book.parent_id, NOTE, "mine, too")
    book.close("FINISHED", {"outcome": "3 complete"})
    assert client.get_run(book.parent_id).data.tags[NOTE] == "mine, too"
    (data,) = client.get_run(book.parent_id).inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest, data.dataset.profile) == ("s.csv", "d1", '{"num_rows": 7}')


def test_the_doctor_finds_a_run_without_a_description() -> None:
    rows = ended_rows(SWEEP, "parent", trial(0))
    values = {point.key: {(p.step, p.value) for p in rows.points if p.key == point.key} for point in rows.points}
    found = Content(rows.params, {**rows.tags, NOTE: "somebody's own"}, values)
    assert list(differences(rows, rows.status, found)) == []
    (lacking,) = differences(rows, rows.status, replace(found, tags=rows.tags))
    assert "no description" in lacking.text


def test_a_csv_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "größe x.csv"
    path.write_text('a,b\n1,"two\nlines"\n3,4\n\n')
    first = dataset_of({"csv": str(path), "target": "b"}, "m", 10.0, {})
    assert (first["name"], first["rows"], first["since"], len(first["digest"])) == ("größe x.csv", 2, 10.0, 32)
    assert dataset_of({"csv": str(path), "target": "b"}, "m", 20.0, first) == first
    path.write_text("a,b\n1,2\n")
    changed = dataset_of({"csv": str(path), "target": "b"}, "m", 20.0, first)
    assert (changed["rows"], changed["since"]) == (1, 20.0) and changed["digest"] != first["digest"]


@pytest.mark.parametrize(
    "data", [{"csv": "gone.csv"}, {"source": "synthetic"}, {"csv": 3}, {"csv": "/", "separator": ";;"}]
)
def test_other_data_is_known_by_what_the_file_says_of_it(data: dict[str, object]) -> None:
    found = dataset_of(data, "module", 0.0, {})
    assert found["rows"] is None and found["digest"] != dataset_of({**data, "seed": 1}, "module", 0.0, {})["digest"]
    assert dataset_of({}, "module", 0.0, {}) == {}
    assert "secret" not in str(dataset_of({"table": "postgresql://me:secret@host/x"}, "module", 0.0, {}))


def test_trials_from_before_the_data_was_known_tell_none() -> None:
    since = SWEEP.origin.data["since"]
    assert dataset_rows(SWEEP, since - 1) is None
    assert dataset_rows(SWEEP, since) is not None
