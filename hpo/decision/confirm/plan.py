"""The confirming study: its name, its seeds, and the sweep that trains every contender with every seed, and no more."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Container, Mapping, Sequence
from typing import Any

from hpo.ledger.study.confirmations import Confirming, Contender, confirming
from hpo.review.studies import RecordedStudy
from hpo.spec.conditions import identity_of
from hpo.spec.contract import Contract
from hpo.spec.faults import SpecError
from hpo.spec.load import shape_parameters
from hpo.spec.named import Inspection
from hpo.spec.space import Categorical, Constant, Domain, Parameter, Space
from hpo.spec.sweep import AsWritten, Limits, Sweep, Traits
from hpo.spec.validation import validate_section

_KEPT = ("engine", "retry", "checkpoint_seconds")  # sections of the sweep that say how trials are trained
Studies = Mapping[str, Mapping[str, Any]]


def name_of(study: str, index: int) -> str:
    """Return the name of a study's confirmation, from the first (0) on."""
    return f"{study}.confirm" if index == 0 else f"{study}.confirm.{index + 1}"


def confirming_names(study: str, study_id: str, studies: Studies) -> list[str]:
    """Return the confirming studies that there are of a study, the first one first. studies: attributes by name."""
    found = []
    for name, attributes in studies.items():
        known = confirming(attributes)
        if known is not None and (known.study, known.study_id) == (study, study_id):
            found.append(name)
    return sorted(found, key=lambda name: (len(name), name))


def free_name(study: str, names: Container[str]) -> str:
    """Return the name of the next confirmation. names: those that are taken."""
    index = 0
    while name_of(study, index) in names:
        index += 1
    return name_of(study, index)


def fresh_seeds(sweep_seed: int, name: str, count: int, used: Sequence[int]) -> tuple[int, ...]:
    """Return seeds that no trial of the search has had, the same for the same confirming study."""
    found: list[int] = []
    taken, index = set(used), 0
    while len(found) < count:
        digest = hashlib.sha256(f"{sweep_seed}:{name}:{index}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big") >> 1
        if seed not in taken:
            found.append(seed)
            taken.add(seed)
        index += 1
    return tuple(found)


def takes_seed(sweep: Sweep, contract: Contract | None) -> bool:
    """Whether a trial's seed may stand among its hyperparameters."""
    return "seed" in sweep.space if contract is None else "seed" in contract.parameters


def confirming_sweep(
    study: RecordedStudy, name: str, what: Confirming, engine: Mapping[str, Any], inspection: Inspection
) -> Sweep:
    """Return the sweep of a confirming study. engine: keys of the `engine` section in place of the sweep's own.

    Raises SpecError if these don't fit.
    """
    sweep, config = study.sweep, study.config
    space = _space(sweep.space, what)
    baselines = [_ordered({**each.params, "seed": seed}, space) for each in what.contenders for seed in what.seeds]
    resampled = sweep.resampled and inspection.contract is not None  # a function's data are its own
    traits = Traits(
        reports_each_epoch=inspection.contract is not None,
        shape_parameters=shape_parameters(_without_seed(space), inspection.contract),
        libraries=inspection.libraries,
    )
    return dataclasses.replace(
        sweep,
        name=name,
        metric=dataclasses.replace(sweep.metric, target=None),  # the first to reach it would end it
        text=f"# The study {name} confirms the study {what.study}: hpo confirm {what.study}\n",
        objective=config.get("objective"),
        program=config.get("program"),
        space=space,
        budget=_limits(sweep.budget, len(baselines)),
        method="random",  # of which nothing is asked
        trial_seed=None,
        repeats=1,  # its seeds are the repeats; and one split for all, so that they are measured on the same rows
        data=_one_split(sweep.data, resampled),
        written=AsWritten(_one_split(sweep.written.data, resampled), sources=inspection.sources),
        references="off",
        baselines=tuple(baselines),
        description=f"Confirms the study {what.study}.",
        traits=traits,
        confirms=what.attribute(),
        **_sections(config, engine),
    )


def _one_split(data: Mapping[str, Any], resampled: bool) -> dict[str, Any]:
    """Return a data section so that it splits the rows once for all trials."""
    return {key: value for key, value in data.items() if not resampled or key not in ("resample", "folds")}


def _space(space: Space, what: Confirming) -> Space:
    """Return the space whose choices are the contenders', and the seeds."""
    parameters = [Parameter("seed", _domain(what.seeds))]
    for parameter in space.parameters:
        values = {identity_of(c.params[parameter.name]): c.params[parameter.name]
                  for c in what.contenders if parameter.name in c.params}  # fmt: skip
        if values and parameter.name != "seed":
            found = tuple(values.values())
            # Of a define-by-run objective the code alone knows who has a parameter: a constant would be everybody's.
            shared = parameter.when or all(parameter.name in each.params for each in what.contenders)
            domain = _domain(found) if shared else Categorical(found)
            parameters.append(Parameter(parameter.name, domain, parameter.when))
    return Space(tuple(parameters))


def _domain(values: tuple[Any, ...]) -> Domain:
    return Constant(values[0]) if len(values) == 1 else Categorical(values)


def _without_seed(space: Space) -> Space:
    return Space(tuple(parameter for parameter in space.parameters if parameter.name != "seed"))


def _ordered(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    return {name: params[name] for name in space.names() if name in params}


def _limits(budget: Limits, trials: int) -> Limits:
    """Return the budget: each contender with each seed. One that always fails does not end the others."""
    return dataclasses.replace(budget, trials=trials, failures=trials, seconds=None)


def _sections(config: Mapping[str, Any], engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the study's sweep says of how trials are trained; what an older study lacks has its default."""
    found = {key: config[key] for key in _KEPT if config.get(key) is not None}
    known = found.get("engine", {})
    same_type = engine.get("type", known.get("type", "local")) == known.get("type", "local")
    found["engine"] = {**(known if same_type else {}), **engine}
    sections, faults = {}, []
    for key, value in found.items():
        sections[key], wrong = validate_section(key, value, (key,))
        faults += wrong
    if faults:
        raise SpecError(faults, "hpo confirm")
    return sections


def contenders_text(contenders: Sequence[Contender]) -> str:
    """Return who is trained, on one line."""
    return ", ".join(contender.name for contender in contenders)
