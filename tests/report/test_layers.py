"""What the report shows of layers and learning rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from review.recorded import Trial

from hpo.events import DIVERGED_HEALTH
from hpo.ledger.study.records import Outcome
from hpo.report.blocks import ReportPlot
from hpo.report.report import _PLOTS
from hpo.report.sections.layers import _MOST, blocks_of

from .studies import facts_of

SPACE: dict[str, Any] = {"x": {"min": 0.0, "max": 1.0}}
LAYERS = ("0", "größe $3", "6")


def series(*norms: float, rates: tuple[float, ...] = (0.1, 0.01)) -> dict[str, Any]:
    """Return what a trial reports of two epochs: gradient norms, which fall by half, and activation norms of 1."""
    found: dict[str, Any] = {"val_accuracy": [0.5, 0.6], "health/model/learning_rate": rates}
    for layer, norm in zip(LAYERS, norms, strict=False):
        found |= {f"health/{layer}/gradient_norm": [norm, norm / 2], f"health/{layer}/activation_norm": [1.0, 0.25]}
    return found


def complete(value: float, found: dict[str, Any]) -> Trial:
    return Trial({"x": value}, Outcome("complete", value=value), found)


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


HEALTHY, VANISHING = complete(0.7, series(0.5, 0.4, 2.0)), complete(0.5, series(1e-9, 1e-4, 1.0))
DIVERGED = Trial(
    {"x": 0.9}, Outcome("pruned", diverged=1), info={DIVERGED_HEALTH: {"health/0/activation_norm": 3e38}}
)  # fmt: skip
OLD = complete(0.6, {"val_accuracy": [0.1, 0.6], "health/0/gradient_norm": [1.0, 1.0]})


def test_what_is_drawn(tmp_path: Path) -> None:
    blocks = blocks_of(facts_of(tmp_path, [HEALTHY, VANISHING, DIVERGED, OLD], SPACE))
    plots = {block.name: block for block in blocks if isinstance(block, ReportPlot)}
    assert list(plots) == ["layers", "learning-rates"] and all(_PLOTS.fullmatch(f"{name}.png") for name in plots)
    assert "activation norms go from 0.25 (layer 0) to 0.25 (layer 6)" in plots["layers"].says
    assert "its gradient norms go from 0.25 (layer 0) to 1 (layer 6)" in plots["layers"].says
    assert plots["learning-rates"].says.startswith(
        "The learning rate changed in 2 of 2 trials. The best trial's was 0.1"
    )
    drawn = {
        axes.get_title(): {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
        for axes in plots["layers"].figure.axes
    }
    assert list(drawn) == [
        f"{figure} norms, {when} measured" for when in ("first", "last") for figure in ("activation", "gradient")
    ]
    assert drawn["gradient norms, first measured"] == {
        "vanishing or exploding gradient": [1e-9, 1e-4, 1.0], "the best": [0.5, 0.4, 2.0]
    }  # fmt: skip
    assert drawn["activation norms, last measured"]["diverged"] == [3e38]
    assert [label.get_text() for label in plots["layers"].figure.axes[0].get_xticklabels()] == list(LAYERS)


def test_nothing_is_drawn_of_older_studies(tmp_path: Path) -> None:
    assert blocks_of(facts_of(made(tmp_path / "old"), [OLD], SPACE)) == []
    assert blocks_of(facts_of(made(tmp_path / "none"), [], SPACE)) == []


def test_rates_that_stay_are_said(tmp_path: Path) -> None:
    """Of one epoch there is one moment; of many trials some are drawn, the best one among them."""
    trials = [complete(0.1 + number / 1000, series(1.0, 1.0, rates=(0.1, 0.1))) for number in range(_MOST + 9)]
    *_, plot, thinned, rates, again = blocks_of(facts_of(tmp_path, trials, SPACE))
    assert rates == "Of 61 trials each kept its learning rate to the end."
    assert thinned == again == "Of 69 trials 61 are looked at here, evenly thinned."
    assert isinstance(plot, ReportPlot) and "the best trial's activation norms" in plot.says
    once = {name: [values[0]] for name, values in series(1.0, 2.0).items()}
    *_, plot, rates = blocks_of(facts_of(made(tmp_path / "once"), [complete(0.5, once)], SPACE))
    assert isinstance(plot, ReportPlot) and len([axes for axes in plot.figure.axes if axes.get_title()]) == 2


@pytest.mark.parametrize("value", [0.0, 3e38])
def test_any_norm_can_be_drawn(tmp_path: Path, value: float) -> None:
    from hpo.report.drawing import drawing, png_of, svg_of

    with drawing():
        blocks = blocks_of(facts_of(tmp_path, [complete(0.5, series(value, value))], SPACE))
        for block in blocks:
            if isinstance(block, ReportPlot):
                assert png_of(block.figure)
                assert not [text for text in svg_of(block.figure, "x").splitlines() if "mathdefault" in text]
