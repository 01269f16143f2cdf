"""How much each parameter has to do with being a good trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpo.report.drawing import BLUE, new_figure
from hpo.report.places import brief

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def importance(shares: Mapping[str, float]) -> Figure:
    """Draw shares as bars, the largest on top."""
    figure, (axes,) = new_figure(0.5 + 0.24 * len(shares))
    places = range(len(shares))
    axes.barh(places, list(shares.values()), color=BLUE, height=0.62)
    for place, share in zip(places, shares.values(), strict=True):
        axes.annotate(f"{share:.2f}", (share, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [brief(name, 40) for name in shares])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.12 * max(shares.values()) or 1)
    axes.set_xlabel("share of the importance")
    return figure
