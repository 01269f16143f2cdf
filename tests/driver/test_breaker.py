"""When a sweep that only fails is stopped."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.driver.breaker import CircuitBreaker
from hpo.ledger.study.records import Outcome, TrialRecord


def failed(error: str = "RuntimeError: no luck with 3", **facts: Any) -> TrialRecord:
    return TrialRecord(0, {}, 0, outcome=Outcome("failed", error=error, **facts))


def complete() -> TrialRecord:
    return TrialRecord(0, {}, 0, outcome=Outcome("complete", value=1.0))


def test_the_first_trials_that_fail_alike_stop_it() -> None:
    breaker = CircuitBreaker(trials=100, failures=50)
    said = [breaker.take(failed(f"RuntimeError: no luck with {number}")) for number in range(5)]
    assert said == ["", "", "", "", "the first 5 trials all failed with the same error"]


@pytest.mark.parametrize("errors", [["A", "B"] * 3, ["A", "A", "A", "A", "B", "A"]])
def test_different_errors_do_not(errors: list[str]) -> None:
    breaker = CircuitBreaker(trials=100, failures=50)
    assert {breaker.take(failed(error)) for error in errors} == {""}


def test_a_small_budget_has_fewer_first_trials() -> None:
    breaker = CircuitBreaker(trials=2, failures=50)
    assert [bool(breaker.take(failed())) for _ in range(2)] == [False, True]


def test_failures_that_are_borne_in_all() -> None:
    breaker = CircuitBreaker(trials=100, failures=2)
    said = []
    for _ in range(3):
        assert breaker.take(complete()) == ""
        said.append(breaker.take(failed()))
    assert said == ["", "", "3 trials failed, more than budget.failures=2"]


def test_a_row_of_failures_stops_it_at_any_time() -> None:
    breaker = CircuitBreaker(trials=1000, failures=500)
    for _ in range(3):
        breaker.take(complete())
    said = [breaker.take(failed(f"E: {letter}")) for letter in "abcdefghijkl"]
    assert said[-1] == "12 trials failed in a row" and set(said[:-1]) == {""}


def test_interrupted_trials_and_those_of_earlier_drivers_make_no_row() -> None:
    breaker = CircuitBreaker(trials=100, failures=6)
    for _ in range(6):
        breaker.remember(failed())
        assert breaker.take(failed(interrupted=True)) == ""
    assert breaker.take(failed()) == "7 trials failed, more than budget.failures=6"
