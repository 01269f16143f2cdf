"""How the trials ended."""

from __future__ import annotations

from hpo.report.blocks import ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.spec.space import counted


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say how many trials came through, and what became of the others."""
    if not facts.records:
        return None
    limits = [record for record in facts.having("pruned") if record.stopped_by]
    rows = [
        ("complete", len(facts.having("complete")), "trained to their end"),
        ("stopped early", len(facts.stopped), f"by the stopping rule {_rule(facts)}"),
        ("stopped by a limit", len(limits), ", ".join(sorted({record.stopped_by for record in limits}))),
        ("diverged", len(facts.diverged), "a value of the metric or of the loss was not finite"),
        ("failed", len(facts.having("failed")), "see where trials diverge or fail"),
        ("interrupted", len(facts.having("interrupted")), "cut off, and run again as other trials"),
        ("running", len(facts.having("running")), "when this was written"),
    ]
    again = sum(record.attempts > 1 for record in facts.records)
    done = len(facts.having("complete"))
    lead = f"{done:,} of {counted(len(facts.records), 'trial')} {'is' if done == 1 else 'are'} complete"
    bad = len(facts.diverged) + len(facts.having("failed"))
    lead += f"; {bad / len(facts.records):.0%} diverged or failed." if bad else "; none diverged or failed."
    if again:
        lead += f" {counted(again, 'trial')} had to be begun more than once, since a worker died, say."
    return SectionBody(
        lead, [ReportTable(("trials", "how many", "what that means"), [(a, f"{n:,}", b) for a, n, b in rows if n])]
    )


def _rule(facts: StudyFacts) -> str:
    rules = facts.study.config.get("early_terminate", {})
    return " or ".join(str(rule.get("type", "")) for rule in (rules if isinstance(rules, list) else [rules]))
