"""Which of a parameter's choices go on: all but those of which there is evidence that they are worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hpo.decision.refine.chance import CellCounts
from hpo.decision.refine.outcome import RefinedParameter
from hpo.spec.contract import Known
from hpo.spec.space import Categorical, Constant, Parameter, enumerated, show

_FEWEST_TRIED = 5  # of a choice before it can be left out
_WORSE = 0.1  # the probability of so few good ones by chance, below which a choice is left out ...
_SURELY_WORSE = 0.01  # ... and below which even the last alternative to the best is


@dataclass(frozen=True)
class ChoiceView:
    """What is known of a parameter with choices. best: the best trial's. known: its contract, None if it has none."""

    parameter: Parameter
    domain: Categorical
    counts: CellCounts
    best: Any
    known: Known | None


def refined_choices(view: ChoiceView) -> RefinedParameter:
    """Return the choices without those that are worse; between numbers that stay, the ones halfway are added where the
    objective takes any number."""
    from scipy.stats import hypergeom  # deferred: its import loads Torch (hpo.lazy.hidden_while_unused)

    domain = view.domain
    seen, good = view.counts.seen.sum(axis=0), view.counts.good.sum(axis=0)
    best = domain.place_of(view.best)
    chances = {
        place: float(hypergeom.cdf(good[place], seen.sum(), good.sum(), seen[place]))
        for place in range(len(domain.values))
        if place != best and seen[place] >= _FEWEST_TRIED
    }
    worse = sorted((place for place, chance in chances.items() if chance < _WORSE), key=chances.__getitem__)
    if len(worse) == len(domain.values) - 1 and chances[worse[-1]] >= _SURELY_WORSE:
        worse.pop()
    tried = {place: f"{show(value)}: {good[place]} of {seen[place]}" for place, value in enumerate(domain.values)}
    kept = [place for place in range(len(domain.values)) if place not in worse]
    rates = f"good trials with each: {enumerated([tried[place] for place in kept])}"
    if not worse:
        return RefinedParameter(view.parameter, "kept", domain, [rates, *_at_end(domain, good)])
    reasons = [rates, f"left out, with fewer than chance would give: {enumerated([tried[p] for p in sorted(worse)])}"]
    values = [domain.values[place] for place in kept]
    if len(values) == 1:
        return RefinedParameter(view.parameter, "fixed", Constant(values[0]), reasons)
    shares = None if domain.probabilities is None else [domain.probabilities[place] for place in kept]
    if shares is not None and (total := sum(shares)) > 0:
        reasons.append("the probabilities of those that stay are scaled to sum to 1")
        return RefinedParameter(
            view.parameter, "narrowed", Categorical(tuple(values), tuple(share / total for share in shares)), reasons
        )
    between = _between(view, kept)
    if between:
        reasons.append(f"added, halfway between those that stay: {enumerated(list(map(show, between)))}")
        values = sorted([*values, *between], reverse=values[0] > values[-1])
    return RefinedParameter(view.parameter, "narrowed", Categorical(tuple(values)), reasons)


def _between(view: ChoiceView, kept: Sequence[int]) -> list[float]:
    """Return numbers halfway between neighbours that stay, if the objective is known to take any number."""
    known, values = view.known, view.domain.values
    if known is None or known.kind not in ("int", "float") or not all(map(_is_number, values)):
        return []
    places = sorted(kept, key=lambda place: values[place])
    ranks = {place: rank for rank, place in enumerate(sorted(range(len(values)), key=lambda place: values[place]))}
    found = []
    for left, right in pairwise(places):
        middle: float = (values[left] + values[right]) / 2
        if known.kind == "int":
            middle = int(middle)
        neighbours = ranks[right] - ranks[left] == 1
        if neighbours and values[left] < middle < values[right] and not known.objection(middle):
            found.append(middle)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at_end(domain: Categorical, good: Sequence[int]) -> list[str]:
    """Return a hint where most of the good trials have the largest or the smallest of several numbers."""
    if len(domain.values) < 3 or not all(map(_is_number, domain.values)):
        return []
    for word, value in (("largest", max(domain.values)), ("smallest", min(domain.values))):
        place = domain.place_of(value)
        if place is not None and good[place] > 2 * sum(good) / 3:
            return [f"most of the good trials have the {word}: an even {'larger' if word == 'largest' else 'smaller'} "
                    "one, if there is any, may be better still"]  # fmt: skip
    return []
