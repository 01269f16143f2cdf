"""Which parameters have to do with being a good trial."""

from __future__ import annotations

from itertools import islice

from hpo.report.blocks import ReportBlock, ReportPlot, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.importance import importance
from hpo.spec.space import counted

_MOST = 15  # parameters that are drawn
_MUCH = 0.5


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say which parameters matter, by PED-ANOVA (Watanabe, Bansal and Hutter, IJCAI 2023) as Optuna has it."""
    if not facts.ranking:
        return None
    if facts.evidence is None:
        return SectionBody(f"Not known yet: {facts.no_evidence}.")
    if not facts.shares or max(facts.shares.values()) <= 0:
        return SectionBody("No parameter's values tell good trials from the others.")
    (first, share), *rest = facts.shares.items()
    much = "explains most of it" if share > _MUCH else "explains the largest part of it"
    lead = f"{first} {much} ({share:.2f})"
    if rest and rest[0][1] > 0.01:
        lead += f", then {rest[0][0]} ({rest[0][1]:.2f})"
    lead += "."
    shown = dict(islice(facts.shares.items(), _MOST))
    good = counted(len(facts.evidence.good), "good trial")
    blocks: list[ReportBlock] = [
        f"What tells the {good} from the others: shares of the importance by PED-ANOVA (Watanabe, Bansal and Hutter, "
        "IJCAI 2023). A parameter that matters only together with another one may have little of it.",
        ReportPlot("importance", importance(shown), lead),
    ]
    if len(facts.shares) > _MOST:
        blocks.append(f"Drawn are the first {_MOST} of {len(facts.shares):,} parameters.")
    return SectionBody(lead, blocks)
