"""Are choices better than each other, or is it noise? What `hpo compare` says, of the parameters that matter most."""

from __future__ import annotations

from hpo.report.blocks import ReportBlock, ReportPlot, ReportTable, SectionBody
from hpo.report.facts import StudyFacts
from hpo.report.plots.choices import choice_curves
from hpo.review.comparison.compare import compare
from hpo.review.comparison.values import ChoiceDifference, Comparison
from hpo.review.comparison.words import difference_cells
from hpo.spec.faults import UserError
from hpo.spec.space import counted

_PARAMETERS = 2  # that are compared: the most important ones that have choices
_CHOICES = 8  # more of them make a plot that nobody reads
_ROWS = 10


def tell(facts: StudyFacts) -> SectionBody | None:
    """Say which differences between choices are larger than the noise."""
    found = _comparisons(facts)
    if not found:
        return None
    blocks: list[ReportBlock] = []
    for place, each in enumerate(found):
        better = [it for it in each.differences if it.finding == "better"]
        if any(choice.curve.steps for choice in each.choices):
            says = f"Learning curves by {each.by}: each choice's median, with the band between its quartiles."
            blocks.append(ReportPlot(f"choices-{place + 1}", choice_curves(each, facts.sign), says))
        ranked = sorted(each.differences, key=lambda it: 1.0 if it.p_holm is None else it.p_holm)
        blocks.append(_table(each, [*better, *(it for it in ranked if it not in better)][:_ROWS]))
        remarks = [f"{remark[0].upper()}{remark[1:]}." for remark in each.remarks]
        blocks.extend(remark for remark in remarks if remark not in blocks)  # most hold for both
        blocks.append(f"`{facts.command('compare', '--by', str(each.by))}` says more of {each.by}.")
    return SectionBody(" ".join(map(_lead, found)), blocks)


def _comparisons(facts: StudyFacts) -> list[Comparison]:
    found: list[Comparison] = []
    for axis in facts.axes:
        if not 2 <= axis.choices <= _CHOICES:
            continue
        try:
            found.append(compare([facts.study], axis.parameter.name))
        except UserError:  # only one of its choices was tried
            continue
        if len(found) == _PARAMETERS:
            break
    return found


def _lead(comparison: Comparison) -> str:
    better = [each for each in comparison.differences if each.finding == "better"]
    if not better:
        return f"No difference between the choices of {comparison.by} is larger than the noise."
    pairs = "; ".join(f"{each.left} is better than {each.right}" for each in better[:3])
    more = f" ({len(better)} of {counted(len(comparison.differences), 'difference')})" if len(better) > 3 else ""
    return f"Of {comparison.by}, {pairs}: more than noise{more}."


def _table(comparison: Comparison, differences: list[ChoiceDifference]) -> ReportTable:
    head = (f"{comparison.by}: better in these trials", "than", "wins (95 %)", "by (95 %)", "p (Holm)", "finding")
    rows = [(each.left, each.right, *difference_cells(each)) for each in differences]
    strong = frozenset(place for place, each in enumerate(differences) if each.finding == "better")
    return ReportTable(head, rows, strong)
