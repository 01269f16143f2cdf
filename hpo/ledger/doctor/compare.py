"""A trial's run as it should be and as MLflow has it, compared value by value."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hpo.ledger.doctor.readers import Content, Values
from hpo.ledger.mirror.notes import NOTE
from hpo.ledger.mirror.rows import RunRows, latest_points, own_key

# What the study keeps of the sweep only as it was run last, while runs have what was so when they ran.
_OF_THEIR_TIME = {"mlflow.source.name", "mlflow.source.git.commit"}
UNDESCRIBED = "description"  # the kind of difference of a run without one, as older releases left all
_ROUNDED = {own_key("duration_seconds")}  # the study keeps a trial's start in whole microseconds


class Difference(NamedTuple):
    """One thing in which a run is not as it should be."""

    kind: str
    text: str
    wrong: bool  # what MLflow has would have to go; else something has to be added


def differences(rows: RunRows, status: str, found: Content) -> Iterator[Difference]:
    """Yield in what a run differs from its trial. What others have added to it is no difference."""
    if status != rows.status:
        yield Difference("status", f"the status is {rows.status} by the study, {status} in MLflow", False)
    yield from _texts("param", rows.params, found.params)
    tags = {key: value for key, value in rows.tags.items() if key not in _OF_THEIR_TIME}
    yield from _texts("tag", tags, found.tags)
    if rows.notes and NOTE not in found.tags:  # another one is somebody's own
        yield Difference(UNDESCRIBED, "the run has no description", False)
    yield from _metrics(rows, found)


def _texts(kind: str, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[Difference]:
    for key, value in ours.items():
        other = theirs.get(key)
        if other != value:
            has = "does not have it" if other is None else f"has {_short(other)}"
            wrong = kind == "param" and other is not None  # MLflow lets nobody change a param
            yield Difference(kind, f"{kind} {key}: the study has {_short(value)}, MLflow {has}", wrong)


def _metrics(rows: RunRows, found: Content) -> Iterator[Difference]:
    ours: dict[str, Values] = defaultdict(set)
    for key, value, _, step in rows.points:
        ours[key].add((step, value))
    for key, values in ours.items():
        theirs = found.values.get(key, set())
        if theirs != values and (found.whole or key in found.values):
            yield from _values(key, values, theirs)
    if found.latest is not None:
        yield from _latest(rows, found.latest)


def _values(key: str, ours: Values, theirs: Values) -> Iterator[Difference]:
    """Yield the steps at which a metric's values differ."""
    for step in sorted({step for step, _ in ours ^ theirs}):
        here = sorted(value for at, value in ours if at == step)
        there = sorted((value for at, value in theirs if at == step), key=repr)
        missing = [value for value in here if not any(same_value(key, other, value) for other in there)]
        extra = [other for other in there if not any(same_value(key, other, value) for value in here)]
        if missing or extra:
            what = f"metric {key} at step {step}: the study has {_numbers(here)}, MLflow has {_numbers(there)}"
            yield Difference("metric", what, wrong=bool(extra))


def _latest(rows: RunRows, found: Mapping[str, tuple[int, float]]) -> Iterator[Difference]:
    """Yield the metrics of which MLflow's list of runs shows something else than their last value."""
    for key, value, _, step in latest_points(rows.points):
        shown = found.get(key)
        if shown is None or shown[0] != step or not same_value(key, shown[1], value):
            there = "none" if shown is None else f"{shown[1]!r} at step {shown[0]}"
            what = f"metric {key}, latest value: the study has {value!r} at step {step}, MLflow has {there}"
            yield Difference("latest", what, wrong=True)


def same_value(key: str, left: Any, right: float) -> bool:
    """Whether a metric's value in MLflow is the study's."""
    if left == right:
        return True
    return key in _ROUNDED and isinstance(left, float) and math.isclose(left, right, abs_tol=1e-3)


def _numbers(values: list[float]) -> str:
    return " and ".join(map(repr, values)) or "none"


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
