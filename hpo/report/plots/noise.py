"""The best trials' values with the noise of the best one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpo.report.drawing import BLUE, GREY, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def noise_band(numbers: Sequence[int], values: Sequence[float], noise: float, metric: str) -> Figure:
    """Draw trials, the best first, and the band of the noise around the best. numbers: the trials'."""
    figure, (axes,) = new_figure(2.6)
    best = values[0]
    within = [abs(value - best) <= noise * (1 + 1e-9) for value in values]
    axes.axhspan(best - noise, best + noise, color=ORANGE, alpha=0.16, linewidth=0)
    axes.axhline(best, color=ORANGE, linewidth=0.9)
    axes.scatter(range(len(values)), values, s=22, color=[BLUE if near else GREY for near in within], zorder=3)
    axes.set_xticks(range(len(values)), [str(number) for number in numbers], fontsize=7.5, rotation=0)
    axes.set_xlabel("trial, the best first")
    axes.set_ylabel(metric)
    axes.grid(visible=False, axis="x")
    return figure
