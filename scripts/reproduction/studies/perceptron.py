"""perceptron: the rule that changes weights on mistakes only. It ends on rows that a plane separates, and never on XOR."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reproduction.claims import Claim, Verdict, mean
from reproduction.numbers import show
from reproduction.shares import share_of
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_DATA = {"perceptron": "separable rows", "perceptron_xor": "XOR"}


@dataclass(frozen=True)
class Geometry:
    """Of training rows with a 1 put behind them, for the bias. margin: 0 where no plane separates the classes."""

    rows: int
    radius: float
    margin: float

    @property
    def bound(self) -> float:
        return (self.radius / self.margin) ** 2 if self.margin else math.inf


def geometry(data: dict[str, Any]) -> Geometry:
    """Work out R and the largest margin of the rows that a sweep's `data` section makes."""
    from objectives.binary import Binary

    train = Binary().splits(data).train
    x = np.column_stack([train.x.double().numpy(), np.ones(len(train.y))])
    signed = x * np.where(train.y.numpy() > 0.5, 1.0, -1.0)[:, None]
    return Geometry(len(x), float(np.linalg.norm(x, axis=1).max()), margin_of(signed))


def margin_of(signed: Any) -> float:
    """Return the largest margin of a plane through 0 with all of these rows on one side; 0 if there is none.

    The shortest w with w·row >= 1 for each row, as least squares of non-negative numbers (Lawson and Hanson, Solving
    Least Squares Problems, 1974, chapter 23.4, "least distance programming").
    """
    from scipy.optimize import nnls

    table = np.vstack([signed.T, np.ones(len(signed))])
    wanted = np.zeros(len(table))
    wanted[-1] = 1.0
    rest = table @ nnls(table, wanted)[0] - wanted
    if abs(rest[-1]) < 1e-9:
        return 0.0
    plane = -rest[:-1] / rest[-1]
    margin = float((signed @ plane).min() / np.linalg.norm(plane))
    return max(0.0, margin)


def _write(page: Writer) -> list[Claim]:
    results = {name: page.result(name) for name in _DATA}
    mistakes = {name: _mistakes(result.curves) for name, result in results.items()}
    geometries = {name: geometry(result.sweep["data"]) for name, result in results.items()}
    first = geometries["perceptron"]
    page.text(
        f"""One neuron with `loss: perceptron`, weights that begin at 0, one row at a time: a row on the wrong side of the plane, or
        on it, has the weights moved by that row, others change nothing. `train_mistakes` counts these changes in each epoch.
        R and the margin are those of the {first.rows} training rows themselves, a 1 behind each for the bias; the margin is the
        largest that any plane has. {len(mistakes["perceptron"])} orders of the rows (seeds) each."""
    )
    rows: list[list[object]] = []
    for name, words in _DATA.items():
        sums, ends = _until_first_clean(mistakes[name]), _ends(mistakes[name])
        shape = geometries[name]
        rows.append([
            words, show(shape.radius), show(shape.margin) if shape.margin else "no plane separates them",
            show(shape.bound) if shape.margin else "none", str(share_of(np.isfinite(ends))),
            str(mean(sums.tolist())), f"{sums.max():,.0f}",
        ])  # fmt: skip
    page.table(["data", "R", "margin", "(R / margin)²", "runs that end", "mistakes, mean (95 %)", "most"], rows)
    page.text(
        """A run ends at its first epoch without a mistake: from then on nothing changes any more. The mistakes are those until
        then, or all of them where it does not end."""
    )
    with page.plot("perceptron", "mistakes by epoch, on separable rows and on XOR", columns=2, height=3.0) as axes:
        for axis, (name, words) in zip(axes, _DATA.items(), strict=True):
            _draw(axis, mistakes[name], words, geometries[name])
    return [_converges(mistakes["perceptron"], first), _never(mistakes["perceptron_xor"], geometries["perceptron_xor"])]


def _mistakes(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the mistakes in training, a row a run, a column an epoch."""
    return curves.pivot(index="number", columns="step", values="train_mistakes")


def _ends(mistakes: pd.DataFrame) -> Any:
    """Return the first epoch of each run without a mistake; infinite if there is none."""
    clean = mistakes.to_numpy() == 0
    return np.where(clean.any(axis=1), clean.argmax(axis=1) + 1.0, np.inf)


def _until_first_clean(mistakes: pd.DataFrame) -> Any:
    """Return the mistakes of each run up to then; after it there are none, or something is wrong."""
    return np.nansum(mistakes.to_numpy(), axis=1)


def _draw(axes: Axes, mistakes: pd.DataFrame, words: str, shape: Geometry) -> None:
    total = mistakes.cumsum(axis=1)
    for index, (_, run) in enumerate(total.iterrows()):
        axes.plot(run.index, run, color="C0", alpha=0.6, linewidth=1, label="a run" if not index else None)
    if shape.margin:
        axes.axhline(shape.bound, color="C3", linestyle="--", label=f"(R / margin)² = {show(shape.bound)}")
    axes.set_title(words, fontsize="medium")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mistakes so far")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small")


def _converges(mistakes: pd.DataFrame, shape: Geometry) -> Claim:
    sums, ends = _until_first_clean(mistakes), share_of(np.isfinite(_ends(mistakes)))
    epochs = mistakes.shape[1]
    within = bool(shape.margin) and bool((sums <= shape.bound).all())
    # A run that has not ended yet refutes nothing, as long as it is within the bound.
    verdict = Verdict.FAILS if not within else Verdict.HOLDS if ends.won == ends.of else Verdict.UNKNOWN
    return Claim(
        "on separable rows the perceptron rule ends after at most (R / margin)² mistakes", verdict,
        f"{ends} runs end within {epochs} epochs; {sums.max():.0f} mistakes at most, and the bound is {show(shape.bound)}",
    )  # fmt: skip


def _never(mistakes: pd.DataFrame, shape: Geometry) -> Claim:
    ends, least = share_of(np.isfinite(_ends(mistakes))), float(np.nanmin(mistakes.to_numpy()))
    plane = "no plane separates these rows, so no run ever can" if not shape.margin else "a plane separates these rows"
    return Claim(
        "on XOR it never ends", Verdict.FAILS if ends.won else Verdict.HOLDS,
        f"{ends} runs end within {mistakes.shape[1]} epochs; no epoch has fewer than {least:.0f} mistakes; {plane}",
    )  # fmt: skip


PERCEPTRON = Study(
    "perceptron",
    "The perceptron rule",
    "does it end on separable rows, after no more mistakes than the theorem allows, and never on XOR?",
    [
        Run("perceptron", name, options, ["parameters.seed.max=1", "parameters.epochs.value=4", "data.rows=100"])
        for name, options in (("", []), ("perceptron_xor", ["data.source=xor"]))
    ],
    _write,
)
