"""Is the training of the best trials still improving at its last step? Then longer training may find more."""

from __future__ import annotations

from dataclasses import dataclass

from hpo.lazy import hidden_while_unused
from hpo.ledger.study.records import TrialRecord
from hpo.report.blocks import ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.spec.space import counted, show

_BEST = 10
_LAST = 1 / 3  # of the steps, over which the slope is looked at
_FEWEST = 5  # reports in that part
_MOST = 300  # reports of which each two are looked at
_LEVEL = 0.95
_WORTH = 0.02  # of all that the curve has gained: less is no matter, however sure


@dataclass(frozen=True)
class LastPart:
    """What a trial's curve does in its last third. gain: by the slope, positive is better. improving: surely, and by
    more than a trifle."""

    record: TrialRecord
    steps: int
    best_at: int
    gain: float
    improving: bool


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say how many of the best trials still improve at their end.

    The slope over the last third is Theil and Sen's (Sen, Journal of the American Statistical Association 63, 1968); a
    trial improves if its 95 % interval is on the better side of 0.
    """
    best = facts.complete[:_BEST]  # a stopped one could not show it
    if not best:
        return None
    with hidden_while_unused("torch"):
        found = [part for record in best if (part := last_part(facts, record)) is not None]
    if not found:
        return SectionBody(
            f"Not known: it takes {_FEWEST} reports of {facts.metric} in the last third of a trial's steps to tell."
        )
    improving = [part for part in found if part.improving]
    kind = "best complete trial" if facts.kind != "complete" else "best trial"
    who = f"{len(improving)} of the {len(found)} {kind}s" if len(found) > 1 else f"the {kind}"
    if not improving:
        lead = f"No: none of the {counted(len(found), kind)} improves over its last third of steps."
    else:
        gains = sorted(part.gain for part in improving)
        verb = "is" if len(improving) == 1 else "are"
        lead = f"Yes, {who} {verb} still improving at the last step, by {gains[len(gains) // 2]:.3g} in the median over"
        lead += " the last third: more epochs may find better ones."
        if 2 * len(improving) < len(found):
            lead = lead.replace("Yes, ", "Some: ", 1)
    rows = [
        (
            str(part.record.number), show(part.record.value), f"{part.steps:,}", f"{part.best_at:,}",
            f"{part.gain:+.3g}", "yes" if part.improving else "no",
        )
        for part in found
    ]  # fmt: skip
    head = ("trial", facts.metric, "steps", "best at step", "gain over the last third", "still improving")
    return SectionBody(lead, [ReportTable(head, rows)])


def last_part(facts: StudyFacts, record: TrialRecord) -> LastPart | None:
    """Return what a trial's curve does in its last third; None if it has too few reports there."""
    from scipy.stats import theilslopes  # deferred: its import loads Torch (hpo.lazy.hidden_while_unused)

    steps, values = facts.curves.get(record.number, ((), ()))
    if not steps:
        return None
    first = steps[-1] - _LAST * (steps[-1] - steps[0])
    part = [(step, facts.sign * value) for step, value in zip(steps, values, strict=True) if step >= first]
    if len(part) < _FEWEST:
        return None
    if len(part) > _MOST:
        part = [part[place * (len(part) - 1) // (_MOST - 1)] for place in range(_MOST)]
    slope, _, low, _ = theilslopes([value for _, value in part], [step for step, _ in part], _LEVEL)
    turned = [facts.sign * value for value in values]
    gain = float(slope) * (part[-1][0] - part[0][0])
    improving = bool(low > 0) and gain > _WORTH * (max(turned) - turned[0])
    return LastPart(record, steps[-1], steps[turned.index(max(turned))], gain, improving)
