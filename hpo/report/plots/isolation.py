"""Isolation plots: the best value against each parameter, whatever the others are.

After Godbole et al., Deep Learning Tuning Playbook (2023), "Understanding whether the search space is good".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.report.drawing import BLUE, MANY, ORANGE, RED, focused, new_figure
from hpo.report.places import ParameterAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_CELLS = 12  # of a range, in each of which the best is marked


def isolation(
    parameters: Sequence[ParameterAxis], trials: Sequence[tuple[Mapping[str, Any], float]], metric: str, sign: float
) -> Figure:
    """Draw for each parameter the trials' values, and the best in each part of its range or of each choice.

    trials: (parameters, value) of those that have a value, at least one, the best first.
    """
    rows = -(-len(parameters) // _COLUMNS)
    figure, panels = new_figure(0.3 + 2.1 * rows, rows, _COLUMNS, sharey=True)
    low, high, _ = focused([value for _, value in trials], sign)
    for axes, parameter in zip(panels, parameters, strict=False):
        _panel(axes, parameter, trials, sign)
    for axes in panels[len(parameters) :]:
        axes.remove()
    panels[0].set_ylim(low, high)
    for axes in panels[: len(parameters) : _COLUMNS]:
        axes.set_ylabel(metric)
    return figure


def _panel(
    axes: Axes, parameter: ParameterAxis, trials: Sequence[tuple[Mapping[str, Any], float]], sign: float
) -> None:
    name = parameter.parameter.name
    placed = [(parameter.place(params[name]), value) for params, value in trials if name in params]
    points = np.array([(place, value) for place, value in placed if place is not None]).reshape(-1, 2)
    parameter.mark(axes, "x", 5, room=32)
    if not len(points):
        return
    x, y = points.T
    cells = parameter.choices or _CELLS
    if cells > 2 * _CELLS:
        cells = _CELLS
    axes.scatter(parameter.spread(x), y, s=8, color=BLUE, alpha=0.4, linewidths=0, rasterized=len(x) > MANY / 4)
    cell = np.minimum((x * cells).astype(int), cells - 1)
    found = [(place, sign * (sign * y[cell == place]).max()) for place in range(cells) if (cell == place).any()]
    for place, best in found:
        axes.plot([(place + 0.08) / cells, (place + 0.92) / cells], [best, best], color=ORANGE)
    axes.plot(x[:1], y[:1], marker="*", markersize=9, color=RED, linestyle="none", markeredgecolor="white")
