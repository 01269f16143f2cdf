"""The best value so far, over trials and over the time in which trials ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.report.drawing import BLUE, FAINT, MANY, ORANGE, focused, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EndedTrials:
    """Trials that have a value in the order of their ends.

    places: how many trials had ended by then, itself included. moments: the time in which trials had run, in seconds.
    """

    places: Sequence[int]
    moments: Sequence[float]
    values: Sequence[float]


def best_so_far(found: EndedTrials, metric: str, sign: float, baseline: float | None) -> Figure:
    """Draw trials as points and the best of them so far as a line. baseline: a line of its own, if there is
    one."""
    figure, panels = new_figure(3.0, columns=2, sharey=True)
    best = sign * np.maximum.accumulate(sign * np.asarray(found.values))
    low, high, _ = focused(found.values, sign)
    unit, word = _unit(found.moments[-1])
    across = (np.asarray(found.places), np.asarray(found.moments) / unit)
    for axes, x, label in zip(panels, across, ("trials that have ended", f"{word} in which trials ran"), strict=True):
        axes.scatter(x, found.values, s=9, color=BLUE, alpha=0.45, linewidths=0, rasterized=len(x) > MANY)
        axes.step(x, best, where="post", color=ORANGE, label="best so far")
        if baseline is not None:
            axes.axhline(baseline, color=FAINT, linestyle="--", linewidth=1.0, label="baseline")
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
    panels[0].set_ylim(low, high)
    panels[0].set_ylabel(metric)
    panels[0].legend(loc="lower right" if sign > 0 else "upper right")
    return figure


def _unit(seconds: float) -> tuple[float, str]:
    for size, word in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds > 2 * size:
            return size, word
    return 1.0, "seconds"
