"""What `hpo ui` adds to the two UIs: the first page, notes, links, and what of a study is not shown."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from hpo.ledger.mirror.links import link_to
from hpo.ledger.sharing.owner_file import FileOwnership
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome
from hpo.review.compat import dashboard_application
from hpo.review.studies import lines_of
from hpo.review.ui_landing import with_landing
from hpo.review.ui_links import LinkTarget, Pages, asked_in
from hpo.review.ui_notes import AllNotes
from hpo.review.ui_origin import Message
from hpo.review.ui_ways import with_ways

from .recorded import Trial, complete, driven, recorded, sweep_of

NAME = "Größe & <b>| (1)"
RUNNING = Trial({"x": 0.7}, series={"score": [0.1, 0.2]})
TRIALS = [
    complete(0.5, x=0.5),
    complete(0.9, x=0.9),
    Trial({"x": 0.1}, Outcome("pruned"), {"score": [0.1]}),
    Trial({"x": 0.2}, Outcome("pruned", diverged=3), {"score": [0.2, 0.3]}),
    Trial({"x": 0.3}, Outcome("failed", error="ValueError: <b>no</b> | x", traceback="Traceback ...")),
    Trial({"x": 0.4}, Outcome("failed", interrupted=True, error="the sweep was interrupted")),
    RUNNING,
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Studies in a journal: with trials in each state, with none, with failures only; and two that are not hpo's."""
    folder = tmp_path_factory.mktemp("home")
    home = Home(folder / "home")
    parameters = {"x": {"min": 0.0, "max": 1.0}}
    recorded(home, sweep_of(folder, parameters, name="mixed"), TRIALS)
    recorded(home, sweep_of(folder, parameters, name="empty"), [])
    recorded(home, sweep_of(folder, parameters, name="failures"), [TRIALS[4]])
    opened = open_storage(home)
    mixed = opened.get_study_id_from_name("mixed")
    opened.set_study_user_attr(mixed, "origin", {"source": str(folder / "mixed.yaml")})
    running = opened.get_all_trials(mixed)[-1]
    opened.set_trial_user_attr(running._trial_id, "mlflow_run_id", "an id")
    two = optuna.create_study(storage=opened, study_name="two metrics", directions=["minimize", "maximize"])
    domain = {"x": FloatDistribution(0, 1)}
    two.add_trial(create_trial(values=[1.0, 2.0], params={"x": 0.5}, distributions=domain, user_attrs={"info": "own"}))
    named = optuna.create_study(storage=opened, study_name=NAME)
    named.add_trial(create_trial(value=1.0, params={"x": 0.5}, distributions=domain))
    named.add_trial(create_trial(state=TrialState.WAITING))
    return home


@pytest.fixture(scope="module")
def storage(home: Home) -> BaseStorage:
    return open_storage(home)


@pytest.fixture(scope="module")
def application(home: Home, storage: BaseStorage) -> Any:
    notes = AllNotes(home, storage, command)
    dashboard = dashboard_application(storage, notes.of)
    return with_landing(dashboard, lambda: lines_of(home, storage), Pages(storage, "", False), "here", command)


def command(*words: str) -> str:
    return f"hpo {' '.join(words)}"


def ask(application: Any, path: str, method: str = "GET", body: Any = None) -> tuple[str, dict[str, str], str]:
    """Return the status, the headers and the text of an answer."""
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "HTTP_ACCEPT_ENCODING": ""}
    environ["PATH_INFO"], _, environ["QUERY_STRING"] = path.partition("?")
    sent = b"" if body is None else json.dumps(body).encode()
    environ |= {"CONTENT_LENGTH": str(len(sent)), "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(sent)}
    setup_testing_defaults(environ)
    said: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *more: Any) -> None:
        said.extend((status, dict(headers)))
        headers.append(("Content-Length", "1"))  # as a server does

    text = b"".join(application(environ, start_response)).decode()
    return said[0], said[1], text


def detail(application: Any, storage: BaseStorage, study: str) -> Any:
    status, _, text = ask(application, f"/api/studies/{storage.get_study_id_from_name(study)}")
    assert status.startswith("200")
    return json.loads(text)


def notes(application: Any, storage: BaseStorage, study: str) -> list[str]:
    return [trial["note"]["body"] for trial in detail(application, storage, study)["trials"]]


def test_a_trial_s_note_says_its_result_rank_and_reason(home: Home, application: Any, storage: BaseStorage) -> None:
    first = [note.partition("\n")[0] for note in notes(application, storage, "mixed")]
    assert first == [
        "**Trial 0: complete, score 0.5**, rank 2 of 2 complete trials",
        "**Trial 1: complete, score 0.9**, rank 1 of 2 complete trials",
        "**Trial 2: pruned, score 0.1: stopped early, after step 1**",
        "**Trial 3: pruned, score 0.3: diverged: a value was not finite at step 3**",
        r"**Trial 4: failed: ValueError: &lt;b&gt;no&lt;/b&gt; \| x**",
        "**Trial 5: interrupted: the sweep was interrupted**",
        "**Trial 6: interrupted, score 0.2: the sweep was interrupted**",
    ]
    with driven(home, "mixed"):
        assert notes(application, storage, "mixed")[6].startswith("**Trial 6: running, score 0.2 after step 2**")
    assert f"[MLflow run]({link_to('mlflow', 'mixed', 3)})" in notes(application, storage, "mixed")[3]
    assert notes(application, storage, "two metrics") == [""]


def test_a_study_s_note_says_how_it_stands_and_how_to_go_on(home: Home, application: Any, storage: BaseStorage) -> None:
    with driven(home, "mixed"):
        running = detail(application, storage, "mixed")["note"]["body"]
    assert "2 complete, 2 pruned, 1 failed, 1 interrupted, 1 running (a sweep runs now)" in running
    note = detail(application, storage, "mixed")["note"]["body"]
    assert "2 complete, 2 pruned, 1 failed, 2 interrupted\n" in note
    assert re.search(r"hpo sweep \S*mixed\.yaml\n", note)  # no more trials before those are run again
    assert "Best: **score 0.9** in trial 1 (x=0.9)" in note
    assert "not confirmed" in note and "hpo confirm mixed" in note
    assert "objective: thing" in note.partition("```yaml\n")[2]
    assert "No trial has a value yet." in detail(application, storage, "failures")["note"]["body"]
    assert "No trial has begun." in detail(application, storage, "empty")["note"]["body"]


def test_what_the_platform_keeps_for_itself_is_not_shown_and_stays_recorded(
    application: Any, storage: BaseStorage
) -> None:
    shown = detail(application, storage, "mixed")
    for trial in shown["trials"]:
        assert {each["key"] for each in trial["user_attrs"]} <= {"seed", "seconds", "error", "diverged", "diagnoses"}
    assert {each["key"] for each in shown["user_attrs"]} == {"objective", "metric", "hpo_version"}
    best = {each["key"]: each["value"] for each in shown["best_trials"][0]["user_attrs"]}
    assert best.keys() - {"diagnoses"} == {"seed", "seconds"}
    said = {each["value"] for trial in shown["trials"] for each in trial["user_attrs"] if each["key"] == "diagnoses"}
    assert said and not any("{" in value for value in said), said  # names, not what the record has
    summaries = json.loads(ask(application, "/api/studies")[2])["study_summaries"]
    assert not any(len(each["value"]) > 100 for summary in summaries for each in summary["user_attrs"])
    number = storage.get_study_id_from_name("mixed")
    assert "history" not in ask(application, f"/csv/{number}")[2].partition("\n")[0]
    assert "history" in storage.get_all_trials(number)[0].user_attrs
    (theirs,) = detail(application, storage, "two metrics")["trials"]
    assert theirs["user_attrs"] == [{"key": "info", "value": "own"}]


def test_a_study_that_the_dashboard_renames_keeps_all_that_is_recorded(
    tmp_path: Path,
) -> None:
    """It renames by a copy, which must not be made of what is shown."""
    home = recorded(Home(tmp_path / "home"), sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}), TRIALS[:3])
    storage = open_storage(home)
    pages = Pages(storage, "", False)
    application = dashboard_application(storage, AllNotes(home, storage, command).of)
    before = storage.get_all_trials(0), storage.get_study_user_attrs(0)
    status, *_ = ask(application, "/api/studies/0/rename", "POST", {"study_name": "other"})
    assert status.startswith("201")
    after = storage.get_study_id_from_name("other")
    assert [trial.user_attrs for trial in storage.get_all_trials(after)] == [trial.user_attrs for trial in before[0]]
    assert storage.get_study_user_attrs(after) == before[1]
    assert pages.find(LinkTarget("dashboard", "small")) == (f"/dashboard/studies/{after}", "")  # of MLflow's texts


def test_a_note_that_a_person_writes_takes_the_place_of_ours(tmp_path: Path) -> None:
    home = recorded(Home(tmp_path / "home"), sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}), TRIALS[:2])
    storage = open_storage(home)
    application = dashboard_application(storage, AllNotes(home, storage, command).of)
    assert not [key for key in storage.get_study_system_attrs(0) if "note" in key]  # ours is not written anywhere
    assert ask(application, "/api/studies/0/1/note", "PUT", {"version": 1, "body": "mine"})[0].startswith("204")
    ours, mine = notes(application, storage, "small")
    assert (mine, ours.partition(":")[0]) == ("mine", "**Trial 0")


def test_twice_as_many_trials_are_twice_as_much_work(tmp_path: Path) -> None:
    calls = []
    for count in (100, 200):
        folder = tmp_path / str(count)
        folder.mkdir()
        trials = [complete(n / count, x=n / count) for n in range(count // 2)]
        trials += [Trial({"x": 0.5}, Outcome("pruned", value=0.1), {"score": [0.1]})] * (count // 2)
        home = recorded(Home(folder / "home"), sweep_of(folder, {"x": {"min": 0.0, "max": 1.0}}), trials)
        storage = open_storage(home)
        application = dashboard_application(storage, AllNotes(home, storage, command).of)
        detail(application, storage, "small")  # what is done once
        with counted_calls() as counts:
            assert len(notes(application, storage, "small")) == count
        calls.append(counts[0])
    assert calls[1] < 2.2 * calls[0]


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Give a list with the number of Python's function calls inside the block."""
    counts = [0]

    def count(frame: Any, event: str, argument: Any) -> None:
        counts[0] += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield counts
    finally:
        sys.setprofile(before)


def rows_of(page: str) -> dict[str, str]:
    return dict(re.findall(r'<tr id="([^"]*)"[^>]*>(.*?)</tr>', page, re.DOTALL))


def test_the_first_page_lists_every_study(home: Home, application: Any, storage: BaseStorage) -> None:
    ask(application, "/")
    status, headers, page = ask(application, "/")
    assert status == "200 OK" and "Content-Length" not in headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in page and "<b>|" not in page and "Größe &amp; &lt;b&gt;| (1)" in page
    rows = rows_of(page)
    assert rows.keys() == {"mixed", "empty", "failures", "two metrics", "Größe &amp; &lt;b&gt;| (1)"}
    assert "interrupted, 4 of 5 done" in rows["mixed"] and "go on: <code>hpo sweep " in page
    assert "0.9<small>trial 1" in rows["mixed"] and 'class="running"' not in page
    assert "no trial yet" in rows["empty"] and "only failures" in rows["failures"]
    assert {line.name for line in lines_of(home, storage) if line.best is None} == {"empty", "failures", "two metrics"}


def test_a_study_runs_only_while_somebody_runs_it(home: Home, application: Any) -> None:
    with driven(home, "mixed"), driven(home, "empty"):
        page = ask(application, "/")[2]
    rows = rows_of(page)
    assert "1 running, 4 of 5 done" in rows["mixed"] and "go on:" not in page
    assert "running, 0 of 5 done" in rows["empty"]
    again = FileOwnership(home.owner_file("mixed"), "mixed")
    again.take()  # whoever only looks keeps no driver out
    ask(application, "/")
    again.give_up()


def test_links_lead_to_the_dashboard_s_pages_and_say_why_not(application: Any, storage: BaseStorage) -> None:
    number = storage.get_study_id_from_name(NAME)
    status, headers, _ = ask(application, link_to("dashboard", NAME))
    assert (status, headers["Location"]) == ("302 Found", f"/dashboard/studies/{number}")
    assert (
        ask(application, link_to("dashboard", NAME, 1))[1]["Location"]
        == f"/dashboard/studies/{number}/trials?numbers=1"
    )
    for asked, why in (
        (link_to("dashboard", "gone"), "no study"), (link_to("mlflow", "mixed"), "--no-mlflow"),
        ("/hpo/open", "asks for nothing"), ("/hpo/open?in=elsewhere&study=mixed", "asks for nothing"),
    ):  # fmt: skip
        status, _, page = ask(application, asked)
        assert status.startswith("404") and why in page


@pytest.mark.parametrize("study", [NAME, "a/b?c=d&e", "日本 x", "(a) [b]"])
def test_a_link_asks_for_what_it_was_made_for(study: str) -> None:
    link = link_to("charts", study, 12)
    assert asked_in(link.partition("?")[2]) == LinkTarget("charts", study, 12)
    assert not set("()[]<> ") & set(link)  # it stands in Markdown
    assert asked_in("in=mlflow&study=x&trial=²") is None


def answer_of(application: Any, path: str, query: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []}
    asyncio.run(application(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


async def _mlflow(scope: Message, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    headers = [(b"content-length", b"13"), (b"etag", b"x")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"<head>", "more_body": True})
    await send({"type": "http.response.body", "body": b"</head>"})


def test_mlflow_s_page_begins_with_the_menus_for_machine_learning() -> None:
    status, headers, body = answer_of(with_ways(_mlflow, ""), "/")
    assert status == 200 and b"etag" not in headers
    assert int(headers[b"content-length"]) == len(body)
    assert body.startswith(b"<head><script>") and b"mlflow.workflowType_v1" in body
    assert answer_of(with_ways(_mlflow, ""), "/other")[2] == b"<head></head>"


def test_mlflow_s_links_lead_to_the_dashboard_or_say_why_not() -> None:
    asked = answer_of(with_ways(_mlflow, "http://127.0.0.1:9"), "/hpo/open", b"in=dashboard&study=%C3%A9")
    assert (asked[0], asked[1][b"location"]) == (302, b"http://127.0.0.1:9/hpo/open?in=dashboard&study=%C3%A9")
    left_out = answer_of(with_ways(_mlflow, ""), "/hpo/open", b"in=dashboard&study=x")
    assert left_out[0] == 404 and b"--no-dashboard" in left_out[2]


def test_mlflow_3_17_still_reads_what_the_page_sets() -> None:
    """The names in the browser's storage are MLflow's own, in its script."""
    import mlflow

    from hpo.review.ui_ways import _FIRST_VISIT

    scripts = Path(str(mlflow.__file__)).parent / "server" / "js" / "build" / "static" / "js"
    text = "".join(path.read_text(encoding="utf-8") for path in scripts.glob("main.*.js"))
    for name in _FIRST_VISIT:
        key, _, version = name.rpartition("_v")
        assert f'key:"{key}",version:{version}' in text
    assert "_v${" in text
