"""What a trial's MLflow run holds, as plain data: the same however it is written.

Metrics that the sweep writes of its own accord are named `hpo/...`, and no metric of the user's is: an objective may
report a `value`, a `duration_seconds` or a `trials_complete` of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hpo.diagnosis.words import in_words, names_of
from hpo.events import DIVERGED_HEALTH, USER_ATTRS
from hpo.ledger.mirror.notes import begun_note, ended_note
from hpo.ledger.study.records import SweepRecord, TrialRecord
from hpo.spec.choices import LONGEST_TEXT, text_of
from hpo.spec.yaml_text import dump_source

_OWN = "hpo/"  # what the names begin with of metrics that the sweep writes of its own accord
DATA_CONTEXT = ("mlflow.data.context", "training")  # the tag of a run's data set
STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    timestamp: int  # milliseconds since the Unix epoch
    step: int


class DatasetRows(NamedTuple):
    """A data set, as MLflow keeps it. profile: JSON, "" where nothing is known of it."""

    name: str
    digest: str
    source_type: str
    source: str
    profile: str


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
    data: DatasetRows | None = None  # what it trained on, where that is known
    notes: tuple[str, ...] = ()  # the descriptions that a sweep writes one after the other, the latest last


DATA_NOTES = "data.txt"  # the parent run's file with what was done to the data
VERDICT = "confirmation.json"  # the parent run's file with what came out of the latest confirmation
VERDICT_TAGS = ("hpo.confirmation", "hpo.verdict")  # of the parent run: the confirming study, and its verdict
RESOLVED = "resolved.yaml"  # the parent run's file with the whole sweep, in which paths are absolute


@dataclass
class RunOrder:
    """A run that is to be made, or brought to this state."""

    number: int  # the trial's
    rows: RunRows
    run_id: str = ""  # "": whatever it gets
    exists: bool = False


def parent_files(sweep: SweepRecord) -> dict[str, str]:
    """Return the files of the parent run, by name."""
    files = {
        "sweep.yaml": sweep.text,
        RESOLVED: dump_source(sweep.config),
        "versions.json": json.dumps(dict(sweep.origin.versions), indent=2),
    }
    files |= {"references.json": json.dumps(sweep.references, indent=2, ensure_ascii=False)} if sweep.references else {}
    if found := sweep.decision.get("confirmation"):
        files[VERDICT] = json.dumps(found, indent=2, ensure_ascii=False)
    return files | ({DATA_NOTES: "\n".join(sweep.origin.notes) + "\n"} if sweep.origin.notes else {})


def reference_points(sweep: SweepRecord) -> list[Point]:
    """Return the parent run's metrics `hpo/reference/<model>/<metric>`: what models of scikit-learn reach."""
    return [
        Point(own_key(f"reference/{name}/{metric}"), float(value), milliseconds(model["moment"]), 0)
        for name, model in sweep.references.get("models", {}).items()
        for metric, value in model["metrics"].items()
    ]


def confirmation_points(sweep: SweepRecord) -> list[Point]:
    """Return the parent run's metrics `hpo/confirm/...`: what came out of the latest confirmation."""
    found = sweep.decision.get("confirmation")
    if not found:
        return []
    low, high = found["result"]["interval"]
    values = {"difference": found["result"]["difference"], "low": low, "high": high}
    values |= {name: found[name]["test"] for name in ("winner", "baseline") if found[name]["test"] is not None}
    moment = milliseconds(found["moment"])
    return [Point(own_key(f"confirm/{name}"), float(value), moment, 0) for name, value in values.items()]


def parent_points(sweep: SweepRecord) -> list[Point]:
    """Return the parent run's metrics that tell of what was measured beside the trials."""
    return [*reference_points(sweep), *confirmation_points(sweep)]


def confirmation_tags(sweep: SweepRecord) -> dict[str, str]:
    """Return the parent run's tags that tell of confirmations: which sweep it confirms, or how it was confirmed."""
    tags: dict[str, str] = {}
    if confirms := sweep.decision.get("confirms"):
        tags |= {"hpo.confirms": confirms["study"]}
        tags |= {"hpo.confirms_run": confirms["parent"]} if confirms["parent"] else {}
    if found := sweep.decision.get("confirmation"):
        tags |= dict(zip(VERDICT_TAGS, (found["study"], found["result"]["verdict"]), strict=True))
    return tags


def run_name(study: str, number: int) -> str:
    """Return the name of a trial's run."""
    return f"{study} {number:04d}"


def parent_name(sweep: SweepRecord) -> str:
    """Return the name of a sweep's parent run."""
    return f"{sweep.study} ({'confirmation' if sweep.decision.get('confirms') else 'sweep'})"


def begun_rows(sweep: SweepRecord, parent_id: str, record: TrialRecord) -> RunRows:
    """Return what is known of a trial's run at its start."""
    return RunRows(
        name=run_name(sweep.study, record.number),
        start=milliseconds(record.started),
        tags={key: _storable(value) for key, value in _tags(sweep, parent_id, record).items()},
        params=_params(sweep, record),
        notes=(_storable(begun_note(sweep, record.number, parent_id)),),
        data=dataset_rows(sweep, record.started),
    )


def ended_rows(sweep: SweepRecord, parent_id: str, record: TrialRecord) -> RunRows:
    """Return all that a trial's run holds in the end."""
    tags = _tags(sweep, parent_id, record) | _end_tags(record)
    end = milliseconds(record.ended)
    keys = keys_of({sweep.metric, *(name for metrics in record.steps.values() for name in metrics)})
    points = [
        Point(keys[name], float(value), moment, step)
        for step, moment in ((step, milliseconds(record.times[step])) for step in sorted(record.steps))
        for name, value in record.steps[step].items()
    ]
    keyed = keys_of(record.info.get(DIVERGED_HEALTH, {}))
    points += [
        Point(keyed[name], float(value), end, record.diverged or 0)
        for name, value in record.info.get(DIVERGED_HEALTH, {}).items()
    ]
    if record.value is not None and math.isfinite(record.value) and not record.series(sweep.metric):
        points.append(Point(keys[sweep.metric], float(record.value), end, 0))
    points += [Point(own_key(name), value, end, 0) for name, value in _summary(sweep, record).items()]
    return RunRows(
        name=run_name(sweep.study, record.number),
        start=milliseconds(record.started),
        tags={key: _storable(value)[:5000] for key, value in tags.items()},
        params=_params(sweep, record),
        status=STATUS[record.state],
        end=end,
        points=points,
        traceback=_storable(record.traceback),
        notes=tuple(
            _storable(note)
            for note in (begun_note(sweep, record.number, parent_id), ended_note(sweep, record, parent_id))
        ),
        data=dataset_rows(sweep, record.started),
    )


def dataset_rows(sweep: SweepRecord, started: float) -> DatasetRows | None:
    """Return the data that a trial had which started then, in seconds since the Unix epoch; None if nobody knows it."""
    data = sweep.origin.data
    if not data or started < data["since"]:
        return None
    profile = json.dumps({"num_rows": data["rows"]}) if data["rows"] is not None else ""
    source = json.dumps(data["source"], ensure_ascii=False)
    return DatasetRows(_storable(data["name"]), data["digest"], data["type"], _storable(source), profile)


def best_point(sweep: SweepRecord, step: int, value: float, moment: float) -> Point:
    """Return one point of the best-so-far curve; step: trials that had ended by then."""
    return Point(own_key(f"best_so_far_{sweep.metric}"), value, milliseconds(moment), step)


def best_curve(sweep: SweepRecord, ended: Sequence[TrialRecord]) -> list[Point]:
    """Return the whole best-so-far curve, from the trials' own ends. ended: in any order, without steps."""
    sign = 1.0 if sweep.goal == "maximize" else -1.0
    best = -math.inf
    counted = sorted((r for r in ended if r.counts), key=lambda record: record.ended or 0.0)
    points = []
    for step, record in enumerate(counted, start=1):
        if record.ranks and record.value is not None and sign * record.value > best:
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


def _params(sweep: SweepRecord, record: TrialRecord) -> dict[str, str]:
    keys = keys_of({*sweep.config.get("parameters", ()), *record.params})  # the same in every run of the sweep
    return {keys[name]: mlflow_text(value, name in sweep.quoted) for name, value in record.params.items()}


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
    tags = {mlflow_key(f"attr.{key}"): text_of(value) for key, value in record.info.get(USER_ATTRS, {}).items()}
    tags |= {f"hpo.{key}": str(record.info[key]) for key in ("worker", "host", "gpu", "cohort") if key in record.info}
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
    if record.diagnoses is not None:
        tags["hpo.diagnosis"] = names_of(record.diagnoses)
    if record.diagnoses:
        tags["hpo.diagnosis_evidence"] = in_words(record.diagnoses)
    return tags


def _summary(sweep: SweepRecord, record: TrialRecord) -> dict[str, float]:
    """Return what to sort the runs table by: the trial's value (not of trials that can't be the best), its step where
    the best one counts, the best and the last value of the sweep's metric over the epochs, the duration, and how many
    diagnoses it has. What an objective returned is the last one; where the best one counts, it may be that, too."""
    name = sweep.metric
    returned = record.value if record.best_step is None else record.outcome.returned
    counted = series = record.series(name)
    if returned is not None:
        series = [*series, returned]
    if sweep.config.get("metric", {}).get("at") == "best" or not counted:
        counted = series
    summary = {"duration_seconds": record.seconds}
    if record.diagnoses is not None:
        summary["diagnoses"] = len(record.diagnoses)
    if series:
        summary[f"best_{name}"] = max(counted) if sweep.goal == "maximize" else min(counted)
        summary[f"last_{name}"] = series[-1]
    if record.value is not None:
        summary["value"] = record.value
        if record.best_step is not None:
            summary["best_step"] = record.best_step
    return {key: float(value) for key, value in summary.items() if math.isfinite(value)}


def own_key(name: str) -> str:
    """Return the name in MLflow of a metric that the sweep writes of its own accord."""
    return mlflow_key(f"{_OWN}{name}")


def keys_of(names: Iterable[str]) -> dict[str, str]:
    """Return the names in MLflow of metrics or parameters of the user's, by their own: all different, none `hpo/...`.

    A name that MLflow allows stays as it is. Of several that differ only in what it doesn't allow, each gets a number.
    """
    wanted = {name: _user_key(name) for name in sorted(set(names))}
    keys = {name: key for name, key in wanted.items() if key == name}
    taken = set(keys)
    for name, key in wanted.items():
        number, free = 2, key
        while name not in keys and free in taken:
            free, number = f"{key[:240]}_{number}", number + 1
        taken.add(keys.setdefault(name, free))
    return keys


def _user_key(name: str) -> str:
    key = mlflow_key(name)
    return mlflow_key(key.replace("/", "_", 1)) if key.startswith(_OWN) else key


def mlflow_key(name: str) -> str:
    """Return a name as MLflow allows it: letters, digits and `_-./: `; what else there is becomes `_`. So do slashes
    where the name would be another, read as a path (`/a`, `a//b`, `a/../b`)."""
    key = re.sub(r"[^\w\-./: ]", "_", name)[:250]
    if posixpath.normpath(key) != key or key.startswith(("..", "/")) or key == ".":
        key = key.replace("/", "_")
        key = key if key.strip(".") and not key.startswith("..") else f"_{key}"[:250]
    return key


def milliseconds(moment: float | None) -> int:
    """Return a moment as MLflow counts them."""
    return int((moment or 0.0) * 1000)


def mlflow_text(value: Any, quoted: bool = False) -> str:
    """Return a parameter as MLflow shows it. quoted: as JSON, by which every choice has a text of its own."""
    if not quoted:
        return _storable(text_of(value))[:LONGEST_TEXT]
    text = _storable(json.dumps(value, ensure_ascii=False))
    if len(text) <= LONGEST_TEXT:
        return text
    mark = f"... (SHA-256 {hashlib.sha256(text.encode()).hexdigest()[:16]})"
    return text[: LONGEST_TEXT - len(mark)] + mark


def _storable(text: str) -> str:
    """Return a text with escapes in place of what no database takes: halves of characters, as in a file's name that is
    no UTF-8, and null characters."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\0")
