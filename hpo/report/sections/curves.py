"""How trials learn, and what stopping them early has cut off."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypeVar

from hpo.report.blocks import ReportBlock, ReportPlot, SectionBody
from hpo.report.facts import Curve, StudyFacts
from hpo.report.plots.curves import CurveGroups, learning_curves
from hpo.spec.space import counted

T = TypeVar("T")

_BEST = 10
_MOST = 100  # curves of each other kind


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say how many trials were stopped, when, and whether that looks rash."""
    if not facts.curves:
        return None
    best = [record.number for record in facts.ranking[:_BEST]]  # stopped ones among them
    groups = {
        "best": best,
        "others": [record.number for record in facts.complete if record.number not in best],
        "stopped": [record.number for record in facts.stopped if record.number not in best],
        "diverged": [record.number for record in facts.diverged],
    }
    known = {name: [facts.curves[n] for n in numbers if n in facts.curves] for name, numbers in groups.items()}
    running = [facts.curves[it.number] for it in facts.having("running") if it.number in facts.curves]
    drawn = {name: thinned(curves, _MOST) for name, curves in known.items()}
    drawn["others"] = [*drawn["others"], *thinned(running, _MOST)]
    if not any(drawn.values()):
        return None
    lead = _lead(facts, [facts.curves[record.number] for record in facts.stopped if record.number in facts.curves])
    blocks: list[ReportBlock] = []
    blocks.append(ReportPlot("learning-curves", learning_curves(CurveGroups(**drawn), facts.metric, facts.sign), lead))
    there, shown = sum(map(len, known.values())) + len(running), sum(map(len, drawn.values()))
    if shown < there:
        blocks.append(f"Drawn are {shown:,} of {there:,} curves: the {_BEST} best, and the others evenly thinned.")
    return SectionBody(lead, blocks)


def thinned(items: Sequence[T], most: int) -> list[T]:
    """Return at most so many of several things, evenly over their order."""
    if len(items) <= most:
        return list(items)
    return [items[place * len(items) // most] for place in range(most)]


def _lead(facts: StudyFacts, stopped: Sequence[Curve]) -> str:
    longest = facts.full_length
    if not stopped:
        if longest is None:  # nor was any stopped
            return "No complete trial has reported its steps."
        return f"No trial was stopped early: complete ones trained up to {counted(longest, 'step')}."
    after = statistics.median(steps[-1] for steps, _ in stopped)
    lead = (
        f"{counted(len(stopped), 'trial')} of {len(facts.records):,} {'was' if len(stopped) == 1 else 'were'} stopped"
    )
    lead += f" early, after {after:g} steps in the median" + (f" of {longest:,}" if longest else "")
    best = facts.curves.get(facts.best.number) if facts.best is not None else None
    if best is None:
        return f"{lead}."
    at = dict(zip(*best, strict=True))
    ahead = sum(facts.sign * values[-1] > facts.sign * at[steps[-1]] for steps, values in stopped if steps[-1] in at)
    if not ahead:
        return f"{lead}; none of them stood better then than the best trial did at that step."
    verb = "was" if ahead == 1 else "were"
    return (
        f"{lead}; {ahead:,} of them {verb} ahead of where the best trial stood at that step: a gentler stopping rule "
        "may find more."
    )
