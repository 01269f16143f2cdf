"""A comparison's learning curves with their spread, as a Matplotlib figure."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from hpo.review.comparison.values import Comparison, SpreadCurve
from hpo.spec.faults import UserError
from hpo.spec.space import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (8.0, 4.5)  # inches


def draw_curves(comparison: Comparison) -> Figure:
    """Draw each choice's median by steps with the band between its quartiles; dotted from where fewer than half of its
    trials are left, since the others were stopped. The target is a line across.

    Raises UserError if no trial reported anything on its way, or if there is no Matplotlib.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("a figure needs Matplotlib (pip install 'hpo-sweep[plots]')")
    if not any(choice.curve.steps for choice in comparison.choices):
        raise UserError("there are no learning curves to draw: the trials reported nothing on their way")
    from matplotlib.figure import Figure  # not pyplot, which would keep it and might open a window

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    for place, choice in enumerate(comparison.choices):
        if choice.curve.steps:
            draw_choice(axes, choice.curve, f"C{place % 10}", f"{_plain(choice.label)} ({choice.curve.trials[0]})")
    if comparison.target is not None:
        label = f"{show(comparison.target)}: {_plain(comparison.target_from)}"
        axes.axhline(comparison.target, color="gray", linewidth=1, linestyle="--", label=label)
    axes.set_xlabel("step")
    axes.set_ylabel(_plain(comparison.metric))
    title = _plain(", ".join(comparison.studies))
    axes.set_title(f"{_plain(comparison.by)} in {title}" if comparison.by is not None else title)
    axes.legend(fontsize="small")
    return figure


def draw_choice(axes: Axes, curve: SpreadCurve, color: str, label: str, dash: str = "-") -> None:
    """Draw one choice's curve with its band."""
    many = [place for place, count in enumerate(curve.trials) if 2 * count >= curve.trials[0]]
    last = many[-1] + 1
    marker = "o" if last == 1 else None
    axes.plot(curve.steps[:last], curve.median[:last], dash, color=color, label=label, marker=marker)
    axes.plot(curve.steps[last - 1 :], curve.median[last - 1 :], color=color, linestyle=":")
    axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.2, linewidth=0)


def _plain(text: str) -> str:
    """Return a text that Matplotlib takes for no formula."""
    return text.replace("$", r"\$")
