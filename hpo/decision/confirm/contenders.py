"""Who is trained again: the best of a study by its own ranking, and the baseline that they are judged against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.ledger.study.confirmations import Contender
from hpo.review.studies import RecordedStudy, best_of
from hpo.spec.baselines import default_beside
from hpo.spec.conditions import identity_of
from hpo.spec.contract import Contract
from hpo.spec.faults import UserError
from hpo.spec.space import Constant, Space


def contenders_of(
    study: RecordedStudy, top: int, against: int | None, contract: Contract | None
) -> tuple[Contender, ...]:
    """Return the best `top` configurations of a study, and the baseline as the last.

    The baseline is among the best only once. against: the trial that is the baseline; None: the first of the file's
    `baselines`, else the objective's defaults.
    Raises UserError if no trial has a value, or if there is no baseline.
    """
    best_of(study)  # raises, if there is none
    baseline = _baseline(study, against, contract)
    found: dict[str, Contender] = {}
    for record in study.ranking:
        params = without_seed(record.params)
        found.setdefault(identity_of(params), Contender(f"trial {record.number}", record.number, params))
        if len(found) == top:
            break
    found.pop(identity_of(baseline.params), None)
    return (*found.values(), baseline)


def without_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without its seed."""
    return {name: value for name, value in params.items() if name != "seed"}


def _baseline(study: RecordedStudy, against: int | None, contract: Contract | None) -> Contender:
    if against is not None:
        trials = {record.number: record for record in study.ranking}
        if against not in trials:
            raise UserError(f"--against {against}: the study {study.name!r} has no trial {against} with a value")
        return Contender(f"trial {against}, the baseline", against, without_seed(trials[against].params), True)
    if study.sweep.baselines:
        return _named("baseline", without_seed(study.sweep.baselines[0]), study)
    if contract is not None:
        return _named("the defaults", defaults_in(study.sweep.space, contract), study)
    if study.sweep.traits.define_by_run:
        raise UserError(
            f"there is nothing to judge the winner against: {study.sweep.objective} asks for its hyperparameters "
            "itself, so its file has no 'baselines' (name a trial with --against N)"
        )
    raise UserError(
        f"there is nothing to judge the winner against: the sweep file has no 'baselines', and {study.sweep.objective} "
        "has no defaults that are known here (name a trial with --against N; or give the file baselines: [{...}], run "
        "hpo sweep once more, which trains no trial beyond its budget, and confirm then)"
    )


def _named(name: str, params: Mapping[str, Any], study: RecordedStudy) -> Contender:
    """Return the baseline; a complete trial that has its configuration gives it a number."""
    wanted = identity_of(dict(params))
    same = (r.number for r in study.complete if identity_of(without_seed(r.params)) == wanted)
    number = min(same, default=None)
    told = f"{name} (trial {number})" if number is not None else name
    return Contender(told, number, dict(params), True)


def defaults_in(space: Space, contract: Contract) -> dict[str, Any]:
    """Return the configuration that one would have without searching: of each parameter of the space that is active
    then its constant, or the objective's default, whether the space holds that or not."""
    params: dict[str, Any] = {}
    for parameter in space.parameters:
        if parameter.name == "seed" or not space.active(parameter, params):
            continue
        if isinstance(parameter.domain, Constant):
            params[parameter.name] = parameter.domain.value
        else:
            params[parameter.name] = default_beside(parameter.name, params, space, contract)
    return params
