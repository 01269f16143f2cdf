"""When a sweep asks for no more trials."""

from __future__ import annotations

from pathlib import Path

from hpo.driver.tally import Tally
from hpo.driver.termination import Termination
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target

SPACE = Space((Parameter("x", Range(0.0, 1.0)),))


def termination(trials: int = 20, failures: int = 50) -> tuple[Termination, Tally, list[str]]:
    metric = Target("score", "maximize", target=0.75)
    tally = Tally(Sweep("s", Path("s.yaml"), "", metric, SPACE, Limits(trials, failures=failures), objective="m"))
    told: list[str] = []
    return Termination(tally._sweep, tally.standing, told.append), tally, told


def complete(number: int, value: float) -> TrialRecord:
    return TrialRecord(number, {}, 0, outcome=Outcome("complete", value=value))


def failed(number: int, error: str) -> TrialRecord:
    return TrialRecord(number, {}, 0, outcome=Outcome("failed", error=error, traceback=f"Traceback of {error}"))


def test_the_room_in_the_budget_is_exact() -> None:
    found, tally, _ = termination(trials=3)
    assert [found.room(running) for running in (0, 2, 3, 4)] == [3, 1, 0, -1]
    tally.take(complete(0, 0.5))
    tally.take(TrialRecord(1, {}, 0, outcome=Outcome("pruned")))
    tally.take(failed(2, "E"))  # does not count
    tally.take(TrialRecord(3, {}, 0, outcome=Outcome("failed", interrupted=True)))
    assert [found.room(running) for running in (0, 1)] == [1, 0]
    found.stop("enough")
    assert found.room(0) == 0


def test_only_the_first_reason_counts_and_is_told_once() -> None:
    found, tally, told = termination()
    found.stop("the first")
    found.stop("the second")
    found.take(complete(0, 0.9))
    assert found.reason == tally.standing.reason == "the first"
    assert told == ["the first"]


def test_a_target_that_is_reached_here_or_before() -> None:
    found, _, told = termination()
    found.take(complete(0, 0.7))
    found.take(TrialRecord(1, {}, 0, outcome=Outcome("pruned", value=None)))
    found.check_target(None)
    assert not told
    found.take(complete(2, 0.75))
    assert told == ["score reached its target with trial 2"]
    found, _, told = termination()
    found.check_target(complete(7, 0.8), "had reached")
    assert told == ["score had reached its target with trial 7"]


def test_failures_stop_it_with_the_error_that_they_have_in_common() -> None:
    found, tally, told = termination(trials=100)
    for number in range(5):
        found.take(failed(number, f"E: {number}"))
    assert told == ["the first 5 trials all failed with the same error"]
    assert tally.standing.error == "Traceback of E: 4"


def test_failures_of_earlier_and_of_other_drivers_count_but_make_no_row() -> None:
    found, _, told = termination(failures=6)
    for number in range(6):
        found.remember(failed(number, "E"))
    assert not told
    found.take(complete(6, 0.5))
    found.take(failed(7, "E"))
    assert told == ["7 trials failed, more than budget.failures=6"]


def test_what_is_no_result_is_counted_by_its_kind_and_not_ranked() -> None:
    _, tally, _ = termination()
    assert not any(tally.take(failed(number, f"E: {number}")) for number in range(2))
    assert not tally.take(TrialRecord(2, {}, 0, outcome=Outcome("failed", error="x", interrupted=True)))
    assert not tally.take(TrialRecord(3, {}, 0, outcome=Outcome("pruned", diverged=2)))
    counts = tally.standing.counts
    assert (counts.complete, counts.pruned, counts.failed, counts.diverged) == (0, 1, 2, 1)
    assert counts.errors == {"E: #": 2}
    assert tally.standing.best is tally.standing.baseline is None
