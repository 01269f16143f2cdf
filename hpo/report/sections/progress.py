"""How the best value came about."""

from __future__ import annotations

from hpo.report.blocks import ReportPlot, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.best_so_far import EndedTrials, best_so_far
from hpo.report.sections.cost import running_time
from hpo.review.display import duration
from hpo.spec.space import counted, show


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say when the best trial ended, and what came after it."""
    best = facts.best
    if best is None:
        return None
    ended = sorted((record for record in facts.records if record.counts), key=lambda record: record.ended or 0.0)
    valued = [(place, record) for place, record in enumerate(ended, start=1) if record.ranks]
    moments = running_time(facts, [record.ended or 0.0 for _, record in valued])
    found = EndedTrials([place for place, _ in valued], moments, [record.value or 0.0 for _, record in valued])
    place, moment = next(
        (place, moment) for (place, record), moment in zip(valued, moments, strict=True) if record is not None
        and record.number == best.number
    )  # fmt: skip
    lead = f"The best value, {show(best.value)}, came with trial {best.number}, the {_ordinal(place)} to end, after"
    lead += f" {duration(moment)}"
    after = len(ended) - place
    lead += f"; the {counted(after, 'trial')} after it brought nothing better." if after else ", the last one."
    base = facts.baseline.value if facts.baseline is not None else None
    return SectionBody(lead, [ReportPlot("best-so-far", best_so_far(found, facts.metric, facts.sign, base), lead)])


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{ending}"
