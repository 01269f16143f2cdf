"""The time of trials by how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpo.report.drawing import BLUE, GREY, ORANGE, RED, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"complete": BLUE, "stopped early": ORANGE, "diverged": RED, "failed": RED}


def time_by_end(seconds: Mapping[str, float], texts: Mapping[str, str]) -> Figure:
    """Draw a bar for each way in which trials ended. texts: what stands beside each bar."""
    figure, (axes,) = new_figure(0.5 + 0.28 * len(seconds))
    places = range(len(seconds))
    axes.barh(places, list(seconds.values()), color=[_COLOURS.get(name, GREY) for name in seconds], height=0.6)
    for place, (name, length) in enumerate(seconds.items()):
        axes.annotate(texts[name], (length, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, list(seconds))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(seconds.values()) or 1)
    axes.set_xlabel("seconds of training, summed over trials")
    axes.grid(visible=False, axis="y")
    return figure
