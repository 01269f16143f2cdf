"""Which trials can't be told from the winner."""

from __future__ import annotations

from hpo.report.blocks import ReportPlot, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.noise import noise_band

_DRAWN = 30


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say how sure the best trial is."""
    found = facts.certainty
    if found is None:
        return None
    lead = f"{found.words[0].upper()}{found.words[1:]}."
    best = facts.ranking[:_DRAWN]
    if found.noise is None or len(best) < 2:
        return SectionBody(lead)
    values = [record.value or 0.0 for record in best]
    figure = noise_band([record.number for record in best], values, found.noise, facts.metric)
    hint = f"`{facts.command('confirm')}` trains the best ones again, over fresh seeds, and judges the winner."
    drawn = f"Drawn are the {len(best)} best of {len(facts.ranking):,}; the band is the noise of the best one."
    return SectionBody(lead, [ReportPlot("noise", figure, lead), f"{drawn} {hint}"])
