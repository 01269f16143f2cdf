"""What a trial's end means, as a table: each way to end, and what comes of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hpo.driver.results import Circumstances, End, Outcome, RunAgain, ended, judge
from hpo.events import Diverged, Failed, FailureKind, Finished, Paused, Stopped
from hpo.ledger.study.records import TrialRecord
from hpo.spec.grammar import Retry
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target

ERROR, MEMORY, TIMEOUT, DIED, LOST = (
    FailureKind.ERROR, FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT, FailureKind.DIED, FailureKind.LOST,
)  # fmt: skip
SWEEP = Sweep(
    "s", Path("s.yaml"), "", Target("score", "maximize"), Space((Parameter("x", Range(0.0, 1.0)),)),
    Limits(9, trial_seconds=30.0), objective="m",
    retry=Retry(error=0, out_of_memory=1, timeout=1, died=1, lost=2),
)  # fmt: skip
REPORTED = {1: {"score": 0.25, "loss": 1.0}, 2: {"score": 0.5}, 3: {"loss": 0.5}}
NEVER = "ValueError: the metric 'score' was never reported; "
TIME_IS_UP, TOO_LONG = "budget.seconds", "budget.trial_seconds"
TIMED_OUT = "TrialTimeout: longer than budget.trial_seconds=30"


def fails(kind: FailureKind) -> Failed:
    return Failed(0, "E: why", "Traceback ...", kind)


def has_failed(kind: FailureKind, error: str = "E: why", traceback: str = "Traceback ...") -> Outcome:
    return Outcome("failed", error=error, traceback=traceback, failure=kind.value)


CASES: dict[str, tuple[End, dict[str, Any], Outcome | RunAgain]] = {
    # It trained to its end, or was stopped.
    "its value": (Finished(0, 0.75), {}, Outcome("complete", value=0.75)),
    "its value is 0": (Finished(0, 0.0), {}, Outcome("complete", value=0.0)),
    "its last report": (Finished(0), {}, Outcome("complete", value=0.5)),
    "finished, though told to stop": (Finished(0), {"stopped_by": TOO_LONG}, Outcome("complete", value=0.5)),
    "finished, though interrupted": (Finished(0), {"interrupted": True}, Outcome("complete", value=0.5)),
    "by the stopping rule": (Stopped(0), {}, Outcome("pruned", value=0.5)),
    "by itself": (Stopped(0, by_itself=True), {}, Outcome("pruned")),  # what its code calls no good can't be the best
    "by the sweep's time": (Stopped(0), {"stopped_by": TIME_IS_UP}, Outcome("pruned", 0.5, stopped_by=TIME_IS_UP)),
    "diverged": (Diverged(0, 3), {}, Outcome("pruned", diverged=3)),
    "diverged, though told to stop": (Diverged(0, 3), {"stopped_by": TIME_IS_UP}, Outcome("pruned", diverged=3)),
    "paused": (
        Paused(0),
        {"interrupted": True},
        Outcome("failed", error="the sweep was interrupted; a checkpoint is kept", interrupted=True),
    ),
    # It took too long: a failure, also if it obeyed.
    "too long": (Stopped(0), {"stopped_by": TOO_LONG}, RunAgain(TIMEOUT, alone=True)),
    "too long again": (
        Stopped(0),
        {"stopped_by": TOO_LONG, "failures": {TIMEOUT: 1}},
        has_failed(TIMEOUT, TIMED_OUT, ""),
    ),
    "too long, in an interrupted sweep": (
        Stopped(0),
        {"stopped_by": TOO_LONG, "interrupted": True},
        has_failed(TIMEOUT, TIMED_OUT, ""),
    ),
    # Each kind of failure has its own retries.
    "an error": (fails(ERROR), {}, has_failed(ERROR)),
    "out of memory": (fails(MEMORY), {}, RunAgain(MEMORY, alone=True)),
    "out of memory after other failures": (
        fails(MEMORY),
        {"failures": {DIED: 1, TIMEOUT: 1}},
        RunAgain(MEMORY, alone=True),
    ),
    "out of memory again": (fails(MEMORY), {"failures": {MEMORY: 1}}, has_failed(MEMORY)),
    "out of memory, in an interrupted sweep": (fails(MEMORY), {"interrupted": True}, has_failed(MEMORY)),
    "killed for its time": (fails(TIMEOUT), {}, RunAgain(TIMEOUT, alone=True)),
    "died": (fails(DIED), {}, RunAgain(DIED, alone=True)),
    "died again": (fails(DIED), {"failures": {DIED: 1}}, has_failed(DIED)),
    "lost": (fails(LOST), {}, RunAgain(LOST)),
    "lost for the third time": (fails(LOST), {"failures": {LOST: 2}}, has_failed(LOST)),
    # A worker that dies takes its cohort with it, which counts against nobody.
    "died with others": (fails(DIED), {"died_together": 8}, RunAgain(DIED, counts=False, at_most=4)),
    "died with another": (fails(DIED), {"died_together": 2}, RunAgain(DIED, counts=False, at_most=1)),
    "died with others once more": (
        fails(DIED),
        {"died_together": 3, "failures": {DIED: 1}},
        RunAgain(DIED, counts=False, at_most=1),
    ),
    "died with others, in an interrupted sweep": (
        fails(DIED),
        {"died_together": 3, "interrupted": True},
        Outcome("failed", error="E: why", interrupted=True),
    ),
    "an error while others died": (fails(ERROR), {"died_together": 3}, has_failed(ERROR)),
    # A worker that is gone, in a sweep that was stopped.
    "died of a Ctrl-C": (fails(DIED), {"interrupted": True}, Outcome("failed", error="E: why", interrupted=True)),
    "lost after a Ctrl-C": (fails(LOST), {"interrupted": True}, Outcome("failed", error="E: why", interrupted=True)),
    "died when time was up": (fails(DIED), {"stopped_by": TIME_IS_UP}, Outcome("pruned", 0.5, stopped_by=TIME_IS_UP)),
    "lost when time was up": (
        fails(LOST),
        {"stopped_by": TIME_IS_UP, "interrupted": True},
        Outcome("pruned", 0.5, stopped_by=TIME_IS_UP),
    ),
    "an error when time was up": (fails(ERROR), {"stopped_by": TIME_IS_UP}, has_failed(ERROR)),
    "died when it had been told to stop": (fails(DIED), {"stopped_by": TOO_LONG}, RunAgain(DIED, alone=True)),
}


@pytest.mark.parametrize("case", CASES)
def test_what_an_end_means(case: str) -> None:
    event, circumstances, meaning = CASES[case]
    assert judge(event, TrialRecord(0, {}, 0, steps=REPORTED), SWEEP, Circumstances(**circumstances)) == meaning


@pytest.mark.parametrize(
    ("steps", "said"), [({}, "it reported nothing"), ({1: {"loss": 1.0}, 2: {"acc": 0.5}}, "it reported acc, loss")]
)
def test_a_metric_that_was_never_reported_is_an_error(steps: dict[int, dict[str, float]], said: str) -> None:
    record = TrialRecord(0, {}, 0, steps=steps)
    expected = has_failed(ERROR, NEVER + said, "")
    assert judge(Finished(0), record, SWEEP, Circumstances()) == ended(record, SWEEP.metric) == expected
    assert judge(Finished(0, 1.0), record, SWEEP, Circumstances()) == Outcome("complete", value=1.0)
    assert ended(record, SWEEP.metric, stopped_by="") == Outcome("pruned")


def test_what_ray_tune_ends_without_an_error() -> None:
    record = TrialRecord(0, {}, 0, steps=REPORTED)
    assert ended(record, SWEEP.metric) == Outcome("complete", value=0.5)
    assert ended(record, SWEEP.metric, stopped_by="ASHAScheduler") == Outcome("pruned", 0.5, stopped_by="ASHAScheduler")
    assert ended(record, SWEEP.metric, stopped_by="") == Outcome("pruned", 0.5)
    assert ended(record, SWEEP.metric, diverged=4) == Outcome("pruned", diverged=4)
    assert ended(record, SWEEP.metric, stopped_by="ASHAScheduler", diverged=4) == Outcome(
        "pruned", stopped_by="ASHAScheduler", diverged=4
    )


def test_a_verdict_changes_nothing() -> None:
    record, failures = TrialRecord(0, {}, 0, steps=REPORTED), {DIED: 1}
    before = dataclasses.replace(record)
    for event, circumstances, _ in CASES.values():
        judge(event, record, SWEEP, Circumstances(**{"failures": failures, **circumstances}))
    assert (record, failures) == (before, {DIED: 1})


DIPS = {1: {"score": 0.25}, 2: {"score": 0.75}, 3: {"score": 0.75, "loss": 1.0}, 4: {"score": 0.5}, 5: {"loss": 2.0}}


@pytest.mark.parametrize(
    ("goal", "value", "expected"),
    [
        ("maximize", None, (0.75, 2)),  # the first of equal ones
        ("minimize", None, (0.25, 1)),
        ("maximize", 0.7, (0.75, 2)),  # what is returned is a report behind all others
        ("maximize", 0.75, (0.75, 2)),
        ("maximize", 0.8, (0.8, None)),
        ("minimize", 0.2, (0.2, None)),
        ("minimize", 0.0, (0.0, None)),
    ],
)
def test_the_best_report_is_the_value(goal: Any, value: float | None, expected: tuple[float, int | None]) -> None:
    sweep = dataclasses.replace(SWEEP, metric=Target("score", goal, at="best"))
    record = TrialRecord(0, {}, 0, steps=DIPS)
    lost = value if expected[1] is not None else None  # which the study has besides
    assert judge(Finished(0, value), record, sweep, Circumstances()) == Outcome("complete", *expected, returned=lost)
    if value is None:
        assert judge(Stopped(0), record, sweep, Circumstances()) == Outcome("pruned", *expected)
        assert judge(Diverged(0, 6), record, sweep, Circumstances()) == Outcome("pruned", diverged=6)


def test_in_a_study_of_an_earlier_release_stopped_trials_have_no_value() -> None:
    metric = SWEEP.metric.going_on_from({"name": "score", "goal": "maximize"})
    assert (metric.at, metric.identity()) == ("last", {"name": "score", "goal": "maximize"})
    assert ended(TrialRecord(0, {}, 0, steps=REPORTED), metric, stopped_by="") == Outcome("pruned")
