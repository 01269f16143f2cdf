"""Shares of trials in the parts of parameters' domains: of those that fail, say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.report.drawing import LINE, RED, new_figure
from hpo.report.places import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


@dataclass(frozen=True)
class SharesOfParts:
    """Of a parameter: its parts in words, how many trials have each, and how many of these are meant."""

    name: str
    parts: Sequence[str]
    trials: Sequence[int]
    meant: Sequence[int]


def shares_of_parts(found: Sequence[SharesOfParts], label: str) -> Figure:
    """Draw a panel for each parameter."""
    rows = -(-len(found) // _COLUMNS)
    figure, panels = new_figure(0.3 + 2.1 * rows, rows, _COLUMNS, sharey=True)
    for axes, one in zip(panels, found, strict=False):
        places = range(len(one.parts))
        shares = [100 * meant / trials if trials else 0.0 for meant, trials in zip(one.meant, one.trials, strict=True)]
        axes.bar(places, [100] * len(one.parts), color=LINE, width=0.8, alpha=0.35)
        axes.bar(places, shares, color=RED, width=0.8)
        axes.set_xticks(places, [brief(part, 16) for part in one.parts], rotation=30, ha="right")
        axes.set_title(brief(one.name, 40))
        axes.grid(visible=False, axis="x")
    for axes in panels[len(found) :]:
        axes.remove()
    panels[0].set_ylim(0, 100)
    for axes in panels[: len(found) : _COLUMNS]:
        axes.set_ylabel(label)
    return figure
