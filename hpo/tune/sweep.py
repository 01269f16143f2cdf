"""From what a StudySearcher is given to a checked Sweep: the keys of a sweep file, but for those that Tune decides."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo.spec.faults import Fault, SpecError, UserError
from hpo.spec.load import make_sweep
from hpo.spec.named import Inspection
from hpo.spec.plain import plain
from hpo.spec.source import Source, read_source
from hpo.spec.sweep import TRAINABLE, Sweep
from hpo.spec.yaml_text import dump_source
from hpo.tune.space import convert, flat, is_foreign

MANY = 2**53  # trials, where Tune's num_samples alone says how many
_NAME = "StudySearcher"  # in messages, where there is no file

# Keys of sweep files that say how an objective of the file's own is trained, and what Tune has for them.
_TUNES = {
    "objective": "the Tuner's trainable",
    "program": "the Tuner's trainable",
    "command": "the Tuner's trainable",
    "data": "the Tuner's trainable",
    "engine": "tune.with_resources and TuneConfig(max_concurrent_trials=...)",
    "retry": "RunConfig(failure_config=tune.FailureConfig(max_failures=...))",
    "checkpoint_seconds": "RunConfig(checkpoint_config=...)",
    "repeats": "the Tuner's trainable",
    "confirm": "nothing",
    "report": "nothing",
    "keep": "RunConfig(checkpoint_config=...)",
    "references": "nothing",
    "health": "the Tuner's trainable",
}
_TUNES_BUDGET = {
    "epochs": "RunConfig(stop={'training_iteration': ...})",
    "seconds": "TuneConfig(time_budget_s=...)",
    "trial_seconds": "RunConfig(stop={'time_total_s': ...})",
    "stall_seconds": "nothing",
}


@dataclass(frozen=True)
class Wanted:
    """What a StudySearcher was given."""

    source: Source
    path: Path
    left_out: tuple[str, ...] = ()  # keys of the file that have no meaning under Tune

    @property
    def has_parameters(self) -> bool:
        return "parameters" in self.source.data

    @property
    def failures(self) -> int | None:
        """How many failed trials are borne, if that is said."""
        found = (self.source.data.get("budget") or {}).get("failures")
        return int(found) if found is not None else None

    @property
    def has_budget(self) -> bool:
        """Whether the study's number of trials is said, and not Tune's num_samples alone counts."""
        return "run_cap" in self.source.data or "trials" in (self.source.data.get("budget") or {})


def wanted(file: str | Path | None, keys: Mapping[str, Any]) -> Wanted:
    """Return what a sweep file and keys say, those of `keys` over those of the file.

    Raises SpecError if the file can't be read, or if keys name what Tune decides.
    """
    if file is None:
        source, path = Source(_NAME, {}), Path(sys.argv[0] or _NAME)
    else:
        path = Path(file)
        source = read_source(path)
    left_out = []
    for key in [key for key in _TUNES if key in source.data]:
        del source.data[key]
        left_out.append(key)
    budget = source.data.get("budget")
    if isinstance(budget, Mapping):
        for key in [key for key in _TUNES_BUDGET if key in budget]:
            del source.data["budget"][key]
            left_out.append(f"budget.{key}")
    _refuse(keys)
    source.data |= _plain(keys)
    source.lines = {place: line for place, line in source.lines.items() if not place or place[0] not in keys}
    if "name" not in source.data and file is None:
        raise SpecError([Fault("the study has no name", remedy="add name=...")], _NAME)
    return Wanted(source, path, tuple(left_out))


def _refuse(keys: Mapping[str, Any]) -> None:
    faults = [Fault(f"under Ray Tune, {what} decides that", (key,)) for key, what in _TUNES.items() if key in keys]
    if "points_to_evaluate" in keys:
        faults.append(Fault("this is called baselines here", ("points_to_evaluate",), remedy="write baselines=[...]"))
    if isinstance(budget := keys.get("budget"), Mapping):
        decided = _TUNES_BUDGET.items()
        faults += [
            Fault(f"under Ray Tune, {what} decides that", ("budget", key)) for key, what in decided if key in budget
        ]
    if faults:
        raise SpecError(faults, _NAME)


def with_parameters(given: Wanted, param_space: Mapping[str, Any]) -> Wanted:
    """Return what is wanted with all parameters in the grammar of sweep files, those of the Tuner's `param_space` among
    them. Raises SpecError with all that can't be said so."""
    data = dict(given.source.data)
    faults: list[Fault] = []
    own, foreign = data.get("parameters"), "parameters" not in data
    if isinstance(own, Mapping) and is_foreign(own):
        own, foreign = convert(own, faults), True
    added = convert(param_space, faults)
    if isinstance(own, Mapping) or (own is None and added):
        own = own or {}
        faults += [
            Fault("it is in the Tuner's param_space, too", ("parameters", name), remedy="keep one")
            for name in added
            if name in own
        ]
        data["parameters"] = {**added, **own}
    if foreign and isinstance(data.get("baselines"), list):
        names = data.get("parameters") or ()
        data["baselines"] = [flat(entry, names) if isinstance(entry, Mapping) else entry for entry in data["baselines"]]
    if faults:
        raise SpecError(faults, _NAME)
    return replace(given, source=replace(given.source, data=data))


def build_sweep(given: Wanted) -> Sweep:
    """Check everything and return the sweep. Raises SpecError with all faults."""
    data = {**given.source.data, "objective": TRAINABLE}
    if not given.has_budget:
        data["run_cap"] = MANY
    try:
        sweep = make_sweep(replace(given.source, data=data), given.path, lambda named: Inspection(), [])
    except SpecError as error:
        if given.source.lines:
            raise
        raise SpecError([replace(fault, line=None) for fault in error.faults], _NAME) from None
    return replace(sweep, text=given.source.text or dump_source(given.source.data))


def _plain(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys with their values as a sweep file has them. Raises SpecError with all that none can have.

    A search space of Tune's or Optuna's stays as it is: `convert` takes it over.
    """
    faults: list[Fault] = []
    foreign = {key: value for key, value in keys.items() if isinstance(value, Mapping) and is_foreign(value)}
    data = {key: foreign[key] if key in foreign else plain(value, (key,), faults) for key, value in keys.items()}
    if faults:
        raise SpecError(faults, _NAME)
    return data


def check_goal(sweep: Sweep, metric: str | None, mode: str | None) -> None:
    """Raise UserError if Tune optimizes something else than the study does."""
    goal = {"min": "minimize", "max": "maximize"}.get(mode or "", sweep.metric.goal)
    if (metric or sweep.metric.name) != sweep.metric.name or goal != sweep.metric.goal:
        raise UserError(
            f"Tune is to {goal} {metric or sweep.metric.name}, but the study {sweep.name!r} is to "
            f"{sweep.metric.goal} {sweep.metric.name} (let metric and mode say the same, or leave them out of Tune's)"
        )
