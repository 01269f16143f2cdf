"""Which changes of a space old trials survive, and how a successor gets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpo.ledger.ledger import Ledger
from hpo.ledger.study.book import StudyBook, facts_of
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome, TrialRecord, record_of
from hpo.ledger.study.space_change import differences, fits, obstacles
from hpo.ledger.succession import StudyChoice, begin_successor, choose_study
from hpo.review.studies import left_open
from hpo.search import distributions
from hpo.search.distributions import decode_params
from hpo.search.searcher import Searcher
from hpo.spec.conditions import Clause
from hpo.spec.faults import UserError
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Range, Space
from hpo.spec.sweep import AsWritten, Limits, Sweep, Target

ADAM, SGD = {"optimizer": "adam", "x": 0.5}, {"optimizer": "sgd", "x": 0.1, "momentum": 0.9}
X, OPTIMIZER = Parameter("x", Range(0.0, 1.0)), Parameter("optimizer", Categorical(("adam", "sgd")))
MOMENTUM = Parameter("momentum", Range(0.0, 0.99), {"optimizer": "sgd"})


def make_sweep(*parameters: Parameter, forbid: tuple[Clause, ...] = (), **changes: Any) -> Sweep:
    space = Space(parameters or (OPTIMIZER, X, MOMENTUM), forbid)
    keys = {"name": "s", "source": Path("s.yaml"), "text": "", "metric": Target("score", "maximize"), "space": space}
    return Sweep(**{**keys, "budget": Limits(9, epochs=3), "objective": "m", **changes})


OLD = make_sweep()


def stand_in_the_way(new: Sweep, old: Sweep = OLD) -> list[str]:
    return obstacles(old.identity(), new.identity(), old.space, new.space)


@pytest.mark.parametrize(
    ("old", "new", "fit", "unfit"),
    [
        (Range(0.0, 1.0), Range(-1.0, 2.0), [0.0, 1.0], []),  # wider
        (Range(0.0, 1.0), Range(0.5, 2.0), [0.5, 1.0], [0.0, 0.4]),  # shifted
        (Range(0.0, 1.0), Range(0.0, 1.0, step=0.25), [0.0, 0.25], [0.3]),
        (Range(1, 8, integer=True), Range(0, 8, integer=True, step=2), [2, 8], [1, 7]),
        (Range(1e-5, 1.0, log=True), Range(1e-6, 1.0, log=True), [1e-5], []),
        (Categorical(("a", "b")), Categorical(("b", "c", "a")), ["a", "b"], []),
        (Categorical(("a", "b")), Categorical(("b", "c")), ["b"], ["a"]),
        (Categorical((1, 2)), Categorical((1, 2), (0.3, 0.7)), [1, 2], []),  # weights shape the search only
        (Categorical(([64], [32, 32])), Categorical(([64], [128])), [[64]], [[32, 32]]),
        (Constant(3), Categorical((3, 5)), [3], []),
        (Constant(0.5), Range(0.0, 1.0), [0.5], []),
        (Range(0.0, 1.0), Constant(0.5), [0.5], [0.4]),
        (Categorical(("a", "b")), Constant("b"), ["b"], ["a"]),
    ],
)
def test_a_domain_that_shares_values_keeps_the_trials_with_them(old: Domain, new: Domain, fit: list, unfit: list):
    before, after = make_sweep(Parameter("p", old)), make_sweep(Parameter("p", new))
    assert stand_in_the_way(after, before) == []
    assert all(fits(after.space, {"p": value}) for value in fit)
    assert not any(fits(after.space, {"p": value}) for value in unfit)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Range(0.0, 1.0), Range(2.0, 3.0)),  # nothing in common
        (Range(1, 8, integer=True), Range(1.0, 8.0)),
        (Range(0.1, 1.0), Range(0.1, 1.0, log=True)),
        (Range(1, 8, integer=True), Categorical((1, 2, 4, 8))),
        (Categorical(("a", "b")), Categorical(("c",))),
        (Categorical((True, False)), Categorical((1, 0))),
        (Constant(3), Constant(5)),
        (Constant(3), Range(4, 8, integer=True)),
    ],
)
def test_a_domain_of_another_kind_is_refused(old: Domain, new: Domain):
    before, after = make_sweep(Parameter("p", old)), make_sweep(Parameter("p", new))
    lines = stand_in_the_way(after, before)
    assert lines and all(line.startswith("parameters.p") for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": "other"},
        {"written": AsWritten({"csv": "b.csv"})},
        {"metric": Target("score", "minimize")},
        {"metric": Target("loss", "maximize")},
        {"budget": Limits(9, epochs=4)},
        {"program": "train.py", "objective": None},
    ],
)
def test_what_a_trial_is_may_not_change(changes: dict):
    (line, *_) = stand_in_the_way(make_sweep(**changes))
    assert ": the study has " in line


def test_budget_method_and_seed_are_no_differences():
    assert OLD.identity() == make_sweep(budget=Limits(99, epochs=3), method="gp", seed=7).identity()


def test_parameters_that_come_and_go():
    always = Parameter("y", Range(0.0, 1.0))
    nesterov = Parameter("nesterov", Categorical((True, False)), {"optimizer": "sgd"})
    assert "only" not in stand_in_the_way(make_sweep(OPTIMIZER, X, MOMENTUM, always))[0]
    assert stand_in_the_way(make_sweep(OPTIMIZER, X, MOMENTUM, always)) == [
        "parameters.y: no trial of the study has it, the file always does"
    ]
    assert stand_in_the_way(make_sweep(OPTIMIZER, MOMENTUM)) == [
        "parameters.x: all trials of the study have it, the file does not"
    ]
    more, less = make_sweep(OPTIMIZER, X, MOMENTUM, nesterov), make_sweep(OPTIMIZER, X)
    for new in (more, less):
        assert stand_in_the_way(new) == []
        assert fits(new.space, ADAM)
        assert not fits(new.space, SGD)
    unconditional = make_sweep(OPTIMIZER, X, replace(MOMENTUM, when={}))
    assert stand_in_the_way(unconditional) == []
    assert fits(unconditional.space, SGD)
    assert not fits(unconditional.space, ADAM)


def test_clauses_of_forbid_come_and_go():
    strict = make_sweep(forbid=({"optimizer": "sgd", "momentum": {">": 0.5}},))
    assert stand_in_the_way(strict) == [] == stand_in_the_way(OLD, strict)
    assert [fits(strict.space, params) for params in (ADAM, SGD)] == [True, False]


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    kind = getattr(request, "param", "journal")
    return Home(tmp_path, storage=f"sqlite:///{tmp_path / 's.db'}" if kind == "sqlite" else None)


both = pytest.mark.parametrize("home", ["journal", "sqlite"], indirect=True)


@pytest.fixture
def old(home: Home) -> StudyBook:
    """A study of five trials: complete, pruned, failed, interrupted, and one that repeats it."""
    book = StudyBook(OLD, home)
    book.create(facts_of(OLD, "1" * 32))
    for params, facts in (
        (ADAM, {"state": "complete", "value": 0.5}),
        (SGD, {"state": "pruned"}),
        (ADAM | {"x": 0.2}, {"state": "failed", "error": "bad"}),
        (ADAM | {"x": 0.3}, {"state": "failed", "interrupted": True}),
        (ADAM | {"x": 0.3}, {"state": "complete", "value": 0.75, "retry_of": 3}),
    ):
        record = TrialRecord(-1, params, 7, 3, 1_700_000_000.0, run_id="r", retry_of=facts.get("retry_of"))
        record.number = book.begin(record)
        for step, value in ((1, 0.25), (2, facts.get("value", 0.5))):
            record.steps[step], record.times[step] = {"score": value, "loss": 1.0}, 1_700_000_001.0 + step
            book.report(record.number, step, value)
        record.outcome = Outcome(**{name: fact for name, fact in facts.items() if name != "retry_of"})
        record.ended = 1_700_000_100.0
        book.note_end(record)
        book.end(record)
    return book


def trials(home: Home, study: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=study, storage=open_storage(home)).trials


def attributes(home: Home, study: str) -> dict[str, Any]:
    return optuna.load_study(study_name=study, storage=open_storage(home)).user_attrs


WIDER = make_sweep(OPTIMIZER, Parameter("x", Range(0.0, 5.0)), MOMENTUM)


def succeed(sweep: Sweep, home: Home) -> tuple[StudyChoice, list[str]]:
    choice = choose_study(sweep, home)
    return choice, begin_successor(choice, home)


@both
def test_a_successor_starts_from_the_results(home: Home, old: StudyBook):
    choice, notes = succeed(WIDER, home)
    assert choice.sweep.name == "s.2"
    assert notes == [
        "the file has changed since study 's' began:\n  parameters.x.max: the study has 1.0, the file has 5.0",
        "it goes on as study 's.2', with 3 of 3 trials; its budget counts new trials: 9",
    ]
    copies, originals = trials(home, "s.2"), trials(home, "s")
    assert [copy.number for copy in copies] == [0, 1, 2]
    for copy, number in zip(copies, (0, 1, 4), strict=True):
        original = originals[number]
        for attribute in ("state", "values", "params", "intermediate_values", "datetime_start", "datetime_complete"):
            assert getattr(copy, attribute) == getattr(original, attribute), attribute
        assert copy.user_attrs["copied_from"] == {"study": "s", "number": number}
        assert copy.user_attrs["mlflow_run_id"] != original.user_attrs["mlflow_run_id"]
        assert copy.distributions["x"].high == 5.0
        theirs, ours = record_of(original), record_of(copy)
        assert replace(ours, number=number, run_id="r", retry_of=theirs.retry_of) == theirs
        assert ours.retry_of is None  # the trial that it repeated stayed behind
    assert (attributes(home, "s")["successor"], attributes(home, "s.2")["predecessor"]) == ("s.2", "s")
    assert attributes(home, "s.2")["copied"] == 3
    assert attributes(home, "s.2")["id"] != attributes(home, "s")["id"]
    assert len(originals) == 5


def test_the_changed_file_goes_on_there_and_may_change_again(home: Home, old: StudyBook):
    succeed(WIDER, home)
    choice, notes = succeed(WIDER, home)
    assert (choice.sweep.name, choice.predecessor) == ("s.2", "")
    assert notes == ["study 's' goes on as 's.2', since its space was changed"]
    widest = make_sweep(OPTIMIZER, Parameter("x", Range(-5.0, 5.0)), MOMENTUM)
    assert succeed(widest, home)[0].sweep.name == "s.3"
    assert trials(home, "s.3")[2].user_attrs["copied_from"] == {"study": "s.2", "number": 2}
    interrupted = TrialRecord(7, ADAM, 7, 3, 0.0, outcome=Outcome("failed", interrupted=True))
    assert not left_open(attributes(home, "s"), [interrupted])
    for sweep, study, successor in ((OLD, "s", "s.2"), (WIDER, "s.2", "s.3")):
        choice, (note,) = succeed(sweep, home)
        assert (choice.sweep.name, choice.predecessor) == (study, "")
        assert f"the file of study {study!r}, which went on with another space as {successor!r}" in note
        assert left_open(attributes(home, study), [interrupted])  # it is taken up again
    assert choose_study(widest, home).sweep.name == "s.3"
    assert choose_study(replace(OLD, name="other"), home).sweep.name == "other"


def test_trials_outside_are_left_out_and_counted(home: Home, old: StudyBook):
    narrow = make_sweep(OPTIMIZER, X, MOMENTUM, forbid=({"optimizer": "sgd"},))
    _, notes = succeed(narrow, home)
    kept = "it goes on as study 's.2', with 2 of 3 trials; 1 outside the changed space are left out"
    assert notes[-1] == f"{kept}; its budget counts new trials: 9"
    assert [trial.params["optimizer"] for trial in trials(home, "s.2")] == ["adam", "adam"]


@both
def test_a_space_without_any_of_the_trials_is_refused_and_leaves_nothing(home: Home, old: StudyBook):
    elsewhere = make_sweep(OPTIMIZER, Parameter("x", Range(0.9, 5.0)), MOMENTUM)
    with pytest.raises(UserError, match="none of the 3 trials of study 's' is one of the changed space"):
        succeed(elsewhere, home)
    assert [study.study_name for study in open_storage(home).get_all_studies()] == ["s"]
    assert "successor" not in attributes(home, "s")


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (X, None, ["parameters.x: the study has {min: 0.0, max: 1.0}, the file has none"]),
        (None, X, ["parameters.x: the study has none, the file has {min: 0.0, max: 1.0}"]),
        (
            Range(1e-5, 1.0, log=True),
            Range(1e-4, 1.0),
            [
                "parameters.p.distribution: the study has log_uniform_values, the file has none",
                "parameters.p.min: the study has 1e-05, the file has 0.0001",
            ],
        ),
        (
            Range(1, 8, integer=True),
            Range(1.0, 8.0),
            ["parameters.p: the study has {min: 1, max: 8}, the file has {min: 1.0, max: 8.0}"],
        ),
        (
            Constant(True),
            Categorical((True, "true", None, [4, 2], "a, b")),
            ['parameters.p: the study has {value: true}, the file has {values: [true, "true", null, [4, 2], "a, b"]}'],
        ),
        (
            Categorical(("a", "b"), (0.25, 0.75)),
            Categorical(("a", "b")),
            ["parameters.p.probabilities: the study has [0.25, 0.75], the file has none"],
        ),
        (
            Categorical(tuple(range(200))),
            Categorical(tuple(range(1, 201))),
            ["parameters.p.values: only the study has [0], only the file has [200]"],
        ),
        (
            Categorical(tuple(range(200))),
            Categorical(tuple(range(199, -1, -1))),
            ["parameters.p.values: the same, in another order"],
        ),
    ],
)
def test_differences_are_said_in_the_words_of_a_file(old: Any, new: Any, lines: list[str]):
    parameters = [
        [each if isinstance(each, Parameter) else Parameter("p", each)] if each else [] for each in (old, new)
    ]
    before, after = (make_sweep(OPTIMIZER, *each).identity() for each in parameters)
    assert [line.replace("'", '"') for line in differences(before, after)] == lines
    assert list(differences(before, before)) == []


def test_conditions_clauses_and_keys_are_said_so_too():
    strict = make_sweep(OPTIMIZER, X, replace(MOMENTUM, when={}), forbid=({"optimizer": "sgd", "x": {">": 0.5}},))
    changed = replace(strict, repeats=3, written=AsWritten({"csv": "b.csv", "target": "y"}), budget=Limits(9, epochs=4))
    assert list(differences(OLD.identity(), changed.identity())) == [
        "data.csv: the study has none, the file has b.csv",
        "data.target: the study has none, the file has y",
        "budget.epochs: the study has 3, the file has 4",
        "parameters.momentum.when: the study has {optimizer: sgd}, the file has none",
        "forbid: only the file has {optimizer: sgd, x: {'>': 0.5}}",
        "repeats: the study has 1, the file has 3",
    ]
    others = [
        replace(OLD, space=replace(OLD.space, forbid=each)) for each in (({"x": 1}, {"x": 2}), ({"x": 2}, {"x": 1}))
    ]
    assert list(differences(others[0].identity(), others[1].identity())) == [
        "forbid: the clauses stand in another order"
    ]


def budget(home: Home, sweep: Sweep) -> tuple[int, int]:
    """Return the trials that a sweep's study has, and those that it goes on to."""
    choice, _ = succeed(sweep, home)
    ledger = Ledger(choice.sweep, home, storage=choice.storage)
    try:
        return ledger.done, ledger.sweep.budget.trials
    finally:
        ledger.abandon()


def test_the_budget_of_a_successor_counts_new_trials(home: Home, old: StudyBook):
    assert budget(home, WIDER) == (3, 12)
    assert budget(home, WIDER) == (3, 12)  # and goes on to do so
    assert budget(home, replace(WIDER, budget=Limits(20, epochs=3))) == (3, 23)
    assert attributes(home, "s.2")["sweep"]["budget"]["trials"] == 12
    assert budget(home, OLD) == (3, 9)
    StudyBook(replace(WIDER, name="s.2"), home).set_attribute("uncounted", 0)  # one that an older release made
    assert budget(home, WIDER) == (3, 9)


def test_a_grid_has_no_more_than_its_size(home: Home, old: StudyBook):
    quarters = Parameter("x", Range(0.0, 1.0, step=0.25))
    space = make_sweep(Parameter("optimizer", Constant("adam")), quarters)
    grid = replace(space, method="grid", budget=Limits(5, epochs=3))
    assert budget(home, grid) == (1, 5)  # of which x=0.5 was there; 0.75 is a value, not an x


def test_an_obstacle_is_refused_with_all_differences(home: Home, old: StudyBook):
    other = replace(WIDER, objective="other")
    with pytest.raises(UserError) as caught:
        choose_study(other, home)
    text = str(caught.value)
    assert "objective: the study has m, the file has other\n" in text
    assert "parameters.x.max: the study has 1.0, the file has 5.0\n" in text
    assert "-o name=s-2" in text
    with pytest.raises(UserError) as caught:
        choose_study(replace(OLD, metric=Target("score", "minimize")), home)
    text = str(caught.value)
    assert "  metric.goal: the study has maximize, the file has minimize\n" in text
    assert "was minimized before" not in text  # which is a word for who has a study that minimizes


@both
def test_a_study_that_is_being_run_is_not_copied(home: Home, old: StudyBook):
    from hpo.ledger.sharing.ownership import own_study

    ownership, _ = own_study(OLD, home)
    with pytest.raises(UserError, match="the study 's' is being run by process"):
        succeed(WIDER, home)
    ownership.give_up()
    assert succeed(WIDER, home)[0].sweep.name == "s.2"


@both
@pytest.mark.parametrize("after", [0, 2, 3])
def test_a_copy_that_was_cut_off_is_completed(home: Home, old: StudyBook, after: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(StudyBook, "add", _fail_after(StudyBook.add, after))
    if after == 3:
        monkeypatch.setattr(StudyBook, "set_attribute_of", _fail_after(StudyBook.set_attribute_of, 0))
    with pytest.raises(KeyboardInterrupt):
        succeed(WIDER, home)
    monkeypatch.undo()
    choice, _ = succeed(WIDER, home)
    assert choice.sweep.name == "s.2"
    found = [trial.user_attrs["copied_from"]["number"] for trial in trials(home, "s.2")]
    assert found == [0, 1, 4]
    assert attributes(home, "s")["successor"] == "s.2"


def _fail_after(method: Callable[..., Any], count: int) -> Callable[..., Any]:
    calls = []

    def failing(*arguments: Any) -> Any:
        if len(calls) == count:
            raise KeyboardInterrupt
        calls.append(arguments)
        return method(*arguments)

    return failing


def test_a_name_that_others_took_is_passed_over(home: Home, old: StudyBook):
    optuna.create_study(study_name="s.2", storage=open_storage(home))
    assert succeed(WIDER, home)[0].sweep.name == "s.3"


def make_odd() -> Sweep:
    """Return a sweep of choices that look the same. How they are kept is worked out once for each."""
    return make_sweep(
        Parameter("p", Categorical((True, "true", 1, [64], "[64]"))), Parameter("w", Categorical((["a"], "b"))), X
    )


ODD = make_odd()


def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep choices as they were kept before those that are one to Optuna were told apart."""
    monkeypatch.setattr(distributions, "told_apart", lambda values, readable: [readable(value) for value in values])


@both
def test_a_study_that_took_two_choices_for_one_goes_on_with_each_as_itself(home: Home, monkeypatch: pytest.MonkeyPatch):
    configurations = [{"p": value, "w": ["a"], "x": 0.5} for value in (True, "true", 1, "[64]", [64], True)]
    with monkeypatch.context() as before:
        as_before(before)
        old = make_odd()
        book = StudyBook(old, home)
        book.create(facts_of(old, "1" * 32))
        for number, params in enumerate(configurations):
            record = TrialRecord(-1, params, 7, 3, 1_700_000_000.0, run_id=f"r{number}")
            record.number = book.begin(record)
            if number < 5:  # the last one was cut off: nothing but its kept choice tells of it
                record.outcome, record.ended = Outcome("complete", value=0.5), 1_700_000_100.0
                book.note_end(record)
                book.end(record)
    kept = [trial.params["p"] for trial in trials(home, "s")]
    assert kept == ["true", "true", 1, "[64]", "[64]", "true"]
    choice, notes = succeed(ODD, home)
    assert notes[0] == "study 's' keeps choices of p otherwise than they are kept now, all different"
    assert notes[-1] == "it goes on as study 's.2', with 5 of 5 trials; its budget counts new trials: 9"
    copies = trials(home, "s.2")
    assert [trial.params["p"] for trial in copies] == ["true", '"true"', "1", '"[64]"', "[64]"]
    assert [decode_params(ODD.space, trial.params) for trial in copies] == configurations[:5]
    assert Searcher(choice.sweep, copies).propose() is not None
    again, notes = succeed(ODD, home)
    assert (again.sweep.name, again.predecessor) == ("s.2", "")
    assert notes == ["study 's' goes on as 's.2', since how its choices are kept was changed"]
    assert trials(home, "s")[5].user_attrs["interrupted"]


@both
def test_a_list_that_is_written_otherwise_goes_on(home: Home):
    book = StudyBook(ODD, home)
    book.create(facts_of(ODD, "1" * 32))
    record = TrialRecord(-1, {"p": [64], "w": ["a"], "x": 0.5}, 7, 3, 1_700_000_000.0, run_id="r")
    record.number, record.outcome, record.ended = book.begin(record), Outcome("complete", value=0.5), 1_700_000_100.0
    book.note_end(record)
    book.end(record)
    assert choose_study(ODD, home).predecessor == ""
    written = make_sweep(Parameter("p", Categorical((True, "true", 1.0, [64.0], "[64]"))), *ODD.space.parameters[1:])
    choice, _ = succeed(written, home)
    assert choice.sweep.name == "s.2"
    assert [decode_params(written.space, trial.params)["p"] for trial in trials(home, "s.2")] == [[64.0]]
