"""Two parameters at once: the values of trials, smoothed over both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.report.drawing import INK, MANY, RED, colours_of_values, focused, new_figure
from hpo.report.places import ParameterAxis

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_CELLS = 48  # of a range
_WIDTH = 0.07  # of the kernel, of a range
_FEWEST = 0.3  # trials, by their weights, without which nothing is drawn
_LEVELS = 9


def contour(
    pair: tuple[ParameterAxis, ParameterAxis],
    trials: Sequence[tuple[Mapping[str, Any], float]],
    metric: str,
    sign: float,
) -> Figure | None:
    """Draw the mean value of trials around each place (Nadaraya and Watson's, with a Gaussian kernel; choices are not
    smoothed over), and the trials. None if no trial has both parameters.

    trials: (parameters, value) of complete ones, the best first.
    """
    points = []
    for params, value in trials:
        places = [axis.place(params[axis.parameter.name]) for axis in pair if axis.parameter.name in params]
        if len(places) == 2 and None not in places:
            points.append((*places, value))
    if not points:
        return None
    x, y, values = np.array(points, dtype=float).T
    low, high, _ = focused(list(values), sign)
    figure, (axes,) = new_figure(3.7)
    grids = [_grid(axis) for axis in pair]
    weights = [_weights(axis, grid, at) for axis, grid, at in zip(pair, grids, (x, y), strict=True)]
    total = weights[1] @ weights[0].T  # [y, x], summed over trials
    mean = (weights[1] * np.clip(values, low, high)) @ weights[0].T / np.maximum(total, 1e-12)
    shown = np.ma.masked_array(mean, mask=total < _FEWEST)
    colours = colours_of_values(sign)
    if not shown.mask.all():
        smooth = all(axis.is_range for axis in pair) and min(shown.count(axis=0).max(), shown.count(axis=1).max()) > 1
        drawn: ScalarMappable = (
            axes.contourf(*grids, shown, levels=_LEVELS, cmap=colours)
            if smooth
            else axes.pcolormesh(*grids, shown, cmap=colours, shading="nearest", rasterized=True)
        )
        figure.colorbar(drawn, ax=axes, label=metric)
    axes.scatter(
        pair[0].spread(x), pair[1].spread(y), s=5, color=INK, alpha=0.35, linewidths=0, rasterized=len(x) > MANY
    )
    axes.plot(x[:1], y[:1], marker="*", markersize=11, color=RED, linestyle="none", markeredgecolor="white")
    pair[0].mark(axes, "x")
    pair[1].mark(axes, "y")
    axes.grid(visible=False)
    return figure


def _grid(axis: ParameterAxis) -> np.ndarray:
    if axis.is_range:
        return np.linspace(0, 1, _CELLS)
    return (np.arange(axis.choices) + 0.5) / axis.choices


def _weights(axis: ParameterAxis, grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return how much each trial counts at each place of the grid [grid, trials]."""
    apart = grid[:, None] - places[None, :]
    if axis.is_range:
        return np.asarray(np.exp(-0.5 * (apart / _WIDTH) ** 2))
    return np.asarray(np.abs(apart) < 0.25 / axis.choices, dtype=float)
