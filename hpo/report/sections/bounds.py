"""Is the best trial at a bound of a range? Then better values may lie beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hpo.decision.refine.bounds import bound_beyond
from hpo.decision.refine.limits import natural_ends
from hpo.decision.refine.positions import cell_of, cells
from hpo.decision.refine.ranges import DANGEROUS
from hpo.report.blocks import ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.places import ParameterAxis
from hpo.spec.space import Categorical, Range, enumerated, show

_NEAR = 0.05  # of the range: that near to its end is at it
_FEWEST = 3  # choices, of which the last one is an end
_SAID = 3  # ends in the first sentence


@dataclass(frozen=True)
class AtEnd:
    """A parameter of which the best trial, or many of the good ones, are at an end.

    place: where the best trial is, in words. way: `upwards` or `downwards`; "": it can't be widened there, and `says`
    has the reason.
    """

    name: str
    place: str
    way: str
    says: str


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say at which ends the best trial, or many of the good ones, are, and which way to widen."""
    if facts.best is None or not facts.axes:
        return None
    found = [each for axis in facts.axes for each in at_ends(facts, axis)]
    if not found:
        return SectionBody(f"No: the best trial ({facts.best.number}) lies inside of all its ranges.")
    wider = [f"{each.name} {each.place}: widen it {each.way}" for each in found if each.way]
    if wider:
        more = f"; and {len(wider) - _SAID:,} more below" if len(wider) > _SAID else ""
        lead = f"Yes: the best trial's {'; its '.join(wider[:_SAID])}{more}."
    else:
        names = dict.fromkeys(each.name for each in found)
        lead = f"Yes, of {enumerated(list(names))}; but nothing speaks for a wider range."
    rows = [(each.name, each.place, f"widen it {each.way}" if each.way else "-", each.says) for each in found]
    return SectionBody(lead, [ReportTable(("parameter", "the best trial", "so", "what the good trials say"), rows)])


def at_ends(facts: StudyFacts, axis: ParameterAxis) -> Iterator[AtEnd]:
    """Yield the ends of a parameter's domain at which the best trial is, or beyond which `hpo refine` would look."""
    assert facts.best is not None
    name, domain = axis.parameter.name, axis.parameter.domain
    if name not in facts.best.params:
        return
    value = facts.best.params[name]
    if isinstance(domain, Categorical):
        yield from _among_choices(facts, name, domain, value)
    elif isinstance(domain, Range) and (place := axis.place(value)) is not None:
        for at_top in (False, True):
            near = place >= 1 - _NEAR if at_top else place <= _NEAR
            if near or _is_widened(facts, name, domain, at_top):
                yield _of_range(facts, name, domain, value, near, at_top)


def _among_choices(facts: StudyFacts, name: str, domain: Categorical, value: Any) -> Iterator[AtEnd]:
    if len(domain.values) < _FEWEST or not all(map(_is_number, domain.values)):
        return
    for word, way, end in (("largest", "upwards", max(domain.values)), ("smallest", "downwards", min(domain.values))):
        if value == end:
            yield AtEnd(name, f"{show(value)} is the {word} choice", way, _says(facts, name))


def _of_range(facts: StudyFacts, name: str, domain: Range, value: Any, near: bool, at_top: bool) -> AtEnd:
    side = "upper" if at_top else "lower"
    bounds = f"{show(domain.low)} to {show(domain.high)}"
    place = f"{show(value)} is at the {side} end of {bounds}"
    if not near:
        place = f"{show(value)} is inside of {bounds}, but many good trials are at the {side} end"
    if (troubles := _troubles(facts, name, domain, at_top)) >= DANGEROUS:
        return AtEnd(name, place, "", f"it is not to be widened there, where {troubles:,} trials failed or diverged")
    ends = natural_ends(name, domain, None, facts.study.config["budget"].get("epochs"))
    end = ends.high if at_top else ends.low
    beyond = bound_beyond(domain, end, at_top)
    if beyond is None:
        return AtEnd(name, place, "", f"it can't be widened there ({end.why or 'there are no larger numbers'})")
    return AtEnd(name, place, f"{'upwards' if at_top else 'downwards'}, to {show(beyond)} say", _says(facts, name))


def _troubles(facts: StudyFacts, name: str, domain: Range, at_top: bool) -> int:
    """Return how many trials failed or diverged at an end of a range."""
    last = len(cells(domain)) - 1 if at_top else 0
    records = (*facts.having("failed"), *facts.diverged)
    return sum(
        name in record.params and domain.holds(record.params[name]) and cell_of(domain, record.params[name]) == last
        for record in records
    )


def _is_widened(facts: StudyFacts, name: str, domain: Range, at_top: bool) -> bool:
    """Whether `hpo refine` would widen a range at this end."""
    refined = facts.refined.get(name)
    after = refined.domain if refined is not None else None
    if not isinstance(after, Range):
        return False
    return after.high > domain.high if at_top else after.low < domain.low


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _says(facts: StudyFacts, name: str) -> str:
    refined = facts.refined.get(name)
    if refined is None:
        return "too few trials to tell whether that is chance"
    at_end = [reason for reason in refined.reasons if " end, near " in reason or "most of the good trials" in reason]
    return "; ".join(at_end or refined.reasons[:1])
