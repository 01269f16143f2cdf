"""How a trial stands, in words: the same in tables, in the Optuna dashboard's notes and in MLflow's descriptions."""

from __future__ import annotations

from collections.abc import Iterable

from hpo.ledger.study.records import INTERRUPTED, State, TrialRecord


def state_of(record: TrialRecord) -> str:
    """Return a trial's state as people are told it: as it is recorded, or `interrupted`."""
    return "interrupted" if record.interrupted else record.state


def kind_of(states: Iterable[State]) -> str:
    """Return in words what trials are that have a value, by their states: `complete`, `stopped`, or both."""
    found = set(states)
    return "complete or stopped" if len(found) > 1 else "stopped" if found == {"pruned"} else "complete"


def reason_of(record: TrialRecord, last_step: int | None) -> str:
    """Return why a trial was stopped or failed, in words; "" if it was neither. last_step: that it reported."""
    if record.interrupted or record.state == "failed":
        return record.error or (INTERRUPTED if record.interrupted else "the error is not recorded")
    if record.diverged is not None:
        return f"diverged: a value was not finite at step {record.diverged}"
    if record.state != "pruned":
        return ""
    after = f"after step {last_step}" if last_step is not None else "before its first report"
    return f"stopped by {record.stopped_by}, {after}" if record.stopped_by else f"stopped early, {after}"


def result_of(record: TrialRecord, metric: str, last_step: int | None, last: float | None) -> str:
    """Return a trial's result, state and reason in one line without Markdown.

    metric: the sweep's. last_step, last: the last step that the trial reported, and the metric's value there.
    """
    at_best = f" at its best step, {record.best_step}" if record.best_step is not None else ""
    if record.state == "complete" and record.value is not None:
        return f"complete, {metric} {record.value:.6g}{at_best}"
    shown = last if record.value is None else record.value
    so_far = f", {metric} {shown:.6g}{at_best}" if shown is not None else ""
    if record.state == "running":
        after = f" after step {last_step}" if last_step is not None else ""
        return f"running{so_far}{after}"
    reason = " ".join(reason_of(record, last_step).split())
    return f"{state_of(record)}{so_far}" + (f": {reason}" if reason else "")
