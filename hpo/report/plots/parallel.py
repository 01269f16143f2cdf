"""Parallel coordinates: each trial a line through its parameters to its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo.report.drawing import LINE, colours_of_values, focused, new_figure
from hpo.report.places import ParameterAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARGIN = 0.12  # below the axes, where a parameter that a trial has not is drawn


def parallel(
    parameters: Sequence[ParameterAxis], trials: Sequence[tuple[Mapping[str, Any], float]], metric: str, sign: float
) -> Figure:
    """Draw trials as lines. trials: (parameters, value), the best first. A parameter that is not active is below its
    axis."""
    from matplotlib.collections import LineCollection

    figure, (axes,) = new_figure(3.6)
    values = np.array([value for _, value in trials])
    low, high, _ = focused(list(values), sign)
    clipped = np.clip(values, low, high)
    lines = [
        [*enumerate(_places(parameters, params)), (len(parameters), (value - low) / (high - low))]
        for (params, _), value in zip(trials, clipped, strict=True)
    ]
    shown = LineCollection(lines[::-1], cmap=colours_of_values(sign), linewidths=0.9, alpha=0.75)
    shown.set_array(clipped[::-1])
    shown.set_rasterized(len(lines) > 200)
    axes.add_collection(shown)
    axes.set_xlim(-0.1, len(parameters) + 0.35)
    axes.set_ylim(-_MARGIN - 0.05, 1.05)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    names = [parameter.name if len(parameters) < 7 else parameter.name[:18] for parameter in parameters]
    axes.set_xticks(range(len(parameters) + 1), [*names, metric], rotation=18, ha="right")
    axes.grid(visible=False)
    for place, parameter in enumerate(parameters):
        marks, texts = parameter.ticks(6)
        _scale(axes, place, marks, texts)
    ends = [0.0, 0.5, 1.0]
    _scale(axes, len(parameters), ends, [f"{low + end * (high - low):.4g}" for end in ends])
    return figure


def _places(parameters: Sequence[ParameterAxis], params: Mapping[str, Any]) -> list[float]:
    found = []
    for parameter in parameters:
        name = parameter.parameter.name
        place = parameter.place(params[name]) if name in params else None
        found.append(-_MARGIN if place is None else place)
    return found


def _scale(axes: Axes, at: float, places: Sequence[float], texts: Sequence[str]) -> None:
    axes.plot([at, at], [0, 1], color=LINE, linewidth=1.0, zorder=0)
    for place, text in zip(places, texts, strict=True):
        axes.annotate(text, (at, place), xytext=(3, 0), textcoords="offset points", fontsize=7, va="center", zorder=5)
