"""A comparison as text: for a terminal of any width from 60 columns on, without colours."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hpo.review.comparison.values import ChoiceDifference, ComparedChoice, Comparison, Interval
from hpo.review.display import duration
from hpo.review.sparkline import BLOCKS, sparkline
from hpo.spec.space import counted, show

_CURVE = 10  # characters
_MOST_DIFFERENCES = 12
_WIDEST_LABEL = 24
_WIDE = 100  # columns from which on there is room for one step more


def comparison_lines(
    comparison: Comparison, width: int = 80, blocks: str = BLOCKS, everything: bool = False
) -> list[str]:
    """Return a comparison as people read it. blocks: see hpo.review.sparkline; everything: all differences."""
    better = "larger" if comparison.goal == "maximize" else "smaller"
    studies = ", ".join(comparison.studies)
    of = f"{comparison.by} in {studies}" if comparison.by is not None else studies
    lines = [*_wrapped(f"{of}: {comparison.metric}, {better} is better", width), ""]
    lines += _choices(comparison, width)
    lines += ["", *_curves(comparison, width, blocks)]
    if comparison.target is not None:
        lines += ["", *_wrapped(f"{comparison.metric} of {show(comparison.target)} ({comparison.target_from})", width)]
        lines += _reached(comparison, width)
    lines += ["", *_differences(comparison, width)]
    if comparison.remarks:
        lines += ["", *(line for remark in comparison.remarks for line in _wrapped(remark, width, "- "))]
    return lines


def _choices(comparison: Comparison, width: int) -> list[str]:
    table = _table(_head(comparison), "complete", "stopped", "diverged", "failed", "best", "median", "quartiles")
    for choice in comparison.choices:
        quartiles = "-" if choice.quartiles is None else " to ".join(map(_number, choice.quartiles))
        counts = choice.trials
        complete = f"{counts.complete}+{counts.running}" if counts.running else str(counts.complete)
        others = map(str, (counts.stopped, counts.diverged, counts.failed))
        values = _number(choice.best), _number(choice.median), quartiles
        table.add_row(_label(choice.label), complete, *others, *values)
    lines = _drawn(table, width)
    if any(choice.trials.running for choice in comparison.choices):
        lines.append("+N: trials that still run")
    return lines


def _curves(comparison: Comparison, width: int, blocks: str) -> list[str]:
    """Return the median after some steps, with quartiles, and as a small curve."""
    curves = [choice.curve for choice in comparison.choices if choice.curve.steps]
    if not curves:
        return ["no learning curves: the trials reported nothing on their way"]
    last = max(curve.steps[-1] for curve in curves)
    first = min(curve.steps[0] for curve in curves)
    steps = sorted({round(first + (last - first) / 3), last} | ({first} if width >= _WIDE else set()))
    medians = [value for curve in curves for value in curve.median]
    bounds = min(medians), max(medians)
    table = _table(_head(comparison), *(f"after step {step}" for step in steps), "median's curve")
    for choice in comparison.choices:
        cells = [_at(choice, step) for step in steps]
        table.add_row(_label(choice.label), *cells, sparkline(choice.curve.median, _CURVE, bounds, blocks))
    lines = ["learning curves: median (quartiles)", *_drawn(table, width)]
    if any(curve.trials[-1] < curve.trials[0] for curve in curves):
        lines.append("in []: trials that went on so far, where it is not all of them")
    return lines


def _at(choice: ComparedChoice, step: int) -> str:
    curve = choice.curve
    places = [place for place, known in enumerate(curve.steps) if known <= step]
    if not places or step > curve.steps[-1]:
        return "-"
    place = places[-1]
    left = f" [{curve.trials[place]}]" if curve.trials[place] < curve.trials[0] else ""
    return f"{_number(curve.median[place])} ({_number(curve.low[place])}-{_number(curve.high[place])}){left}"


def _reached(comparison: Comparison, width: int) -> list[str]:
    table = _table(_head(comparison), "reached by", "first", "half of them by")
    for choice in comparison.choices:
        reached = choice.reached
        assert reached is not None
        first = _moment(reached.first_steps, reached.first_seconds)
        half = _moment(reached.half_steps, reached.half_seconds)
        table.add_row(_label(choice.label), f"{reached.trials} of {reached.of}", first, half)
    return _drawn(table, width)


def _moment(steps: int | None, seconds: float | None) -> str:
    if seconds is None:
        return "-"
    took = duration(seconds) if seconds >= 10 else f"{seconds:.2g} s"
    return took if steps is None else f"step {steps}, {took}"


def _differences(comparison: Comparison, width: int) -> list[str]:
    differences = comparison.differences
    if not differences:
        return ["no two choices have trials to compare"]
    shown = differences[:_MOST_DIFFERENCES]
    table = _table("better", "than", "wins (95 %)", "by (95 %)", "p", "finding")
    for each in shown:
        table.add_row(_label(each.left), _label(each.right), *difference_cells(each))
    found = sum(each.finding == "better" for each in differences)
    head = f"{found or 'none'} of {counted(len(differences), 'difference')} {'is' if found == 1 else 'are'}"
    lines = _drawn(table, width)
    if len(shown) < len(differences):
        lines.append(f"{len(differences) - len(shown)} more, less clear ones: --json has all")
    return [*lines, *_wrapped(f"{head} larger than the noise. {_method(differences)}", width)]


def difference_cells(each: ChoiceDifference) -> list[str]:
    """Return what a table says of a difference: wins, by how much, both with their intervals, p, and the finding."""
    if each.wins is None or each.shift is None:  # nothing could be compared
        return ["-", "-", "-", each.finding]
    wins = f"{100 * each.wins:.0f} % ({_percents(each.wins_interval)})"
    low, high = each.shift_interval
    shift = f"{each.shift:.2g} ({_bound(low)} to {_bound(high)})"
    return [wins, shift, "-" if each.p_holm is None else _p(each.p_holm), each.finding]


def _method(differences: Sequence[ChoiceDifference]) -> str:
    pairings = {each.pairing for each in differences}
    told = []
    if "configuration and seed" in pairings:
        told.append("trials with the same other parameters and seed are compared in pairs (Wilcoxon's signed ranks)")
    if "configuration" in pairings:
        told.append("trials with the same other parameters are compared in pairs, their seeds differ (signed ranks)")
    if "none" in pairings:
        told.append("all are compared with all (Brunner and Munzel's test); what the other parameters do is noise")
    words = "; ".join(told)
    return f"{words[0].upper()}{words[1:]}. p is corrected for all differences (Holm); intervals are each for itself."


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _percents(interval: Interval) -> str:
    low, high = interval
    return f"{100 * (low or 0.0):.0f}-{100 * (1.0 if high is None else high):.0f}"


def _bound(value: float | None) -> str:
    return "any" if value is None else f"{value:.2g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _head(comparison: Comparison) -> Text:
    return _label(comparison.by or "study")


def _label(label: str) -> Text:
    text = Text("".join(each if each.isprintable() else ascii(each)[1:-1] for each in label), overflow="ellipsis")
    text.truncate(_WIDEST_LABEL, overflow="ellipsis")
    return text


def _table(first: str | Text, *heads: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column(first, overflow="fold", no_wrap=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _drawn(table: Table, width: int) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, force_jupyter=False, highlight=False
    )
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _wrapped(text: str, width: int, start: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False)
