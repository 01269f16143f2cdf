"""Is the study whole, and at one with itself?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpo.ledger.doctor.findings import Findings
from hpo.ledger.study.records import OPTUNA_NAMES, record_of, value_in_study
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_NEEDED = ("seed", "params", "history", "outcome")  # attributes of a trial that has ended


def audit_study(sweep: Sweep, trials: Sequence[FrozenTrial], findings: Findings) -> list[int]:
    """Look at each trial of a study that nobody runs; return the trials that have ended without an outcome."""
    foreign = []
    for trial in trials:
        if not trial.state.is_finished():
            _add_left(trial, findings)
            continue
        missing = [name for name in _NEEDED if name not in trial.user_attrs]
        if missing:
            what = f"it is {trial.state.name}, but lacks {', '.join(missing)}: it was not ended by hpo"
            findings.add("study.attributes", what, trial.number)
        if "outcome" in missing:
            foreign.append(trial.number)
        else:
            _compare(sweep, trial, findings)
    done = sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials)
    if done > sweep.budget.trials:
        why = "two drivers ran it, or the budget was lowered since"
        what = f"{done} trials are complete or pruned, but the budget is {sweep.budget.trials} ({why})"
        findings.add("study.budget", what)
    return foreign


def _add_left(trial: FrozenTrial, findings: Findings) -> None:
    outcome = trial.user_attrs.get("outcome")
    if outcome is None:
        what = f"it is {trial.state.name}, but nobody runs it: it was interrupted"
    else:
        what = f"it is {trial.state.name}, but its outcome is noted: {_outcome(outcome['state'], outcome['value'])}"
    findings.add("study.running", what, trial.number)


def _compare(sweep: Sweep, trial: FrozenTrial, findings: Findings) -> None:
    """Compare a trial's state and value with the outcome that was noted before them."""
    record = record_of(trial)
    value = value_in_study(record, record.last(sweep.metric.name))
    values = [value] if value is not None else None
    if trial.state.name != OPTUNA_NAMES.get(record.state) or (trial.values or None) != values:
        has = _outcome(trial.state.name, trial.values[0] if trial.values else None)
        what = f"it is {has}, but its outcome is {_outcome(record.state, record.value)}"
        findings.add("study.contradiction", what, trial.number)


def _outcome(state: str, value: float | None) -> str:
    return f"{state} with {value!r}" if value is not None else f"{state} without a value"
