"""The ten best trials."""

from __future__ import annotations

from hpo.report.blocks import ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.review.display import duration
from hpo.spec.space import counted, show

_BEST = 10
_PARAMETERS = 10


def tell(facts: StudyFacts) -> SectionBody | None:
    """Show the best trials with what was searched."""
    best = facts.ranking[:_BEST]
    if not best:
        return None
    names = [axis.parameter.name for axis in facts.axes[:_PARAMETERS]]
    within = set((facts.certainty.within if facts.certainty is not None else None) or ())
    rows = [
        [
            str(record.number), show(record.value), "yes" if record.number in within else "",
            *(show(record.params[name]) if name in record.params else "-" for name in names),
            f"{facts.steps_of(record):,}" if facts.steps_of(record) else "-", duration(record.seconds),
        ]
        for record in best
    ]  # fmt: skip
    rows[0][2] = "the best"
    lead = f"Trial {best[0].number} has {show(best[0].value)}"
    lead += f", the {counted(len(best), 'trial')} here down to {show(best[-1].value)}." if len(best) > 1 else "."
    head = ["trial", facts.metric, "within the noise", *names, "steps", "time"]
    return SectionBody(lead, [ReportTable(head, rows, frozenset({0}))])
