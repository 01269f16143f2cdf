"""What is recorded of a trial, and how it is written into an Optuna trial and read back.

A record holds everything that MLflow shows, so MLflow can be rebuilt from the study at any time.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from hpo.diagnosis import Diagnosis
from hpo.diagnosis.words import names_of
from hpo.events import USER_ATTRS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, TrialState

State = Literal["running", "complete", "pruned", "failed"]
OPTUNA_NAMES: Mapping[State, str] = {
    "running": "RUNNING",
    "complete": "COMPLETE",
    "pruned": "PRUNED",
    "failed": "FAIL",
}  # of optuna.trial.TrialState
_END_KEYS = {"state", "value", "ended"}  # of the attribute `outcome`
# What a trial's attributes hold for the platform itself: what Optuna's own fields say again, and what is no number or
# text to look at. Its note says the rest (hpo/review/ui_notes.py).
_FOR_RECORDS = frozenset(
    {"params", "history", "outcome", "info", "traceback", "interrupted", "mlflow_run_id", "driver", "surplus"}
    | {"copied_from", "sources"}
)
# The same of a study; of these there are texts too, which are long or say nothing to people.
_STUDY_FOR_RECORDS = frozenset(
    {"identity", "sweep", "sweep_file", "origin", "id", "quoted", "owners", "extension", "data_notes", "mlflow_run_id"}
    | {"references", "confirms", "confirmation", "confirmations", "test_looks", "models", "sources", "space"}
    | {"removing", "renaming", "former_names"}
)
# All that a trial's attributes may be called by the platform.
_OWN_NAMES = _FOR_RECORDS | {
    *("seed", "epochs", "retry_of", "seconds", "error", "failure", "diverged", "best_step", "returned", "stopped_by"),
    *("attempts", "diagnoses"),
}
_NO_HISTORY: Mapping[str, Any] = {"steps": [], "times": [], "metrics": {}}
INTERRUPTED = "the sweep was interrupted"  # the error of a trial that is to be run again as a new one


def optuna_state(state: State) -> TrialState:
    """Return Optuna's name of a state."""
    from optuna.trial import TrialState  # deferred: records are read where Optuna is not loaded

    return TrialState[OPTUNA_NAMES[state]]


@dataclass(frozen=True)
class Outcome:
    """How a trial stands or ended, and why."""

    state: State = "running"
    value: float | None = None  # by the sweep's rule (hpo.spec.sweep.Target); None: the trial can't be the best
    best_step: int | None = None  # that which has the value, where the best one counts; None: what it returned has it
    returned: float | None = None  # by the objective, behind its reports, where one of these has the value
    error: str = ""
    traceback: str = ""
    failure: str = ""  # the kind of a failure (hpo.events.FailureKind)
    diverged: int | None = None  # the epoch in which a value was not finite
    stopped_by: str = ""  # "" or what cut the trial off other than the stopping rule, e.g. "budget.seconds"
    interrupted: bool = False  # the sweep was stopped; the trial is to be run again


@dataclass
class TrialRecord:
    """One trial, from its start to its end."""

    number: int
    params: Mapping[str, Any]  # active, constants included
    seed: int
    epochs: int | None = None
    started: float = 0.0  # seconds since the Unix epoch
    ended: float | None = None
    outcome: Outcome = field(default_factory=Outcome)
    steps: dict[int, dict[str, float]] = field(default_factory=dict)  # every metric of every step
    times: dict[int, float] = field(default_factory=dict)  # when each step was reported
    retry_of: int | None = None
    attempts: int = 1
    info: dict[str, Any] = field(default_factory=dict)  # worker, host, device, ...
    run_id: str = ""
    diagnoses: tuple[Diagnosis, ...] | None = None  # of how it trained; (): healthy; None: nothing can be told of it

    @property
    def state(self) -> State:
        return self.outcome.state

    @property
    def value(self) -> float | None:
        return self.outcome.value

    @property
    def best_step(self) -> int | None:
        return self.outcome.best_step

    @property
    def error(self) -> str:
        return self.outcome.error

    @property
    def traceback(self) -> str:
        return self.outcome.traceback

    @property
    def failure(self) -> str:
        return self.outcome.failure

    @property
    def diverged(self) -> int | None:
        return self.outcome.diverged

    @property
    def stopped_by(self) -> str:
        return self.outcome.stopped_by

    @property
    def interrupted(self) -> bool:
        return self.outcome.interrupted

    @property
    def seconds(self) -> float:
        return (self.ended or self.started) - self.started

    @property
    def counts(self) -> bool:
        """Whether the trial has a result, and so counts against the budget."""
        return self.state in ("complete", "pruned")

    @property
    def ranks(self) -> bool:
        """Whether the trial can be the best: it has a value by the sweep's rule, complete or stopped."""
        return self.counts and self.value is not None

    @property
    def in_words(self) -> str:
        """Which trial this is, as people are told beside its value."""
        members = self.info.get("members", 1)
        of = f", the mean of {members} members" if members > 1 else ""
        at = f", its best step: {self.best_step}" if self.best_step is not None else ""
        stopped = ", stopped early" if self.state == "pruned" else ""
        return f"trial {self.number}{of}{at}{stopped}, seed {self.seed}"

    def series(self, metric: str) -> list[float]:
        """Return a metric's values in the order of steps."""
        return [self.steps[step][metric] for step in sorted(self.steps) if metric in self.steps[step]]

    def last(self, metric: str) -> float | None:
        """Return a metric's last value; None if it was never reported."""
        reported = (self.steps[step] for step in sorted(self.steps, reverse=True))
        return next((metrics[metric] for metrics in reported if metric in metrics), None)

    def beside_value(self, metric: str) -> float | None:
        """Return what another metric was where the trial has its value: at its best step, else at the last one."""
        if self.best_step is None:
            return self.last(metric)
        return self.steps.get(self.best_step, {}).get(metric)


@dataclass(frozen=True)
class Origin:
    """Where a sweep comes from, which nothing else in its study tells."""

    source: str = ""  # the sweep file
    description: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    user: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)  # as hpo.ledger.study.dataset has it
    notes: Sequence[str] = ()  # what was done to the data
    overrides: Sequence[str] | None = ()  # what the latest command set besides; None: a script did


@dataclass(frozen=True)
class SweepRecord:
    """What MLflow's parent run says of a sweep."""

    study: str
    study_id: str  # tells studies of one name apart, in homes that share an MLflow server, say
    metric: str
    goal: str
    objective: str
    text: str
    config: Mapping[str, Any]
    origin: Origin = field(default_factory=Origin)
    began: float = 0.0  # seconds since the Unix epoch
    shared: bool = False  # other drivers may write into the same parent run
    parent: str = ""  # the id of the parent run, as far as the study knows it
    references: Mapping[str, Any] = field(default_factory=dict)  # as the study has them (References.attribute)
    decision: Mapping[str, Any] = field(default_factory=dict)  # `confirms` and `confirmation`, as studies have them
    quoted: Sequence[str] = ()  # parameters that runs write as JSON, since texts of two choices would be the same
    on_server: str = ""  # the experiment's id on an MLflow server, which knows nothing of `hpo ui`; "": that shows it


def start_attributes(record: TrialRecord, named: bool) -> dict[str, Any]:
    """Return the user attributes that are known when a trial starts. named: its run's id is certain."""
    known: dict[str, Any] = {"seed": record.seed}
    if record.epochs is not None:
        known["epochs"] = record.epochs
    if record.retry_of is not None:
        known["retry_of"] = record.retry_of
    if named and record.run_id:
        known["mlflow_run_id"] = record.run_id
    return known


def end_attributes(record: TrialRecord) -> dict[str, Any]:
    """Return the user attributes that are known when a trial has ended. `outcome` comes last: it says all are there."""
    known: dict[str, Any] = {
        "seconds": round(record.seconds, 4),
        "params": dict(record.params),
        "history": {
            "steps": sorted(record.steps),
            "times": [round(record.times[step], 3) for step in sorted(record.steps)],
            "metrics": _columns(record.steps),
        },
    }
    optional = {
        "error": record.error,
        "traceback": record.traceback,
        "failure": record.failure,
        "diverged": record.diverged,
        "best_step": record.best_step,
        "returned": record.outcome.returned,
        "stopped_by": record.stopped_by,
        "interrupted": record.interrupted or None,
        "attempts": record.attempts if record.attempts > 1 else None,
        "info": record.info,
    }
    known |= {key: value for key, value in optional.items() if value not in (None, "", {})}
    # The code's own stand where Optuna has them, but for names that mean something here; `info` has all of them.
    theirs = {key: value for key, value in record.info.get(USER_ATTRS, {}).items() if key not in _OWN_NAMES}
    known = theirs | known
    if record.diagnoses is not None:
        known["diagnoses"] = [{"name": each.name, "evidence": each.evidence} for each in record.diagnoses]
    return known | {"outcome": {"state": record.state, "value": record.value, "ended": record.ended}}


def shown_attributes(attributes: Mapping[str, Any], ours: bool = False) -> Mapping[str, Any]:
    """Return a trial's user attributes without those that the platform keeps for itself.

    attributes: of any trial; one that is no sweep's keeps all. ours: the trial is a sweep's, ended or not; else it is
    taken for one if it has a sweep's end.
    """
    end = attributes.get("outcome")
    if not ours and (not isinstance(end, dict) or end.keys() != _END_KEYS):
        return attributes
    shown = {key: value for key, value in attributes.items() if key not in _FOR_RECORDS}
    if (found := _diagnoses(attributes)) is not None:
        shown["diagnoses"] = names_of(found)
    return shown


def is_ours(attributes: Mapping[str, Any]) -> bool:
    """Whether a study is a sweep's or a confirmation's. attributes: the study's."""
    return "identity" in attributes


def shown_study_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a study's user attributes without those that the platform keeps for itself; another's keeps all."""
    if not is_ours(attributes):
        return attributes
    return {key: value for key, value in attributes.items() if key not in _STUDY_FOR_RECORDS}


def value_in_study(record: TrialRecord, last: float | None) -> float | None:
    """Return the value that an ended trial has in the study: its own by the sweep's rule; a pruned one that has none,
    since it diverged or an earlier release recorded it, its last report, as Optuna itself has it; a failed one none.
    last: the last value of the sweep's metric that the trial reported."""
    if record.state == "pruned":
        return last if record.value is None else record.value
    return record.value if record.state == "complete" else None


def best_first(records: Iterable[TrialRecord], goal: str) -> list[TrialRecord]:
    """Return the trials that can be the best, the best first; of equal ones the earlier first."""
    sign = -1.0 if goal == "maximize" else 1.0
    ranking = [record for record in records if record.ranks]
    return sorted(ranking, key=lambda record: (sign * (record.value or 0.0), record.number))


def _columns(steps: Mapping[int, Mapping[str, float]]) -> dict[str, list[float | None]]:
    """Return {metric: values by step}; None where a metric was not reported at a step."""
    names = dict.fromkeys(name for step in sorted(steps) for name in steps[step])
    return {name: [steps[step].get(name) for step in sorted(steps)] for name in names}


@dataclass(frozen=True)
class History:
    """A trial's steps in a tenth of the memory, to be sent to the mirror and to wait there. NaN: not reported."""

    steps: Sequence[int]
    times: array[float]
    columns: Mapping[str, array[float]]


def packed(record: TrialRecord) -> tuple[TrialRecord, History]:
    """Return a record without its steps, and its steps."""
    steps = sorted(record.steps)
    columns = {
        name: array("d", [math.nan if value is None else value for value in column])
        for name, column in _columns(record.steps).items()
    }
    times = array("d", [record.times[step] for step in steps])
    return replace(record, steps={}, times={}), History(steps, times, columns)


def unpacked(record: TrialRecord, history: History) -> TrialRecord:
    """Return a record with its steps."""
    columns = history.columns.items()
    steps = {
        step: {name: column[index] for name, column in columns if not math.isnan(column[index])}
        for index, step in enumerate(history.steps)
    }
    return replace(record, steps=steps, times=dict(zip(history.steps, history.times, strict=True)))


def record_of(trial: FrozenTrial, history: bool = True) -> TrialRecord:
    """Read a trial of the study back into a record; without its steps if `history` is false."""
    attributes = trial.user_attrs
    noted = (attributes.get("history") if history else None) or _NO_HISTORY
    steps: dict[int, dict[str, float]] = {}
    for index, step in enumerate(noted["steps"]):
        values = {name: column[index] for name, column in noted["metrics"].items()}
        steps[step] = {name: value for name, value in values.items() if value is not None}
    noted_end = attributes.get("outcome", {"state": "running", "value": None, "ended": None})
    return TrialRecord(
        number=trial.number,
        params=attributes.get("params", trial.params),
        seed=attributes.get("seed", 0),
        epochs=attributes.get("epochs"),
        started=_seconds(trial.datetime_start) or 0.0,
        ended=noted_end["ended"],
        outcome=Outcome(
            state=noted_end["state"],
            value=noted_end["value"],
            best_step=attributes.get("best_step"),
            returned=attributes.get("returned"),
            error=attributes.get("error", ""),
            traceback=attributes.get("traceback", ""),
            failure=attributes.get("failure", ""),
            diverged=attributes.get("diverged"),
            stopped_by=attributes.get("stopped_by", ""),
            interrupted=attributes.get("interrupted", False),
        ),
        steps=steps,
        times=dict(zip(noted["steps"], noted["times"], strict=True)),
        retry_of=attributes.get("retry_of"),
        attempts=attributes.get("attempts", 1),
        info=attributes.get("info", {}),
        run_id=attributes.get("mlflow_run_id", ""),
        diagnoses=_diagnoses(attributes),
    )


def _diagnoses(attributes: Mapping[str, Any]) -> tuple[Diagnosis, ...] | None:
    noted = attributes.get("diagnoses")  # older trials have none
    return None if noted is None else tuple(Diagnosis(each["name"], each["evidence"]) for each in noted)


def reported(trial: FrozenTrial) -> tuple[Sequence[int], Mapping[str, Sequence[float | None]]]:
    """Return the steps that an ended trial of the study reported, in order, and each metric's values by step (None: not
    reported at that step), without the cost of a record of them."""
    noted = trial.user_attrs.get("history") or _NO_HISTORY
    return noted["steps"], noted["metrics"]


def seconds_of_steps(trial: FrozenTrial) -> list[float]:
    """Return when an ended trial made the report of each of its steps, in seconds since its start."""
    noted, began = trial.user_attrs.get("history") or _NO_HISTORY, _seconds(trial.datetime_start) or 0.0
    return [max(0.0, moment - began) for moment in noted["times"]]


def is_surplus(trial: FrozenTrial) -> bool:
    """Whether a trial was withdrawn before it ran, since a shared study's budget was spent, another driver had the same
    one, or its own driver had lost the study. It is no trial of the sweep's: not counted, not shown, not in MLflow."""
    return "surplus" in trial.user_attrs


def driver_of(trial: FrozenTrial) -> int:
    """Return the number of the driver that sees to a trial in a shared study; 0 where drivers had none."""
    return int(trial.user_attrs.get("driver", 0))


def _seconds(moment: datetime | None) -> float | None:
    """Return seconds since the Unix epoch of Optuna's naive local time."""
    return moment.timestamp() if moment is not None else None


def local_time(seconds: float) -> datetime:
    """Return Optuna's naive local time."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().replace(tzinfo=None)


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that are numbers to draw: NaN and inf break MLflow's pages."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
