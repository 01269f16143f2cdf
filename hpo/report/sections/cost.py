"""What the sweep took, and what early stopping saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.ledger.study.records import TrialRecord
from hpo.report.blocks import ReportBlock, ReportPlot, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.cost import time_by_end
from hpo.review.display import duration
from hpo.spec.space import counted


@dataclass(frozen=True)
class SavedSteps:
    """What stopped trials did not train. share: of all steps that would have been trained. seconds: at the pace of
    the same trials."""

    steps: int
    share: float
    seconds: float


def saved(facts: StudyFacts) -> SavedSteps | None:
    """Return what the stopping rule saved; None if it stopped nothing, or if it is not known how long trials train."""
    steps, seconds = 0, 0.0
    for record in facts.stopped:
        planned, trained = record.epochs or facts.full_length or 0, facts.steps_of(record)
        if planned > trained > 0:
            steps += planned - trained
            seconds += share_of_time(record) * (planned - trained) / trained
    trained = sum(facts.steps_of(record) for record in facts.records)
    return SavedSteps(steps, steps / (steps + trained), seconds) if steps else None


def share_of_time(record: TrialRecord) -> float:
    """Return a trial's seconds; of one that trained in a stack its share of the stack's."""
    return record.seconds / max(int(record.info.get("cohort", 1)), 1)


def time_spent(facts: StudyFacts) -> float:
    """Return the seconds in which at least one trial ran."""
    return running_time(facts, [facts.moment])[0]


def running_time(facts: StudyFacts, moments: Sequence[float]) -> list[float]:
    """Return for each of several moments, in order, for how many seconds trials had run by then: the time between
    two runs of a sweep is left out."""
    spans = sorted(
        (record.started, record.ended if record.ended is not None else facts.moment)
        for record in facts.records
        if record.started
    )
    found, covered, reached, place = [], 0.0, 0.0, 0
    for moment in moments:
        while place < len(spans) and spans[place][0] <= moment:
            start, end = max(spans[place][0], reached), spans[place][1]
            if end > start:
                covered, reached = covered + end - start, end
            place += 1
        found.append(covered - max(reached - moment, 0.0))
    return found


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say how long trials took, by how they ended."""
    kinds = {
        "complete": facts.having("complete"),
        "stopped early": facts.stopped,
        "stopped by a limit": [record for record in facts.having("pruned") if record.stopped_by],
        "diverged": facts.diverged,
        "failed": facts.having("failed"),
        "interrupted": facts.having("interrupted"),
    }
    kinds = {name: records for name, records in kinds.items() if records}
    if not kinds:
        return None
    seconds = {name: sum(map(share_of_time, records)) for name, records in kinds.items()}
    total = sum(seconds.values())
    lead = f"Trials ran for {duration(time_spent(facts))}; the time of each, summed, is {duration(total)}."
    if (found := saved(facts)) is not None:
        lead += (
            f" Early stopping saved {found.steps:,} steps, {found.share:.0%} of all, about {duration(found.seconds)}"
            " at these trials' pace."
        )
    blocks: list[ReportBlock] = []
    stacks = [int(record.info["cohort"]) for record in facts.records if record.info.get("cohort", 1) > 1]
    if stacks:
        blocks.append(
            f"{counted(len(stacks), 'trial')} trained in stacks, of {max(stacks)} trials at most: each counts with its "
            "share of its stack's time."
        )
    texts = {name: f"{duration(seconds[name])}, {counted(len(records), 'trial')}" for name, records in kinds.items()}
    blocks.append(ReportPlot("cost", time_by_end(seconds, texts), lead))
    return SectionBody(lead, blocks)
