"""What a trial's MLflow run holds, as plain data: the same however it is written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hpo.ledger.study.records import SweepRecord, TrialRecord
from hpo.spec.space import show

STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp: int  # milliseconds since the Unix epoch
    step: int


@dataclass(frozen=True)
class RunRows:
    """A run, as it is when its trial has begun or when it has ended."""

    name: str
    start: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    status: str = "RUNNING"
    end: int | None = None
    points: list[Point] = field(default_factory=list)
    traceback: str = ""


@dataclass
class RunOrder:
    """A run that is to be made, or brought to this state."""

    number: int  # the trial's
    rows: RunRows
    run_id: str = ""  # "": whatever it gets
    exists: bool = False


def run_name(study: str, number: int) -> str:
    """Return the name of a trial's run."""
    return f"{study} {number:04d}"


def begun_rows(sweep: SweepRecord, parent_id: str, record: TrialRecord) -> RunRows:
    """Return what is known of a trial's run at its start."""
    return RunRows(
        name=run_name(sweep.study, record.number),
        start=milliseconds(record.started),
        tags={key: _storable(value) for key, value in _tags(sweep, parent_id, record).items()},
        params=_params(record.params),
    )


def ended_rows(sweep: SweepRecord, parent_id: str, record: TrialRecord) -> RunRows:
    """Return all that a trial's run holds in the end."""
    tags = _tags(sweep, parent_id, record) | _end_tags(record)
    end = milliseconds(record.ended)
    keys: dict[str, str] = {}
    points = [
        Point(keys.get(name) or keys.setdefault(name, mlflow_key(name)), float(value), moment, step)
        for step, moment in ((step, milliseconds(record.times[step])) for step in sorted(record.steps))
        for name, value in record.steps[step].items()
    ]
    points += [Point(name, value, end, 0) for name, value in _summary(sweep, record).items()]
    return RunRows(
        name=run_name(sweep.study, record.number),
        start=milliseconds(record.started),
        tags={key: _storable(value)[:5000] for key, value in tags.items()},
        params=_params(record.params),
        status=STATUS[record.state],
        end=end,
        points=points,
        traceback=_storable(record.traceback),
    )


def best_point(sweep: SweepRecord, step: int, value: float, moment: float) -> Point:
    """Return one point of the best-so-far curve; step: trials that had ended by then."""
    return Point(mlflow_key(f"best_so_far_{sweep.metric}"), value, milliseconds(moment), step)


def best_curve(sweep: SweepRecord, ended: Sequence[TrialRecord]) -> list[Point]:
    """Return the whole best-so-far curve, from the trials' own ends. ended: in any order, without steps."""
    sign = 1.0 if sweep.goal == "maximize" else -1.0
    best = -math.inf
    counted = sorted((r for r in ended if r.counts), key=lambda record: record.ended or 0.0)
    points = []
    for step, record in enumerate(counted, start=1):
        if record.state == "complete" and record.value is not None and sign * record.value > best:
            best = sign * record.value
            points.append(best_point(sweep, step, record.value, record.ended or 0.0))
    return points


def latest_points(points: Iterable[Point]) -> Iterable[Point]:
    """Return each metric's latest point, as MLflow decides which that is."""
    latest: dict[str, Point] = {}
    for point in points:
        known = latest.get(point.key)
        if known is None or (point.step, point.timestamp, point.value) > (known.step, known.timestamp, known.value):
            latest[point.key] = point
    return latest.values()


def _params(params: Mapping[str, Any]) -> dict[str, str]:
    written: dict[str, str] = {}
    for name, value in params.items():
        key = mlflow_key(name)
        while key in written:  # two names that differ only in what MLflow doesn't allow
            key = f"{key[:240]}_2"
        written[key] = mlflow_text(value)
    return written


def _tags(sweep: SweepRecord, parent_id: str, record: TrialRecord) -> dict[str, str]:
    tags = {
        "mlflow.parentRunId": parent_id,
        "mlflow.source.name": sweep.origin.source,
        "mlflow.source.type": "LOCAL",
        "hpo.kind": "trial",
        "hpo.study": sweep.study,
        "hpo.trial": str(record.number),
        "hpo.seed": str(record.seed),
        "hpo.state": record.state,
    }
    if sweep.origin.commit:
        tags["mlflow.source.git.commit"] = sweep.origin.commit
    if record.retry_of is not None:
        tags["hpo.retry_of"] = str(record.retry_of)
    return tags


def _end_tags(record: TrialRecord) -> dict[str, str]:
    tags = {f"hpo.{key}": str(record.info[key]) for key in ("worker", "host", "gpu", "cohort") if key in record.info}
    if record.diverged is not None:
        tags["diverged"] = f"epoch {record.diverged}"
    if record.error:
        tags["hpo.error"] = record.error
    if record.failure:
        tags["hpo.failure"] = record.failure
    if record.attempts > 1:
        tags["hpo.attempts"] = str(record.attempts)
    if record.stopped_by:
        tags["hpo.stopped_by"] = record.stopped_by
    return tags


def _summary(sweep: SweepRecord, record: TrialRecord) -> dict[str, float]:
    """Return what to sort the runs table by: the trial's value (of complete trials only, as in the study), the best
    and the last value of the sweep's metric over the epochs, and the duration."""
    name = sweep.metric
    series = record.series(name)
    summary = {"duration_seconds": record.seconds}
    if series:
        summary[f"best_{name}"] = max(series) if sweep.goal == "maximize" else min(series)
        summary[f"last_{name}"] = series[-1]
    if record.value is not None:
        summary["value"] = summary[f"last_{name}"] = record.value
        summary.setdefault(f"best_{name}", record.value)
    if record.value is not None and not series:
        summary[name] = record.value
    return {mlflow_key(key): float(value) for key, value in summary.items() if math.isfinite(value)}


def mlflow_key(name: str) -> str:
    """Return a name as MLflow allows it: letters, digits and `_-./: `; what else there is becomes `_`."""
    return re.sub(r"[^\w\-./: ]", "_", name)[:250]


def milliseconds(moment: float | None) -> int:
    """Return a moment as MLflow counts them."""
    return int((moment or 0.0) * 1000)


def mlflow_text(value: Any) -> str:
    """Return a parameter as MLflow shows it."""
    text = (
        json.dumps(value) if isinstance(value, list | dict) else str(value) if isinstance(value, float) else show(value)
    )
    return _storable(text)[:6000]


def _storable(text: str) -> str:
    """Return a text with escapes in place of what no database takes: halves of characters, as in a file's name that is
    no UTF-8, and null characters."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\0")
