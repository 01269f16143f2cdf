"""initialization: first weights, batch norm and residual connections, and how deep a network they let train."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpo.diagnosis.from_layers import EXPLODED, VANISHED
from reproduction.claims import Claim, Mean, against, all_of, better, geometric, mean
from reproduction.curves import by_layer, with_parameters
from reproduction.numbers import show
from reproduction.study import Run, Study
from reproduction.writing import Writer, heat_map

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    import hpo

_ADVISED = {"tanh": "xavier_uniform", "sigmoid": "xavier_uniform", "relu": "he_normal"}
_STARTS = {  # of initializer and scale, as the page calls them
    ("xavier_uniform", 0.1): "too small", ("default", 1.0): "default", ("xavier_uniform", 1.0): "Xavier",
    ("he_normal", 1.0): "He", ("xavier_uniform", 3.0): "too large",
}  # fmt: skip
_WAYS = {(False, False): "plain", (True, False): "batch norm", (False, True): "residual"}
_FIGURES = {"activation_norm": "size of activations", "gradient_norm": "norm of the gradient"}
_DEEP = 16  # hidden layers from which on a network is called deep
_LEAST = 1.4e-45  # the smallest number above 0 that float32 holds: what is smaller is recorded as 0


def _write(page: Writer) -> list[Claim]:
    result = page.result("initialization")
    settings = ("param_seed", "activation", "initializer", "init_scale", "hidden_layers", "batch_norm", "residual")
    trials, curves = result.trials, with_parameters(result, *settings)
    for table in (trials, curves):
        table["start"] = [_STARTS[pair] for pair in zip(table["initializer"], table["init_scale"], strict=True)]
        table["way"] = [_WAYS[pair] for pair in zip(table["batch_norm"], table["residual"], strict=True)]
    depths = sorted(trials["hidden_layers"].unique())
    deepest, activations = depths[-1], list(_ADVISED)
    begin = curves[
        (curves["step"] == curves["step"].min()) & (curves["way"] == "plain") & (curves["hidden_layers"] == _DEEP)
    ]
    page.text(
        f"""Networks of {depths[0]} to {deepest} hidden layers of 32 units, Adam 0.001, batches of 64, {int(trials["epochs"].max())}
        epochs, {trials["param_seed"].nunique()} seeds each. They begin with the library's default weights, with Xavier's, with He's, or with
        Xavier's times 0.1 (too small) or times 3 (too large); plain, with batch norm, or with residual connections."""
    )
    measured = {figure: label for figure, label in _FIGURES.items() if by_layer(begin, figure)}
    with page.plot(
        "initialization_layers", f"{' and '.join(measured.values())} by layer in plain networks", 3,
        height=0.4 + 2.5 * max(1, len(measured)), rows=max(1, len(measured)),
    ) as axes:  # fmt: skip
        for row, (figure, label) in enumerate(measured.items()):
            for column, activation in enumerate(activations):
                each = axes[3 * row + column]
                each.sharey(axes[3 * row])
                _layers(each, begin[begin["activation"] == activation], figure)
                if row == 0:
                    each.set_title(activation, fontsize="medium")
            axes[3 * row].set_ylabel(label)
        axes[-1].legend(fontsize="x-small")
    page.text(
        f"""Plain networks of {_DEEP} hidden layers at the beginning: of each layer the root mean square of what it hands on, after the
        first epoch, and the norm of its gradient before the first step. A line that falls from left to right is a signal that vanishes on its way, one that
        falls from right to left a gradient that does."""
    )
    with page.plot(
        "initialization", "accuracy by depth, first weights, batch norm and residuals", 3, height=4.6
    ) as axes:
        for place, (each, way) in enumerate(zip(axes, _WAYS.values(), strict=True)):
            _accuracy(each, trials[trials["way"] == way], activations, depths)
            each.set_title(way, fontsize="medium")
            if place:
                each.tick_params(labelleft=False)
    page.table(
        ["activation, first weights", "", *(f"{depth} layers" for depth in depths)],
        [
            _row(trials, activation, way, depths)
            for activation in activations for way in _WAYS.values()
        ],
    )  # fmt: skip
    page.text(
        """Validation accuracy after the last epoch; in the table with the first weights that the course advises, mean and standard
        deviation over seeds."""
    )
    return [
        _small(begin),
        *(_large(begin, activation) for activation in ("relu", "tanh")),
        _advised(result, "tanh", "xavier_uniform", "he_normal"),
        _advised(result, "relu", "he_normal", "xavier_uniform"),
        _remedy(result, "batch_norm", "batch norm lets deep networks train", "residual == False"),
        _remedy(result, "residual", "residual connections let deep networks train", "batch_norm == False"),
    ]


def _layers(axes: Axes, begin: pd.DataFrame, figure: str) -> None:
    for start in _STARTS.values():
        means = [_sizes(layer) for layer in by_layer(begin[begin["start"] == start], figure)]
        axes.plot(range(1, len(means) + 1), [each.value for each in means], label=start, linewidth=1.3)
    axes.set_yscale("log")
    axes.set_xlabel("layer, from the input on")


def _sizes(values: pd.Series) -> Mean:
    return geometric(values.dropna().clip(lower=_LEAST).tolist())


def _accuracy(axes: Axes, trials: pd.DataFrame, activations: list[str], depths: list[int]) -> None:
    cells = trials.groupby(["activation", "start", "hidden_layers"])["val_accuracy"].mean()
    rows = [(activation, start) for activation in activations for start in _STARTS.values()]
    values = [[cells.get((*row, depth), math.nan) for depth in depths] for row in rows]
    heat_map(axes, values, [", ".join(row) for row in rows], depths, vmin=0.5, vmax=0.92)
    axes.set_xlabel("hidden layers")


def _row(trials: pd.DataFrame, activation: str, way: str, depths: list[int]) -> list[object]:
    start = _STARTS[_ADVISED[activation], 1.0]
    chosen = trials[(trials["activation"] == activation) & (trials["way"] == way) & (trials["start"] == start)]
    means = [mean(chosen[chosen["hidden_layers"] == depth]["val_accuracy"]) for depth in depths]
    return [f"{activation}, {start}", way, *(f"{show(each.value)} ± {show(each.spread)}" for each in means)]


def _small(begin: pd.DataFrame) -> Claim:
    shares = {activation: _of_first_layer(begin, activation) for activation in _ADVISED}
    figures = ", ".join(f"{activation} {share}" for activation, share in shares.items())
    return Claim(
        f"with too small weights gradients vanish, in {_DEEP} layers",
        all_of(against(share, VANISHED) for share in shares.values()),
        f"The norm of the first layer's gradient before the first step, as a share of that with Xavier's weights as they are: "
        f"{figures}. Called vanishing below {VANISHED:g}; what float32 can't hold counts as {_LEAST:g}",
    )


def _of_first_layer(begin: pd.DataFrame, activation: str) -> Mean:
    """Return what too small weights leave of the first layer's gradient, by seed."""
    found = []
    for start in ("too small", "Xavier"):
        layers = _gradients(begin, activation, start)
        if not layers:
            return geometric([])
        found.append(layers[0].set_axis(begin.loc[layers[0].index, "param_seed"]).dropna().clip(lower=_LEAST))
    return geometric((found[0] / found[1]).dropna())


def _gradients(begin: pd.DataFrame, activation: str, start: str) -> list[pd.Series]:
    chosen = begin[(begin["activation"] == activation) & (begin["start"] == start)]
    return by_layer(chosen, "gradient_norm")


def _large(begin: pd.DataFrame, activation: str) -> Claim:
    layers = _gradients(begin, activation, "too large")
    largest = _sizes(_largest(layers)) if layers else geometric([])
    return Claim(
        f"with too large weights gradients explode, with {activation} in {_DEEP} layers",
        against(largest, EXPLODED, below=False),
        f"The largest norm of a layer's gradient before the first step is {largest}. Called exploding above {EXPLODED:g}, as `hpo` "
        "diagnoses it",
    )


def _largest(layers: list[pd.Series]) -> pd.Series:
    found = layers[0]
    for layer in layers[1:]:
        found = found.combine(layer, max)
    return found


def _advised(result: hpo.Result, activation: str, advised: str, other: str) -> Claim:
    where = f"activation == '{activation}' and init_scale == 1 and batch_norm == False and residual == False"
    verdict, figures = better(result.compare(by="initializer", where=where), advised, other)
    name = _STARTS[advised, 1.0]
    return Claim(f"{name}'s weights are the right ones for {activation}", verdict, f"All depths, plain: {figures}")


def _remedy(result: hpo.Result, parameter: str, text: str, where: str) -> Claim:
    compared = result.compare(by=parameter, where=f"{where} and hidden_layers >= {_DEEP}")
    verdict, figures = better(compared, "true", "false")
    middles = ", ".join(
        f"{each.label} {show(each.median)}" for each in compared.choices if each.median is not None
    )  # fmt: skip
    return Claim(text, verdict, f"From {_DEEP} hidden layers on, all first weights and activations, `{parameter}`: {figures}; median "
                 f"accuracy {middles}")  # fmt: skip


INITIALIZATION = Study(
    "initialization",
    "First weights",
    "first weights, batch norm and residual connections: how deep a network do they let train?",
    [Run("initialization", quick=["parameters.hidden_layers.values=[16]", "parameters.seed.max=1", "data.rows=100",
                                  "parameters.epochs.value=1", "budget.trials=90", "references=off"])],
    _write,
)  # fmt: skip
