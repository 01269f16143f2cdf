"""What a trial reports, as the study has it: decisions rest on it, live and after a resume."""

from __future__ import annotations

from pathlib import Path

from hpo.ledger.ledger import Ledger
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome, TrialRecord, record_of
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target

SWEEP = Sweep(
    "s", Path("s.yaml"), "", Target("score", "maximize"), Space((Parameter("x", Range(0.0, 1.0)),)), Limits(5),
    objective="m",
)  # fmt: skip


def test_reports_of_one_step_add_up_and_a_second_run_changes_none(tmp_path: Path) -> None:
    """A program prints a step's metrics in two lines; its worker dies; what it prints then differs in the last bits."""
    home = Home(tmp_path)
    home.prepare()
    ledger = Ledger(SWEEP, home)
    try:
        ledger.start()
        record = ledger.begin({"x": 0.5})
        assert isinstance(record, TrialRecord)
        ledger.report(record.number, 1, {"loss": 2.0}, 1.0)
        ledger.report(record.number, 1, {"score": 0.25}, 2.0)
        ledger.report(record.number, 2, {"score": 0.5}, 3.0)
        ledger.again(record.number)
        ledger.report(record.number, 1, {"score": 0.26, "loss": 2.5}, 4.0)
        ledger.end(record.number, Outcome("complete", value=0.26))
    finally:
        ledger.abandon()
    (trial,) = StudyBook(SWEEP, home).trials()
    assert trial.intermediate_values == {1: 0.25, 2: 0.5}  # all that the searcher took in, and as it did
    assert record_of(trial).steps == {1: {"score": 0.26, "loss": 2.5}}  # of the run that counts


def test_a_metric_that_comes_twice_in_one_run_has_its_last_value_and_decisions_keep_the_first(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    ledger = Ledger(SWEEP, home)
    try:
        ledger.start()
        record = ledger.begin({"x": 0.5})
        assert isinstance(record, TrialRecord)
        for value in (0.25, 0.5, 0.125):
            ledger.report(record.number, 1, {"score": value}, value)
        ledger.report(record.number, 1, {"lr": 1.0}, 4.0)
        assert record.last("score") == 0.125
        ledger.end(record.number, Outcome("complete", value=record.last("score")))
    finally:
        ledger.abandon()
    (trial,) = StudyBook(SWEEP, home).trials()
    assert trial.intermediate_values == {1: 0.25}
    assert record_of(trial).steps == {1: {"score": 0.125, "lr": 1.0}}
