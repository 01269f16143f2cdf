"""The keys of a refined sweep file besides its parameters: carried over from the study's sweep."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.section import Section
from hpo.spec.census import size_of
from hpo.spec.grammar import PlainKeys, SweepKeys
from hpo.spec.space import Space, show
from hpo.spec.sweep import Target, failures_borne
from hpo.spec.validation import validate_section

_WORKED_OUT = ("objective", "program", "seed", "stack")  # of PlainKeys
_OF_THE_STUDY = ("epochs", "parameters", "forbid", "baselines", "budget", "target", "name")  # of Sweep.config()


@dataclass
class CarriedKeys:
    """Top-level keys in the file's order, each with the comment behind it; and what there is to say of them."""

    values: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, key: str, value: Any, comment: str = "") -> None:
        self.values[key] = value
        if comment:
            self.comments[key] = comment


def carried(config: Mapping[str, Any], description: str, best: float, space: Space, trials: int | None) -> CarriedKeys:
    """Return the keys of the new file that come from the old sweep.

    config: the study's resolved sweep (Sweep.config()). best: its best value. space: the refined one. trials: the
    budget; None: half of the old one's. A time limit is scaled like the trials.
    """
    keys = CarriedKeys()
    if description:
        keys.add("description", description)
    for key in ("objective", "program", "command", "data"):
        if config.get(key):
            keys.add(key, config[key])
    _add_metric(keys, config, best)
    budget = dict(config["budget"])
    before = int(budget["trials"])
    budget |= {"trials": trials or math.ceil(before / 2)}
    _add_method(keys, config, space, budget["trials"])
    for name in (each.name for each in dataclasses.fields(PlainKeys) if each.name not in _WORKED_OUT):
        if name in config and (value := _without_defaults(name, config[name])) is not None:
            keys.add(name, value)
    if (unknown := config.keys() - SweepKeys.model_fields.keys() - set(_OF_THE_STUDY)) != set():
        keys.notes.append(f"left out, since this version knows no such key: {', '.join(sorted(unknown))}")
    _add_budget(keys, budget, before)
    seed = int(config.get("seed", 0))
    if config.get("trial_seed") is None:
        fresh = "" if "seed" in space else ": the best trials train with fresh seeds"  # a hyperparameter is theirs
        keys.add("seed", seed + 1, f"another one than the study's {seed}{fresh}")
    else:
        keys.add("seed", seed)
    return keys


def _add_metric(keys: CarriedKeys, config: Mapping[str, Any], best: float) -> None:
    metric = {key: config["metric"][key] for key in ("name", "goal")}
    if config["metric"].get("at", "last") != "last":
        metric["at"] = config["metric"]["at"]
    target = config.get("target")
    if target is None:
        keys.add("metric", metric)
    elif Target(**metric, target=target).reached(best):
        keys.add("metric", metric, f"without the target {show(target)}, which is reached: the sweep would end at once")
    else:
        keys.add("metric", metric | {"target": target})


def _add_method(keys: CarriedKeys, config: Mapping[str, Any], space: Space, trials: int) -> None:
    """Add the method; in place of a grid that the budget would cut off, one that spreads its trials evenly."""
    method = config.get("method", "tpe")
    if method == "grid" and ((size := size_of(space)) is None or size > trials):
        many = "too many" if size is None else f"{size:,}"
        comment = f"not grid: its first {trials} of {many} configurations would be one corner of the space"
        keys.add("method", "qmc", comment)
    else:
        keys.add("method", method)


def _add_budget(keys: CarriedKeys, budget: dict[str, Any], before: int) -> None:
    trials = budget["trials"]
    if budget.get("failures") == failures_borne(before):
        del budget["failures"]
    share = "half of" if trials == math.ceil(before / 2) else "in place of"
    comment = f"{share} the study's {before} trials"
    if (seconds := budget.get("seconds")) is not None:
        scaled = seconds * trials / before
        budget["seconds"] = round(scaled) if scaled >= 10 else scaled
        comment += f", and of its {show(seconds)} seconds" if share == "half of" else "; seconds in proportion"
    keys.add("budget", budget, comment)


def _without_defaults(name: str, value: Any) -> Any:
    """Return a section as a person would write it, without what it would be anyway; None if that is all of it."""
    section, faults = validate_section(name, value, (name,))
    if faults:  # of a version whose grammar was another: the file's check will say so
        return value
    default = SweepKeys.model_fields[name].get_default(call_default_factory=True)
    if section == default:
        return None
    if not isinstance(section, Section) or isinstance(value, list):
        return value
    return section.model_dump(exclude_defaults=True) or section.plain()  # `confirm: {}` would say nothing
