"""What a trial's end means: it is complete, pruned, failed or interrupted, or it is run again under its number.

The driver (trials.py) and Ray Tune's recorder (recorder.py) ask here; nobody else decides it. Nothing here has an
effect: who asks carries out the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo.events import Diverged, Failed, FailureKind, Finished, Paused, Stopped
from hpo.ledger.study.records import INTERRUPTED, Outcome, TrialRecord
from hpo.spec.sweep import Sweep, Target

End = Finished | Stopped | Diverged | Paused | Failed  # the events that end a trial

# The limits for which the driver stops trials, as they stand in `stopped_by`.
TIME_IS_UP = "budget.seconds"
TRIAL_TIME_IS_UP = "budget.trial_seconds"


@dataclass(frozen=True)
class RunAgain:
    """A trial failed, and is run again under its number."""

    failure: FailureKind
    counts: bool = True  # as one of the retries that this kind of failure has
    alone: bool = False  # in a worker of its own, so that one that kills its worker takes no other with it
    at_most: int | None = None  # trials in a cohort of its shape from now on; None: as before


@dataclass(frozen=True)
class Circumstances:
    """What the end of one of the driver's trials is judged by, besides the event that tells of it."""

    stopped_by: str = ""  # the limit for which the driver has told it to stop; "": it has not
    failures: Mapping[FailureKind, int] = field(default_factory=dict)  # of its earlier runs, as far as they count
    died_together: int = 1  # trials that died with the same worker, itself included
    interrupted: bool = False  # the sweep was: no trial is run again any more


def judge(event: End, record: TrialRecord, sweep: Sweep, circumstances: Circumstances) -> Outcome | RunAgain:
    """Return what the end of one of the driver's trials means."""
    stopped_by, metric = circumstances.stopped_by, sweep.metric
    if isinstance(event, Finished):
        return ended(record, metric, value=event.value)
    if isinstance(event, Stopped) and stopped_by == TRIAL_TIME_IS_UP:
        error = f"TrialTimeout: longer than budget.trial_seconds={sweep.budget.trial_seconds:g}"
        return _judge_failure(Failed(event.number, error, kind=FailureKind.TIMEOUT), record, sweep, circumstances)
    if isinstance(event, Stopped) and event.by_itself and not stopped_by:
        return Outcome("pruned")
    if isinstance(event, Stopped):
        return ended(record, metric, stopped_by=stopped_by)
    if isinstance(event, Diverged):
        return ended(record, metric, diverged=event.epoch)
    if isinstance(event, Paused):
        return interrupted(f"{INTERRUPTED}; a checkpoint is kept")
    return _judge_failure(event, record, sweep, circumstances)


def _judge_failure(
    event: Failed, record: TrialRecord, sweep: Sweep, circumstances: Circumstances
) -> Outcome | RunAgain:
    kind = event.kind
    if kind in (FailureKind.DIED, FailureKind.LOST):  # its worker is gone, for whatever reason
        if circumstances.stopped_by == TIME_IS_UP:
            return ended(record, sweep.metric, stopped_by=TIME_IS_UP)
        if circumstances.interrupted:  # perhaps of the same Ctrl-C
            return interrupted(event.error)
    # Nobody knows which member of a cohort it was that killed their worker, or for which it was killed. So that counts
    # against none of them; they run again in smaller cohorts, until each is alone.
    shared = kind is FailureKind.DIED and circumstances.died_together > 1
    failures = circumstances.failures.get(kind, 0) + (not shared)
    if failures > getattr(sweep.retry, kind.value) or circumstances.interrupted:
        return failed(event.error, event.traceback, kind)
    if shared:
        return RunAgain(kind, counts=False, at_most=circumstances.died_together // 2)
    return RunAgain(kind, alone=kind is not FailureKind.LOST)


def ended(
    record: TrialRecord,
    metric: Target,
    value: float | None = None,
    stopped_by: str | None = None,
    diverged: int | None = None,
) -> Outcome:
    """Return the outcome of a trial that ended without an error.

    value: what the objective returned, as if it had reported it last; None: nothing. stopped_by: what stopped it, ""
    for the stopping rule; None: it trained to its end. diverged: the step at which a value was not finite; such a trial
    has no value, however good it was before.
    """
    # Pruned, so that the sampler learns to keep away; a failed trial would teach it nothing.
    if diverged is not None:
        return Outcome("pruned", diverged=diverged, stopped_by=stopped_by or "")
    reports = {step: metrics[metric.name] for step, metrics in record.steps.items() if metric.name in metrics}
    step, counted = metric.counted(reports) or (None, None)
    returned = value
    if value is None or (counted is not None and metric.at == "best" and not metric.better(value, counted)):
        value = counted
    else:
        step = None
    best_step = step if metric.at == "best" else None
    if stopped_by is not None:
        return Outcome("pruned", value if metric.stopped_count else None, best_step, stopped_by=stopped_by)
    if value is None:
        reported = sorted({name for metrics in record.steps.values() for name in metrics})
        said = f"it reported {', '.join(reported)}" if reported else "it reported nothing"
        return failed(f"ValueError: the metric {metric.name!r} was never reported; {said}")
    return Outcome("complete", value, best_step, returned=None if best_step is None else returned)


def failed(error: str, traceback: str = "", kind: FailureKind = FailureKind.ERROR) -> Outcome:
    """Return the outcome of a trial that failed, and is not run again."""
    return Outcome("failed", error=error, traceback=traceback, failure=kind.value)


def interrupted(error: str = INTERRUPTED) -> Outcome:
    """Return the outcome of a trial that was cut off: who goes on with the study runs it again, as a new trial."""
    return Outcome("failed", error=error, interrupted=True)
