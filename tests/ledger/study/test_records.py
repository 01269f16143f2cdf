"""What is written of a trial is what is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.ledger.ledger import trial_seed
from hpo.ledger.mirror.rows import mlflow_key, mlflow_text
from hpo.ledger.study.book import StudyBook, ended_copy
from hpo.ledger.study.home import Home, make_home, open_storage
from hpo.ledger.study.records import Outcome, TrialRecord, record_of
from hpo.spec.faults import UserError
from hpo.spec.space import Categorical, Constant, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target


def make_sweep(**changes) -> Sweep:
    space = Space(
        (
            Parameter("layers", Categorical(([64, 32], [128]))),
            Parameter("x", Range(0.0, 1.0)),
            Parameter("epochs", Constant(3)),
        )
    )
    keys = {"name": "s", "source": Path("s.yaml"), "text": "", "metric": Target("score", "maximize"), "space": space}
    return Sweep(**{**keys, "budget": Limits(5), "objective": "m", **changes})


@pytest.fixture
def book(tmp_path: Path) -> StudyBook:
    book = StudyBook(make_sweep(), Home(tmp_path))
    book.create({"identity": make_sweep().identity()})
    return book


def start(book: StudyBook) -> TrialRecord:
    record = TrialRecord(-1, {"layers": [64, 32], "x": 0.25, "epochs": 3}, 7, epochs=3, started=1_700_000_000.5)
    record.number = book.begin(record)
    book.set_trial_attribute(record.number, "seed", record.seed)
    return record


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "complete", "value": 0.75},
        {"state": "pruned", "diverged": 2},
        {"state": "pruned", "stopped_by": "budget.seconds"},
        {"state": "failed", "error": "ValueError: x", "traceback": "Traceback ...", "attempts": 3},
        {"state": "failed", "interrupted": True, "error": "the sweep was interrupted"},
    ],
)
def test_round_trip(book: StudyBook, tmp_path: Path, facts: dict):
    record = start(book)
    for step, value in ((1, 0.5), (2, 0.75)):
        record.steps[step] = {"score": value, "loss": 1 / 3, **({"late": 1.0} if step == 2 else {})}
        record.times[step] = 1_700_000_001.0 + step
        book.report(record.number, step, value)
    record.ended = 1_700_000_009.25
    record.info = {"worker": "worker-0"}
    record.attempts = facts.get("attempts", 1)
    record.outcome = Outcome(**{name: fact for name, fact in facts.items() if name != "attempts"})
    book.note_end(record)
    (running,) = StudyBook(make_sweep(), Home(tmp_path)).trials()
    foreseen = ended_copy(running, record)
    record.run_id = "abc"
    book.end(record)
    assert record_of(book.trials()[0]).steps == {}  # the driver's memory doesn't keep them
    (trial,) = StudyBook(make_sweep(), Home(tmp_path)).trials()
    assert record_of(trial) == record
    assert trial.intermediate_values == {1: 0.5, 2: 0.75}
    assert trial.value == {"complete": 0.75, "pruned": 0.75, "failed": None}[record.state]
    assert (foreseen.state, foreseen.values) == (trial.state, trial.values)


def test_a_step_that_comes_again_keeps_its_value(book: StudyBook):
    record = start(book)
    for value in (0.5, 0.75):
        book.report(record.number, 1, value)
    (trial,) = book.trials()
    assert trial.intermediate_values == {1: 0.5}


def test_an_outcome_is_in_the_study_before_the_state(book: StudyBook):
    record = start(book)
    record.outcome, record.ended = Outcome("complete", value=0.5), 1_700_000_002.0
    book.note_end(record)
    trial = book.trials()[0]
    assert trial.state.name == "RUNNING"
    assert (record_of(trial).state, record_of(trial).value) == ("complete", 0.5)


def test_another_space_is_refused_with_the_differences(book: StudyBook, tmp_path: Path):
    space = Space((Parameter("x", Range(0.0, 2.0)),))
    with pytest.raises(UserError, match=r"(?s)parameters\.x\.max: the study has 1\.0, the file has 2\.0.*-o name="):
        StudyBook(make_sweep(space=space), Home(tmp_path))
    StudyBook(make_sweep(budget=Limits(50), method="random", seed=9), Home(tmp_path))  # these may change


def test_a_study_that_is_not_ours_is_refused(tmp_path: Path):
    import optuna

    optuna.create_study(study_name="s", storage=open_storage(Home(tmp_path)))
    with pytest.raises(UserError, match="was not made by hpo"):
        StudyBook(make_sweep(), Home(tmp_path))


def test_seeds():
    sweep = make_sweep(seed=1)
    seeds = [trial_seed(sweep, number, {}) for number in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seeds == [trial_seed(sweep, number, {}) for number in range(1000)]
    assert seeds[0] != trial_seed(make_sweep(seed=2), 0, {})
    assert trial_seed(make_sweep(trial_seed=5), 3, {}) == 5
    assert trial_seed(make_sweep(trial_seed=5), 3, {"seed": 8}) == 8


def test_a_home_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"can't be written: Not a directory \(choose another with --home DIR\)"):
        Home(tmp_path / "file" / "home").prepare()


def test_a_storage_that_cannot_be_opened_hides_its_password():
    with pytest.raises(UserError) as caught:
        open_storage(Home(Path("x"), "postgresql://me:secret@127.0.0.1:1/none"))
    assert "secret" not in str(caught.value)


def test_tracking_uri_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    local = make_home(tmp_path, None)
    assert local.tracking_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert local.artifacts is not None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    remote = make_home(tmp_path, None)
    assert (remote.tracking_uri, remote.artifacts) == ("http://127.0.0.1:5000", None)


def test_mlflow_names_and_texts():
    assert mlflow_key("acc@1 (top)") == "acc_1 _top_"
    assert mlflow_key("val/acc.x-y: z") == "val/acc.x-y: z"
    assert [mlflow_text(v) for v in (1e-5, True, None, [64, 32], "a", 3)] == [
        "1e-05",
        "true",
        "null",
        "[64, 32]",
        "a",
        "3",
    ]


def test_best_series():
    record = TrialRecord(0, {}, 0, steps={2: {"a": 2.0}, 1: {"a": 1.0, "b": 0.0}})
    assert record.series("a") == [1.0, 2.0]
    assert (record.last("a"), record.last("b"), record.last("c")) == (2.0, 0.0, None)
