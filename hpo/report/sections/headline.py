"""What came out: the best trial, what it is judged against, the verdict, what it took."""

from __future__ import annotations

from hpo.decision.confirm.words import lines_of
from hpo.ledger.study.records import TrialRecord
from hpo.report.blocks import ReportBlock, ReportCode, ReportTable, ReportTiles, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.sections.cost import saved, time_spent
from hpo.review.display import duration
from hpo.review.references import compared, reference_lines
from hpo.review.studies import words_to_go_on
from hpo.review.summary import home_options
from hpo.spec.space import counted, show


def tell(facts: StudyFacts) -> SectionBody:
    """Say how the study stands."""
    best = facts.best
    blocks: list[ReportBlock] = [ReportTiles(_tiles(facts))]
    if facts.study.successor:
        blocks.append(f"This study went on with another space as {facts.study.successor!r}.")
    if facts.study.live:
        blocks.append("A sweep ran on this study when this was written.")
    elif count := facts.study.interrupted:
        go_on = words_to_go_on(facts.study.name, facts.study.attributes)
        how = f"; to go on: {' '.join(['hpo', *go_on])}{home_options(facts.home)}" if go_on else ""
        blocks.append(f"The study was interrupted, with {counted(count, 'trial')} to be run again{how}")
    if best is None:
        return SectionBody(_without_best(facts), blocks)
    lead = f"Trial {best.number} is the best of {counted(len(facts.ranking), f'{facts.kind} trial')}:"
    lead += f" {facts.metric} {show(best.value)}"
    lead += f" at its best step, {best.best_step}." if best.best_step is not None else "."
    if best.state == "pruned":
        lead += f" It was stopped early, after step {facts.steps_of(best)}."
    if facts.confirmation is None:
        lead += " It is the best so far: whether it is better than the baseline is not confirmed."
    else:
        lines = lines_of(facts.study, facts.confirmation)
        verdict = next(line for line in lines[1:] if line.startswith(f"{facts.confirmation.result.verdict}: "))
        winner = facts.confirmation.winner
        lead += f" The verdict over fresh seeds, on {winner.name}, is {verdict}."
        if winner.number != best.number:
            lead += f" Trial {best.number} was not the winner there."
        blocks.append(ReportCode("\n".join(lines), "The confirmation in full"))
    rows = compared(facts.study.references, facts.metric, facts.study.sweep.metric.goal, best.value)
    if beside := reference_lines(rows, facts.metric, best.value):
        blocks.append(ReportCode("\n".join(beside)))
    blocks.append(_configurations(facts, best))
    return SectionBody(lead, blocks)


def _without_best(facts: StudyFacts) -> str:
    if not facts.records:
        return "The study has no trial yet."
    kinds = {"pruned": "pruned", "failed": "failed", "interrupted": "interrupted", "running": "running"}
    parts = [counted(count, f"{word} trial") for kind, word in kinds.items() if (count := len(facts.having(kind)))]
    return f"No trial has a value yet: the study has {', '.join(parts)}."


def _tiles(facts: StudyFacts) -> list[tuple[str, str, str]]:
    best, base, budget = facts.best, facts.baseline, facts.study.sweep.budget
    tiles = []
    if best is not None:
        tiles.append((f"best {facts.metric}", show(best.value), f"trial {best.number}, {best.state}"))
    else:
        tiles.append((f"best {facts.metric}", "none", "no trial has a value"))
    if base is not None and best is not None and base.value is not None and best.value is not None:
        told = f"trial {base.number}; the best differs by {best.value - base.value:+.4g}"
        tiles.append(("baseline", show(base.value), told if base.number != best.number else "it is the best itself"))
    if facts.confirmation is not None:
        result, by = facts.confirmation.result, facts.confirmation.measure
        low, high = result.interval
        more = f"{by.metric} {result.difference:+.4g}, {100 * result.level:.3g} % interval {low:+.4g} to {high:+.4g}"
        tiles.append(("verdict over fresh seeds", result.verdict, more))
    elif best is not None:
        tiles.append(("verdict", "not confirmed", facts.command("confirm")))
    done = sum(record.counts for record in facts.records)
    more = f"{duration(time_spent(facts))} in which trials ran"
    running = len(facts.having("running"))
    more += f"; {running:,} still run" if running > 1 else "; one still runs" if running else ""
    tiles.append(("budget spent", f"{done:,} of {counted(budget.trials, 'trial')}", more))
    if (found := saved(facts)) is not None:
        tiles.append(("saved by early stopping", f"{found.share:.0%} of the steps", f"{found.steps:,} not trained"))
    return tiles


def _configurations(facts: StudyFacts, best: TrialRecord) -> ReportTable:
    """Return the best configuration, beside the baseline's."""
    base = facts.baseline if facts.baseline is not None and facts.baseline.number != best.number else None
    names = dict.fromkeys([*best.params, *(base.params if base else ())])
    head = ["parameter", f"best (trial {best.number})", *([f"baseline (trial {base.number})"] if base else [])]
    rows = []
    for name in names:
        cells = [show(it.params[name]) if name in it.params else "-" for it in (best, base) if it is not None]
        rows.append([name, *cells])
    rows.append(["seed", *(str(it.seed) for it in (best, base) if it is not None)])
    return ReportTable(head, rows)
