"""Where trials diverge or fail: parts of parameters' domains in which that happens more often than chance has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hpo.decision.refine.positions import cell_of, cells, value_at
from hpo.driver.breaker import without_numbers
from hpo.lazy import hidden_while_unused
from hpo.ledger.study.records import TrialRecord
from hpo.report.blocks import ReportBlock, ReportPlot, ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.shares import SharesOfParts, shares_of_parts
from hpo.spec.faults import shortened
from hpo.spec.space import Categorical, Domain, Parameter, Range, counted, show

_FEWEST = 3  # troubles in a part
_SURELY = 0.01  # the probability of as many by chance, of any part of any parameter
_MOST_CHOICES = 24  # of a parameter that is looked at
_PANELS = 6
_MOST_ERRORS = 8


@dataclass(frozen=True)
class TroubledPart:
    """A part of a parameter's domain with more troubles than chance gives."""

    name: str
    part: str
    troubles: int
    trials: int
    chance: float


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say how many trials diverged or failed, and where."""
    failed, diverged = facts.having("failed"), facts.diverged
    ended = [record for record in facts.records if record.state != "running" and not record.interrupted]
    if not ended:
        return None
    if not failed and not diverged:
        return SectionBody(f"Nowhere: none of the {counted(len(ended), 'trial')} diverged or failed.")
    counts = [f"{len(diverged):,} diverged"] if diverged else []
    counts += [f"{len(failed):,} failed"] if failed else []
    lead = f"Of {counted(len(ended), 'trial')} {' and '.join(counts)}."
    troubled = {record.number for record in (*failed, *diverged)}
    shares = [found for axis in facts.axes if (found := _shares(axis.parameter, ended, troubled)) is not None]
    with hidden_while_unused("torch"):
        parts = found_parts(shares, len(ended))
    if parts:
        first = parts[0]
        others = len(troubled) - first.troubles
        lead += (
            f" {first.troubles:,} of the {counted(first.trials, 'trial')} with {first.name} {first.part} did"
            f" (of the others {others:,} of {len(ended) - first.trials:,})"
        )
        best_too = facts.best is not None and _part_of(facts, first.name, facts.best.params) == first.part
        lead += "; the best trial is one of them." if best_too else ": leave that out, or forbid it."
    elif len(troubled) < len(ended):
        lead += " No parameter by itself tells where."
    blocks: list[ReportBlock] = []
    names = list(dict.fromkeys(part.name for part in parts))
    if drawn := [found for name in names[:_PANELS] for found in shares if found.name == name]:
        blocks.append(ReportPlot("troubles", shares_of_parts(drawn, "% that diverged or failed"), lead))
        rows = [(it.name, it.part, f"{it.troubles:,} of {it.trials:,}", f"{it.chance:.1g}") for it in parts]
        blocks.append(ReportTable(("parameter", "values", "diverged or failed", "probability by chance"), rows))
    if failed:
        blocks.append(ReportTable(("trials", "why they failed (#: a number)"), _errors(failed)))
    return SectionBody(lead, blocks)


def found_parts(shares: Sequence[SharesOfParts], trials: int) -> list[TroubledPart]:
    """Return the parts with more troubles than chance gives, the surest first: a hypergeometric test of each part
    against all trials that have the parameter, and Bonferroni's correction for the number of parts. trials: all that
    have ended."""
    from scipy.stats import hypergeom  # deferred: its import loads Torch (hpo.lazy.hidden_while_unused)

    tests = sum(len(one.parts) for one in shares) or 1
    found = []
    for one in shares:
        total, troubles = sum(one.trials), sum(one.meant)
        for part, count, meant in zip(one.parts, one.trials, one.meant, strict=True):
            chance = min(1.0, tests * float(hypergeom.sf(meant - 1, total, troubles, count)))
            if meant >= _FEWEST and chance < _SURELY:
                found.append(TroubledPart(one.name, part, meant, count, chance))
    return sorted(found, key=lambda part: (part.chance, -part.troubles))


def _shares(parameter: Parameter, ended: Sequence[TrialRecord], troubled: set[int]) -> SharesOfParts | None:
    """Return how many trials have a value in each part of a parameter's domain, and how many of these are troubled."""
    domain, name = parameter.domain, parameter.name
    having = [record for record in ended if name in record.params and domain.holds(record.params[name])]
    if isinstance(domain, Categorical) and len(domain.values) > _MOST_CHOICES:
        return None
    texts, places = _texts(domain), [_place(domain, record.params[name]) for record in having]
    trials, meant = Counter(places), Counter(p for p, it in zip(places, having, strict=True) if it.number in troubled)
    order = range(len(texts))
    return SharesOfParts(name, texts, [trials[place] for place in order], [meant[place] for place in order])


def _place(domain: Domain, value: Any) -> int:
    """Return which part of a domain holds a value of its own."""
    if isinstance(domain, Categorical):
        return domain.place_of(value) or 0
    assert isinstance(domain, Range)
    return cell_of(domain, value)


def _texts(domain: Domain) -> list[str]:
    """Return the parts of a domain in words."""
    if isinstance(domain, Categorical):
        return list(map(show, domain.values))
    assert isinstance(domain, Range)
    count = len(cells(domain))
    if domain.count() == count:
        return [show(domain.own(domain.at(place))) for place in range(count)]
    edges = [value_at(domain, place / count) for place in range(count + 1)]
    return [f"{low:.2g} to {high:.2g}" for low, high in pairwise(edges)]


def _part_of(facts: StudyFacts, name: str, params: Mapping[str, Any]) -> str:
    """Return the part, in words, that holds a configuration's value of a parameter; "" if none does."""
    domain = facts.study.sweep.space[name].domain
    return _texts(domain)[_place(domain, params[name])] if name in params and domain.holds(params[name]) else ""


def _errors(failed: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    """Return the most common errors, as one those that differ by numbers: how many trials failed with each."""
    common = Counter(without_numbers(record.error or "the error is not recorded") for record in failed).most_common()
    rows = [(f"{count:,}", shortened(text)) for text, count in common[:_MOST_ERRORS]]
    rest = sum(count for _, count in common[_MOST_ERRORS:])
    return rows + ([(f"{rest:,}", "other errors")] if rest else [])
