"""activations: which one learns fastest, and where gradients vanish."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hpo.diagnosis.from_layers import VANISHED
from reproduction.claims import Claim, against, first_of, geometric, mean
from reproduction.curves import by_layer, colours, draw, first_steps, with_parameters
from reproduction.numbers import show
from reproduction.paired import pairs
from reproduction.study import Run, Study
from reproduction.writing import Writer

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COURSE = ("relu", "tanh", "sigmoid")  # the course's own; the others are drawn in gray
_TARGET = 0.85  # of validation accuracy: what the course counted epochs to
_DEPTHS = (2, 8)
_COLOURS = colours(_COURSE)


def _write(page: Writer) -> list[Claim]:
    result = page.result("activations")
    curves, trials = with_parameters(result, "activation", "hidden_layers"), result.trials
    trials["to"] = first_steps(curves, trials, "val_accuracy", _TARGET).to_numpy()
    names, seeds = list(dict.fromkeys(trials["activation"])), trials["param_seed"].nunique()
    epochs = int(trials["epochs"].max())
    page.text(
        f"""The course trained one network with ReLU, tanh and sigmoid, and said which learns fastest and where gradients vanish.
        Here {len(names)} activations with {_DEPTHS[0]} and with {_DEPTHS[1]} hidden layers of 32 units, Glorot's weights, Adam 0.001,
        batches of 32, {epochs} epochs, {seeds} seeds each. An activation is sooner there or not by the epochs that it needs to a
        validation accuracy of {100 * _TARGET:.0f} %, seed by seed."""
    )
    rows = []
    for name in names:
        row: list[object] = [name]
        for depth in _DEPTHS:
            chosen = trials[(trials["activation"] == name) & (trials["hidden_layers"] == depth)]
            accuracy = mean(chosen["val_accuracy"])
            row += [_epochs(chosen["to"]), f"{show(accuracy.value)} ± {show(accuracy.spread)}"]
        rows.append(row)
    heads = [
        f"{depth} layers: {what}" for depth in _DEPTHS for what in (f"epochs to {100 * _TARGET:.0f} %", "accuracy")
    ]
    page.table(["activation", *heads], rows)
    page.text(
        """Epochs are the median of the seeds, in brackets how many of them got there. Accuracy is that after the last epoch, mean and
        standard deviation over seeds."""
    )
    with page.plot("activations", "validation accuracy by epoch, with 2 and with 8 hidden layers", columns=2) as axes:
        for each, depth in zip(axes, _DEPTHS, strict=True):
            _curves(each, curves[curves["hidden_layers"] == depth], names)
            each.set_title(f"{depth} hidden layers", fontsize="medium")
    begin = curves[curves["step"] == curves["step"].min()]
    with page.plot(
        "activations_gradients", "the norm of each layer's gradient before the first step", columns=2
    ) as axes:
        axes[1].sharey(axes[0])
        for each, depth in zip(axes, _DEPTHS, strict=True):
            _gradients(each, begin[begin["hidden_layers"] == depth], names)
            each.set_title(f"{depth} hidden layers", fontsize="medium")
    page.text(
        """Above: medians and quartiles over seeds. Below: of the first batch, before any step; the last layer is the output's. Where
        the line falls from right to left, less and less of the gradient comes to the first layers."""
    )
    return [
        *(_fastest(trials[trials["hidden_layers"] == depth], depth, names) for depth in _DEPTHS),
        *(_vanishing(begin[begin["hidden_layers"] == depth], depth) for depth in _DEPTHS),
    ]


def _epochs(steps: pd.Series) -> str:
    reached = steps[steps < math.inf]
    middle = steps.median()
    text = show(middle) if math.isfinite(middle) else "never"
    return f"{text} ({len(reached)} of {len(steps)})"


def _styles(name: str, names: list[str]) -> dict[str, Any]:
    if name in _COLOURS:
        return {"label": name, "color": _COLOURS[name], "linewidth": 1.8, "zorder": 3}
    others = [other for other in names if other not in _COLOURS]
    return {"label": "the others" if name == others[0] else "_", "color": "#bbbbbb", "linewidth": 0.8}


def _curves(axes: Axes, curves: pd.DataFrame, names: list[str]) -> None:
    for name in sorted(names, key=lambda each: each not in _COURSE):
        chosen, style = curves[curves["activation"] == name], _styles(name, names)
        if name in _COLOURS:
            draw(axes, chosen, "val_accuracy", **style)
        else:
            axes.plot(chosen.groupby("step")["val_accuracy"].median(), **style)
    axes.axhline(_TARGET, color="black", linestyle=":", linewidth=0.8)
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy")
    axes.legend(fontsize="small", loc="lower right")


def _gradients(axes: Axes, begin: pd.DataFrame, names: list[str]) -> None:
    for name in sorted(names, key=lambda each: each not in _COURSE):
        layers = by_layer(begin[begin["activation"] == name], "gradient_norm")
        found = [geometric(layer) for layer in layers]
        axes.plot(
            range(1, len(found) + 1), [each.value for each in found], marker="o", markersize=3, **_styles(name, names)
        )
    axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("layer, from the input on")
    axes.set_ylabel("norm of its gradient")
    axes.legend(fontsize="small", loc="lower right")


def _fastest(trials: pd.DataFrame, depth: int, names: list[str]) -> Claim:
    steps = {name: trials[trials["activation"] == name].set_index("param_seed")["to"] for name in names}
    found = pairs(steps, [("relu", name) for name in names if name != "relu"])
    sooner = [pair.right for pair in found if pair.larger == "holds"]
    later = [pair.right for pair in found if pair.smaller == "holds"]
    figures = "; ".join(pair.words("epochs") for pair in found if pair.right in (*_COURSE, *sooner[:2]))
    return Claim(
        f"ReLU converges fastest, with {depth} hidden layers",
        first_of(pair.smaller for pair in found),
        f"Of {len(found)} others {len(later)} are shown to be later than ReLU ({_listed(later)}), {len(sooner)} to be sooner "
        f"({_listed(sooner)}). Epochs to {100 * _TARGET:.0f} %: {figures}",
    )  # fmt: skip


def _vanishing(begin: pd.DataFrame, depth: int) -> Claim:
    shares = {}
    for name in ("sigmoid", "relu"):
        layers = by_layer(begin[begin["activation"] == name], "gradient_norm")
        shares[name] = geometric((layers[0] / layers[-1]).dropna() if layers else [])
    return Claim(
        f"sigmoid suffers from vanishing gradients, with {depth} hidden layers",
        against(shares["sigmoid"], VANISHED),
        f"Of the norm of the last layer's gradient the first layer has {shares['sigmoid']} before the first step; with ReLU "
        f"{shares['relu']}. Called vanishing below {VANISHED:g}, as `hpo` diagnoses it",
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"


ACTIVATIONS = Study(
    "activations",
    "Activations",
    "which activation learns fastest, and does a sigmoid's gradient vanish, with two hidden layers and with eight?",
    [Run("activations", quick=["parameters.seed.max=1", "parameters.epochs.value=2", "budget.trials=48", "references=off",
                               "data.rows=100"])],
    _write,
)  # fmt: skip
