"""What the Optuna dashboard answers of a study: right, small, and found out once."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna_dashboard import _inmemory_cache, _serializer

from hpo.ledger.study.compat import JournalStudies, study_id_of
from hpo.ledger.study.journal import SafeJournal
from hpo.ledger.study.records import TrialRecord, end_attributes
from hpo.review import ui_study
from hpo.review.compat import dashboard_application
from hpo.review.ui_compressed import compressed
from hpo.review.ui_study import MOST_COURSES, Commons

CHOICES: list[Any] = [f"mixture-{number}" for number in range(4_997)] + [None, 7, 0.5]
NUMBERS = 59
DOMAINS: dict[str, BaseDistribution] = {
    "mixture": CategoricalDistribution(CHOICES),
    **{f"p{number}": FloatDistribution(0.0, 1.0 + number) for number in range(NUMBERS)},
}
TRIALS = 60
LEFT_OUT = {"distribution", "param_external_pytyp"}


def made(number: int, draw: random.Random) -> FrozenTrial:
    """Return an ended trial as a sweep leaves it."""
    params = {"mixture": draw.choice(CHOICES), **{f"p{k}": draw.random() for k in range(NUMBERS)}}
    steps = {step: {"score": draw.random(), "loss": draw.random()} for step in range(1, 4)}
    record = TrialRecord(
        number=number, params=params, seed=number, started=1.7e9, ended=1.7e9 + 5, steps=steps,
        times=dict.fromkeys(steps, 1.7e9), info={"worker": "w-0"},
    )  # fmt: skip
    reported = {step: metrics["score"] for step, metrics in steps.items()}
    attributes = {"seed": number, **end_attributes(record)}
    return create_trial(
        value=draw.random(), params=params, distributions=DOMAINS, user_attrs=attributes, intermediate_values=reported
    )


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> JournalStudies:
    """A study with a list of 5,000 choices and 60 parameters in all, in a journal."""
    journal = SafeJournal(str(tmp_path_factory.mktemp("studies") / "studies.journal"))
    opened, draw = JournalStudies(journal), random.Random(15)
    with journal.together():
        study = optuna.create_study(storage=opened, study_name="wide", direction="maximize")
        study.add_trials([made(number, draw) for number in range(TRIALS)])
    return opened


def ask(application: Any, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[str, bytes]:
    """Return the status and the body of a WSGI application's answer."""
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "HTTP_ACCEPT_ENCODING": "", **headers}
    environ["PATH_INFO"], _, environ["QUERY_STRING"] = path.partition("?")
    sent = b"" if body is None else json.dumps(body).encode()
    environ |= {"CONTENT_LENGTH": str(len(sent)), "CONTENT_TYPE": "application/json", "wsgi.input": io.BytesIO(sent)}
    setup_testing_defaults(environ)
    said: list[Any] = []
    answer: Iterable[bytes] = application(environ, lambda *status: said.extend(status))
    pieces = list(answer)
    headers_said = {name.lower(): value for name, value in said[1]}
    text = b"".join(pieces)
    return said[0], gzip.decompress(text) if headers_said.get("content-encoding") == "gzip" else text


def expected(trial: FrozenTrial, study: int) -> dict[str, Any]:
    """Return what the dashboard itself would say of a trial, without what its page does not read."""
    whole = json.loads(json.dumps(_serializer.serialize_frozen_trial(study, trial, {})))
    whole["params"] = [{key: each[key] for key in each.keys() - LEFT_OUT} for each in whole["params"]]
    hidden = {"history", "params", "outcome", "info"}
    whole["user_attrs"] = [each for each in whole["user_attrs"] if each["key"] not in hidden]
    return dict(whole)


def test_a_study_with_long_lists_is_answered_in_little(storage: JournalStudies) -> None:
    application = dashboard_application(storage)
    status, text = ask(application, "/api/studies/0")
    assert status.startswith("200")
    answer = json.loads(text)
    trials = storage.get_all_trials(0)
    assert answer["trials"] == [expected(trial, 0) for trial in trials]
    (best,) = answer["best_trials"]
    assert best["number"] == storage.get_best_trial(0).number
    places = {p["param_external_value"]: p["param_internal_value"] for t in answer["trials"] for p in t["params"][:1]}
    assert all(str(CHOICES[place]) == value for value, place in places.items())

    spaces = {entry["name"]: entry["distribution"] for entry in answer["union_search_space"]}
    assert spaces.keys() == DOMAINS.keys()
    assert [choice["value"] for choice in spaces["mixture"]["choices"]] == [str(choice) for choice in CHOICES]
    assert answer["intersection_search_space"] == answer["union_search_space"]
    assert {entry["key"] for entry in answer["union_user_attrs"]} == {"seed", "seconds"}

    rest = json.loads(ask(application, f"/api/studies/0?after={TRIALS - 1}")[1])
    assert [trial["number"] for trial in rest["trials"]] == [TRIALS - 1]
    overhead = len(ask(application, f"/api/studies/0?after={TRIALS}")[1])
    # The dashboard's own: 280,000 bytes.
    assert (len(text) - overhead) / TRIALS < 120 * len(DOMAINS)


def test_it_is_compressed_for_who_takes_it(storage: JournalStudies) -> None:
    application = compressed(dashboard_application(storage))
    plain = ask(application, "/api/studies/0")
    assert ask(application, "/api/studies/0", HTTP_ACCEPT_ENCODING="gzip, deflate, br") == plain
    assert ask(application, "/api/studies/0", HTTP_ACCEPT_ENCODING="br, GZIP;q=0.5") == plain
    assert ask(application, "/api/studies/9", HTTP_ACCEPT_ENCODING="gzip")[0].startswith("404")
    said: list[Any] = []

    def length(accepted: str) -> int:
        environ = {"PATH_INFO": "/api/studies/0", "HTTP_ACCEPT_ENCODING": accepted}
        setup_testing_defaults(environ)
        return sum(map(len, application(environ, lambda *status: said.append(status))))

    assert length("identity") == length("gzip;q=0") == len(plain[1])
    assert length("gzip") < len(plain[1]) / 3


def test_what_the_dashboard_writes_and_copies_is_whole(storage: JournalStudies) -> None:
    application = compressed(dashboard_application(storage))
    before = storage.get_all_trials(0)
    trial_id = before[3]._trial_id
    note = {"version": 1, "body": "odd"}
    gzip_too = {"HTTP_ACCEPT_ENCODING": "gzip"}
    assert ask(application, f"/api/studies/0/{trial_id}/note", "PUT", note, **gzip_too)[0].startswith("204")
    assert json.loads(ask(application, "/api/studies/0?after=3")[1])["trials"][0]["note"] == note
    table = ask(application, "/csv/0")[1].decode()
    assert "UserAttribute history" in table
    assert storage.get_all_trials(0) == before

    copied = optuna.create_study(storage=storage, study_name="short", direction="maximize")
    copied.add_trials(before[:2])
    path = f"/api/studies/{study_id_of(copied)}"  # of an Optuna study: its number in the storage
    status, renamed = ask(application, f"{path}/rename", "POST", {"study_name": "other"})
    assert status.startswith("201")
    number = json.loads(renamed)["study_id"]
    assert [trial.user_attrs for trial in storage.get_all_trials(number)] == [t.user_attrs for t in before[:2]]
    assert ask(application, f"/api/studies/{number}", "DELETE", {})[0].startswith("204")
    assert [study.study_name for study in storage.get_all_studies()] == ["wide"]


def test_another_program_s_attributes_are_all_shown(tmp_path: Path) -> None:
    opened = JournalStudies(SafeJournal(str(tmp_path / "studies.journal")))
    study = optuna.create_study(storage=opened, study_name="theirs")
    own = {"history": "long", "params": [1], "outcome": {"state": "good"}}
    study.add_trial(create_trial(value=1.0, user_attrs=own))
    answer = json.loads(ask(dashboard_application(opened), "/api/studies/0")[1])
    assert {entry["key"] for entry in answer["trials"][0]["user_attrs"]} == own.keys()
    assert {entry["key"] for entry in answer["union_user_attrs"]} == own.keys()


KINDS: list[BaseDistribution] = [
    FloatDistribution(0.0, 1.0), FloatDistribution(-1.0, 0.5), FloatDistribution(1e-3, 1.0, log=True),
    IntDistribution(0, 8, step=2), IntDistribution(2, 10, step=2), IntDistribution(1, 8),
    CategoricalDistribution(["a", "b"]), CategoricalDistribution(["b", "c", None]),
]  # fmt: skip


def any_trial(number: int, draw: random.Random) -> FrozenTrial:
    """Return a trial in any state, some of whose parameters are conditional or have changed."""
    state = draw.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING])
    names = draw.sample("wxyz", draw.randint(3, 4))
    domains = {name: draw.choice(KINDS[:2] if name == "x" else KINDS) for name in names}
    value = {FloatDistribution: 0.25, IntDistribution: 4, CategoricalDistribution: "b"}
    trial = create_trial(
        state=state, value=1.0 if state == TrialState.COMPLETE else None, distributions=domains,
        params={name: value[type(domain)] for name, domain in domains.items()},
        user_attrs={key: draw.choice([1, True, "text", 0.5]) for key in draw.sample("klm", 2)},
        intermediate_values={1: 0.5} if draw.random() < 0.3 else {},
    )  # fmt: skip
    trial.number = number
    return trial


def comparable(common: ui_study.Common) -> tuple[Any, ...]:
    def spaces(found: list[ui_study.Dimension]) -> list[str]:
        as_text = (
            (name, type(d).__name__, sorted(map(str, d.choices)) if isinstance(d, CategoricalDistribution) else repr(d))
            for name, d in found
        )
        return sorted(map(repr, as_text))

    inner, outer, attributes, courses = common
    return spaces(inner), spaces(outer), sorted(attributes), courses


@pytest.mark.parametrize("seed", range(40))
def test_what_trials_have_in_common_is_what_the_dashboard_finds(seed: int) -> None:
    draw, commons, trials = random.Random(seed), Commons(), list[FrozenTrial]()
    for _ in range(6):
        trials += [any_trial(len(trials) + more, draw) for more in range(draw.randint(0, 4))]
        for place, trial in enumerate(trials):
            if trial.state == TrialState.RUNNING and draw.random() < 0.5:
                trials[place] = any_trial(trial.number, draw)
        theirs = _inmemory_cache._CachedExtraStudyProperty()
        theirs.update(trials)
        found = (
            theirs.intersection_search_space, theirs.union_search_space, theirs.union_user_attrs,
            theirs.has_intermediate_values,
        )  # fmt: skip
        assert comparable(commons.of(0, trials)) == comparable(found)
    others = [any_trial(number, draw) for number in range(len(trials))]  # of another study, under the same id
    assert comparable(commons.of(0, others)) == comparable(Commons().of(0, others))


def test_ended_trials_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    add = ui_study._Union.add
    monkeypatch.setattr(ui_study._Union, "add", lambda self, trial: (looked.append(trial.number), add(self, trial)))
    draw, commons = random.Random(1), Commons()
    trials = [any_trial(number, draw) for number in range(50)]
    for trial in trials[:40]:
        trial.state = TrialState.PRUNED
    trials[40].state = TrialState.RUNNING
    commons.of(0, trials)
    looked.clear()
    commons.of(0, trials)
    assert looked == list(range(40, 50))


def test_courses_that_no_browser_draws_are_not_offered() -> None:
    trials = [create_trial(value=1.0, intermediate_values={1: 0.5}) for _ in range(MOST_COURSES + 1)]
    assert Commons().of(0, trials[:-1])[3]
    assert not Commons().of(0, trials)[3]
    assert not Commons().of(0, [])[3]
