"""Learning curves of a study's trials: by choice, with their spread; when they come to a value; figures by layer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import hpo
from hpo.diagnosis.figures import HEALTH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def with_parameters(result: hpo.Result, *parameters: str) -> pd.DataFrame:
    """Return the curves of a study with further columns, of the trials' table."""
    return result.curves.merge(result.trials[["number", *parameters]], on="number")


def first_steps(curves: pd.DataFrame, trials: pd.DataFrame, metric: str, target: float) -> pd.Series:
    """Return, by trial number, the first step at which a metric is at least a target; infinite: never."""
    there = curves.loc[curves[metric] >= target].groupby("number")["step"].min()
    return trials.set_index("number").index.to_series().map(there).astype(float).fillna(math.inf)


def draw(axes: Axes, curves: pd.DataFrame, metric: str, label: str, **line: Any) -> None:
    """Draw the median of some trials by step, and the quartiles as a band. line: of Matplotlib's `plot`."""
    spread = curves.groupby("step")[metric].quantile([0.25, 0.5, 0.75]).unstack().dropna()
    (drawn,) = axes.plot(spread.index, spread[0.5], label=label, **line)
    axes.fill_between(spread.index, spread[0.25], spread[0.75], color=drawn.get_color(), alpha=0.2, linewidth=0)


def by_layer(curves: pd.DataFrame, figure: str) -> list[pd.Series]:
    """Return a figure of health, such as `gradient_norm`, layer by layer from the input on: of each the values of the
    curves' rows. Ways around a residual block are left out, and so are layers that none of the rows has."""
    found = {}
    for column in curves.columns:
        match = re.fullmatch(rf"{HEALTH}(.+)/{figure}", str(column))
        if match and not match[1].startswith("model") and "shortcut" not in match[1] and curves[column].notna().any():
            found[tuple(int(part) for part in match[1].split(".") if part.isdigit())] = curves[column]
    return [found[path] for path in sorted(found)]


def colours(names: Sequence[str]) -> Mapping[str, str]:
    """Return a colour for each name, the same in all plots of a section."""
    return {name: f"C{place}" for place, name in enumerate(names)}
