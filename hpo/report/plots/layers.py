"""What layers hand on and what gradients reach them, layer by layer; and learning rates by steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpo.report.drawing import BLUE, GREY, ORANGE, RED, log_values, new_figure
from hpo.report.facts import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMED = 12  # layers that are named below the axis; more are counted
_MARKED = 40  # points of a line that are marked
_BY_SCALE = 20.0  # times as large as the smallest: values that are drawn on a log scale
TrialKind = Literal["others", "ill", "diverged", "best"]
_KINDS: Mapping[TrialKind, tuple[str, str]] = {
    "others": (GREY, "others"),
    "ill": (ORANGE, "vanishing or exploding gradient"),
    "diverged": (RED, "diverged"),
    "best": (BLUE, "the best"),
}
"""The colours of kinds of trials and their names, in the order in which they are drawn."""


@dataclass(frozen=True)
class LayerPanel:
    """One picture: of each kind of trials their lines, {layer: value} in the order of the layers."""

    title: str
    lines: Mapping[TrialKind, Sequence[Mapping[str, float]]]


def by_layer(panels: Sequence[LayerPanel]) -> Figure:
    """Draw panels, two in a row, each with a log scale of its own, at whose lower edge 0 is."""
    rows = (len(panels) + 1) // 2
    figure, axes = new_figure(0.4 + 2.7 * rows, rows, 2)
    for each, panel in zip(axes, panels, strict=False):
        _draw(each, panel)
    for each in axes[len(panels) :]:
        each.set_axis_off()
    axes[0].legend()
    return figure


def _draw(axes: Axes, panel: LayerPanel) -> None:
    lines = [line for several in panel.lines.values() for line in several]
    for kind, its in panel.lines.items():
        _lines(axes, kind, [(range(1, len(line) + 1), list(line.values())) for line in its])
    if any(value > 0 for line in lines for value in line.values()):
        log_values(axes)
    longest = max(lines, key=len)
    named = len(longest) <= _NAMED and all(list(line) == list(longest)[: len(line)] for line in lines)
    axes.set_xticks(range(1, len(longest) + 1) if named else sorted({1, (len(longest) + 1) // 2, len(longest)}))
    if named:
        axes.set_xticklabels(list(longest), rotation=30 if len(longest) > 4 else 0)
    axes.set_title(panel.title)
    axes.set_xlabel("layer" if named else "layer, from the first one")


def learning_rates(kinds: Mapping[TrialKind, Sequence[Curve]]) -> Figure:
    """Draw learning rates by steps, of each kind of trials."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = new_figure(2.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for kind, its in kinds.items():
        _lines(axes, kind, its)
    rates = [rate for curves in kinds.values() for _, values in curves for rate in values if rate > 0]
    if rates and max(rates) > _BY_SCALE * min(rates):
        log_values(axes)
    axes.set_xlabel("step")
    axes.set_ylabel("learning rate")
    axes.legend()
    return figure


def _lines(axes: Axes, kind: TrialKind, curves: Sequence[Curve]) -> None:
    colour, name = _KINDS[kind]
    is_best = kind == "best"
    for place, (at, values) in enumerate(curves):
        axes.plot(
            at, values, color=colour, label=None if place else name, marker="." if len(at) < _MARKED else None,
            linewidth=1.6 if is_best else 0.8, alpha=1.0 if is_best else 0.5, zorder=2 + list(_KINDS).index(kind) / 10,
        )  # fmt: skip
