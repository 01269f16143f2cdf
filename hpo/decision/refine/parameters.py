"""What becomes of every parameter of a space: fixed where it doesn't matter, narrowed or widened where it does."""

from __future__ import annotations

from collections.abc import Mapping

from hpo.decision.refine import chance
from hpo.decision.refine.choices import ChoiceView, refined_choices
from hpo.decision.refine.evidence import FEWEST_WITH, TrialEvidence
from hpo.decision.refine.limits import natural_ends
from hpo.decision.refine.outcome import RefinedParameter
from hpo.decision.refine.ranges import RangeView, refined_range
from hpo.review.outline import condition_text
from hpo.spec.contract import Contract
from hpo.spec.parameters import possible
from hpo.spec.space import Categorical, Constant, Parameter, Space

_FEWEST_SEARCHED = 2  # parameters: something has to be searched


def refined_parameters(
    evidence: TrialEvidence, contract: Contract | None, shares: Mapping[str, float], most_epochs: int | None
) -> list[RefinedParameter]:
    """Return each parameter of the study's space as the refined sweep has it, in the same order.

    shares: of the importance by PED-ANOVA (hpo.decision.refine.importance).
    """
    space = evidence.study.sweep.space
    searched = {parameter.name for parameter in space.searched()}
    fixed = _without_effect(evidence, searched, shares)
    found: list[RefinedParameter] = []
    for parameter in space.parameters:
        if (unmet := _unmet(parameter, found)) is not None:
            found.append(RefinedParameter(parameter, "left out", None, [unmet]))
        elif parameter.name not in searched:
            found.append(RefinedParameter(parameter, "constant", parameter.domain))
        elif parameter.name in fixed:
            found.append(fixed[parameter.name])
        else:
            found.append(refined_parameter(evidence, parameter, contract, most_epochs))
    return found


def _unmet(parameter: Parameter, before: list[RefinedParameter]) -> str | None:
    """Return why a parameter can never be active in the refined space, None if it can."""
    by_name = {refined.name: refined for refined in before}
    for name, condition in parameter.when.items():
        domain = by_name[name].domain
        if domain is None:
            return f"it needs {name}, which is left out"
        if not possible(condition, domain):
            return f"it is there while {name} {condition_text(condition)}, which never happens any more"
    return None


def refined_parameter(
    evidence: TrialEvidence, parameter: Parameter, contract: Contract | None, most_epochs: int | None
) -> RefinedParameter:
    """Return one searched parameter as the refined sweep has it, whether it matters or not."""
    domain, sightings = parameter.domain, evidence.sightings(parameter.name)
    anchor = evidence.best_with(parameter.name)
    good = evidence.good_with(parameter.name)
    if anchor is None or good < FEWEST_WITH:
        verb = "has" if good == 1 else "have"
        few = f"only {good} of the good trials {verb} it: too few to tell anything" if good else "no good trial has it"
        return RefinedParameter(parameter, "kept", domain, [few])
    assert not isinstance(domain, Constant)
    counts, best = chance.cell_counts(domain, sightings), anchor.params[parameter.name]
    if isinstance(domain, Categorical):
        known = contract.parameters.get(parameter.name) if contract else None
        return refined_choices(ChoiceView(parameter, domain, counts, best, known))
    troubles = [value for value in evidence.failures(parameter.name) if domain.holds(value)]
    ends = natural_ends(parameter.name, domain, contract, most_epochs)
    return refined_range(RangeView(parameter, domain, sightings, counts, best, troubles, ends))


def _without_effect(
    evidence: TrialEvidence, searched: set[str], shares: Mapping[str, float]
) -> dict[str, RefinedParameter]:
    """Return the parameters of which there is evidence that they don't matter, fixed at their best value.

    It takes both: what is seen is what chance does, and an effect that matters would most likely have been seen.
    """
    space, found = evidence.study.sweep.space, dict[str, RefinedParameter]()
    for parameter in space.parameters:
        anchor = evidence.best_with(parameter.name)
        if parameter.name not in searched or anchor is None:
            continue
        domain = parameter.domain
        assert not isinstance(domain, Constant)
        counts = chance.cell_counts(domain, evidence.sightings(parameter.name), chance.COARSE)
        probability = chance.chance_of(counts)
        if probability < chance.UNSUSPICIOUS or (power := chance.power_of(counts)) < chance.LEAST_POWER:
            continue
        value = anchor.params[parameter.name]
        why = (
            f"it doesn't seem to matter: good trials have its values as chance deals them (p = {probability:.2f})",
            f"were a half, or a value, good {chance.ODDS:g} times as often, {power:.0%} of such sweeps would show it",
            f"importance by PED-ANOVA: {shares.get(parameter.name, 0.0):.1%}",
            f"the value is that of trial {anchor.number}",
            f"searched before: {domain}",
        )
        found[parameter.name] = RefinedParameter(parameter, "fixed", Constant(domain.own(value)), why)
    by_importance = sorted(found, key=lambda name: shares.get(name, 0.0))
    for name in by_importance[max(0, len(searched) - _FEWEST_SEARCHED) :]:
        del found[name]
    return found


def space_of(parameters: list[RefinedParameter], forbid: tuple[Mapping[str, object], ...]) -> Space:
    """Return the refined space, with the clauses that can still hold."""
    space = Space(tuple(found for refined in parameters if (found := refined.parameter) is not None))
    return Space(space.parameters, tuple(clause for clause in forbid if clause_can_hold(clause, space)))


def clause_can_hold(clause: Mapping[str, object], space: Space) -> bool:
    """Whether each condition of a clause can hold for some value in the space."""
    return all(name in space and possible(condition, space[name].domain) for name, condition in clause.items())
