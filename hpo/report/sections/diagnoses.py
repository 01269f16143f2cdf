"""Did the trials train well? Their diagnoses, and what courses teach against them."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.diagnosis import HEALTHY, KINDS
from hpo.diagnosis.words import count, names_of
from hpo.ledger.study.records import TrialRecord
from hpo.report.blocks import ReportBlock, ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.sections import layers
from hpo.spec.space import counted

_TOLD = 3  # diagnoses whose remedies are told: those that most trials have


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say whether the best trial is healthy, and which diagnoses the others have."""
    known = [record for record in facts.records if record.diagnoses is not None]
    if not known:
        return None
    counts = count(record.diagnoses for record in known)
    healthy = counts.pop(HEALTHY, 0)
    lead = _of_best(facts.best)
    lead += (
        f"{healthy:,} of {counted(len(known), 'trial')} that can be judged {'is' if healthy == 1 else 'are'} healthy"
    )
    ranked = [name for name, _ in counts.most_common()]
    lead += f"; most often found: {ranked[0]} ({counts[ranked[0]]:,})." if ranked else "."
    rows = [(name, f"{counts[name]:,}", KINDS[name].meaning, _example(known, name)) for name in ranked if name in KINDS]
    blocks: list[ReportBlock] = []
    if rows:
        blocks.append(ReportTable(("diagnosis", "trials", "what it means", "for example"), rows))
    for name in [row[0] for row in rows[:_TOLD]]:
        blocks.append(f"Against {name}: {'; '.join(KINDS[name].remedies)}.")
    blocks += layers.blocks_of(facts)
    if not any(facts.study.config.get(key) for key in ("health", "program")):
        blocks.append("`health: true` in the sweep file looks into the layers of Torch trials as well.")
    return SectionBody(lead, blocks)


def _of_best(best: TrialRecord | None) -> str:
    if best is None or best.diagnoses is None:
        return ""
    if not best.diagnoses:
        return f"The best trial, {best.number}, is healthy. "
    evidence = "; ".join(each.evidence for each in best.diagnoses)
    return f"The best trial, {best.number}: {names_of(best.diagnoses)} ({evidence}). "


def _example(records: Sequence[TrialRecord], name: str) -> str:
    """Return the first trial that has a diagnosis, with the evidence."""
    found = (
        f"trial {record.number}: {each.evidence}"
        for record in records
        for each in record.diagnoses or ()
        if each.name == name
    )
    return next(found)
