"""Learning curves by choice, each choice's trials together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.report.drawing import BLUE, FAINT, GREEN, GREY, ORANGE, RED, focused, new_figure
from hpo.review.comparison.drawing import draw_choice
from hpo.review.comparison.values import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = (BLUE, ORANGE, GREEN, RED, GREY)
_DASHES = ("-", "--")  # a second round of the colours


def choice_curves(comparison: Comparison, sign: float) -> Figure:
    """Draw each choice's median by steps with the band between its quartiles. sign: 1 where more is better, else -1."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = new_figure(3.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    drawn = [choice for choice in comparison.choices if choice.curve.steps]
    for place, choice in enumerate(drawn):
        colour, dash = _COLOURS[place % len(_COLOURS)], _DASHES[place // len(_COLOURS) % len(_DASHES)]
        draw_choice(axes, choice.curve, colour, f"{choice.label} ({choice.curve.trials[0]})", dash)
    low, high, _ = focused([value for choice in drawn for value in (*choice.curve.low, *choice.curve.high)], sign)
    axes.set_ylim(low, high)
    if comparison.target is not None and low < comparison.target < high:
        axes.axhline(comparison.target, color=FAINT, linewidth=1, linestyle=":", label=comparison.target_from)
    axes.set_xlabel("step")
    axes.set_ylabel(comparison.metric)
    axes.set_title(str(comparison.by))
    axes.legend(loc="lower right" if sign > 0 else "upper right", ncols=2)
    return figure
