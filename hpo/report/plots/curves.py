"""Learning curves: the best trials', stopped ones', the others'."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.report.drawing import BLUE, GREY, MANY, ORANGE, RED, focused, log_values, new_figure
from hpo.report.facts import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BY_SCALE = 20.0  # times as large as the smallest: values that are drawn on a log scale


@dataclass(frozen=True)
class CurveGroups:
    """Curves by what became of their trials. best: the best trial's first."""

    best: Sequence[Curve]
    others: Sequence[Curve]
    stopped: Sequence[Curve]
    diverged: Sequence[Curve]


def learning_curves(found: CurveGroups, metric: str, sign: float) -> Figure:
    """Draw curves; a cross ends one that was stopped or diverged."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = new_figure(3.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    many = len(found.others) + len(found.stopped) > MANY / 8
    _lines(axes, found.others, GREY, "others", many)
    _lines(axes, found.stopped, ORANGE, "stopped early", many)
    _lines(axes, found.diverged, RED, "diverged", many)
    _lines(axes, found.best, BLUE, "the best", False, width=1.3, alpha=0.9)
    for group, colour in ((found.stopped, ORANGE), (found.diverged, RED)):
        ends = [(steps[-1], values[-1]) for steps, values in group]
        x, y = [step for step, _ in ends], [value for _, value in ends]
        axes.scatter(x, y, marker="x", s=14, color=colour, linewidths=1.0, rasterized=many)
    groups = (found.best, found.others, found.stopped, found.diverged)
    values = [value for group in groups for curve in group for value in curve[1]]
    low, high, _ = focused(values, sign)
    if sign < 0 and min(values) > 0 and max(values) > _BY_SCALE * min(values):
        log_values(axes)
        low = 0.9 * min(values)
    axes.set_ylim(low, high)
    axes.set_xlabel("step")
    axes.set_ylabel(metric)
    axes.legend(loc="lower right" if sign > 0 else "upper right", ncols=2)
    return figure


def _lines(
    axes: Axes, curves: Iterable[Curve], colour: str, label: str, picture: bool, width: float = 0.8, alpha: float = 0.5
) -> None:
    for place, (steps, values) in enumerate(curves):
        axes.plot(
            steps, values, color=colour, linewidth=width, alpha=alpha, rasterized=picture,
            marker="." if len(steps) == 1 else None, label=None if place else label,
        )  # fmt: skip
