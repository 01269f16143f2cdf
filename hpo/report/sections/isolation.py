"""Where the good values of each parameter lie."""

from __future__ import annotations

from hpo.decision.refine.evidence import told
from hpo.report.blocks import ReportBlock, ReportPlot, ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.isolation import isolation
from hpo.spec.space import enumerated, show

MOST = 12  # parameters that are drawn


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say what the trials tell of each parameter by itself."""
    if facts.best is None or not facts.axes:
        return None
    lead = _lead(facts)
    trials = [(record.params, record.value or 0.0) for record in facts.ranking]
    figure = isolation(facts.axes[:MOST], trials, facts.metric, facts.sign)
    blocks: list[ReportBlock] = [
        f"Each {facts.kind} trial is a point. A bar marks the best in a part of the range, or of a choice, whatever "
        "the other parameters were; the star is the best trial that has it. Where bars are level, the parameter hardly "
        "matters by itself.",
        ReportPlot("isolation", figure, lead),
    ]
    if len(facts.axes) > MOST:
        blocks.append(f"Drawn are {MOST} of {len(facts.axes):,} parameters, the most important ones.")
    if facts.evidence is not None:
        rows = [
            (each.name, each.fate if each.fate == "kept" else f"{each.fate}: {each.domain}", "; ".join(each.reasons))
            for each in (facts.refined[axis.parameter.name] for axis in facts.axes)
        ]
        words = "; ".join(told(facts.evidence)[1:])
        blocks += [f"{words[0].upper()}{words[1:]}.", ReportTable(_HEAD, rows)]
    return SectionBody(lead, blocks)


_HEAD = ("parameter", "by the good trials", "why")


def _lead(facts: StudyFacts) -> str:
    if facts.evidence is None:
        first = facts.axes[0].parameter.name
        value = facts.best.params.get(first) if facts.best is not None else None
        return f"Too few trials to tell where good values lie; the best trial has {first} {show(value)}."
    refined = [facts.refined[axis.parameter.name] for axis in facts.axes]
    fates = {fate: [each.name for each in refined if each.fate == fate] for fate in _SAID}
    parts = [f"{words} {enumerated(fates[fate])}" for fate, words in _SAID.items() if fates[fate]]
    if not parts:
        return "No range can be told to be too wide or too narrow: good values lie all over."
    return f"The good trials speak for {', and for '.join(parts)} (`{facts.command('refine')}` writes that file)."


_SAID = {
    "narrowed": "narrower ranges or fewer choices of",
    "widened": "wider ranges of",
    "fixed": "one value of",
}
