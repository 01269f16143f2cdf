"""What happens to regression targets before training: outliers first, then a transform fitted on what is kept.

Only the training split is ever dropped or clipped. Validation and test keep their true targets, and predictions come
back through `inverse`, so a metric in the target's own units is comparable whatever a trial chose here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.training.task import Split
from hpo.training.vocabulary.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

MINIMUM_KEPT = 2  # rows; fewer have no spread to learn from
_HEADROOM = 10.0  # predictions may leave the training targets' range by this many ranges, no further

Map = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class OutlierRule:
    """A way to treat outlying training rows.

    apply: (x [N, features], y [N], parameters) to (keep [N] of bool, new y [N]); float64.
    """

    name: str
    apply: Callable[[NDArray[Any], NDArray[Any], Mapping[str, Any]], tuple[NDArray[Any], NDArray[Any]]]
    takes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class FittedTransform:
    """The way from a target's own units to the model's scale and back; facts: the numbers that were fitted."""

    forward: Map
    inverse: Map
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetTransform:
    """A monotone map of targets. fit: training targets [N] (float64) to the maps, both elementwise."""

    name: str
    fit: Callable[[NDArray[Any]], FittedTransform]
    takes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedTargets:
    """The training split as the model sees it, and the way between the two scales.

    train: the rows kept, with transformed targets (float32).
    forward: the target's own units to the model's scale. inverse: back. Both take tensors of any shape; finite in,
        finite out. What is not finite stays as it is, so that a diverged model is still seen.
    rows: which rows of the training split those are, int64 [kept]; None: all.
    kept: rows of `train`.
    transform: the name of the target transform, and what was fitted.
    """

    train: Split
    forward: Map
    inverse: Map
    kept: int
    rows: Tensor | None = None
    transform: Mapping[str, Any] = field(default_factory=dict)


def prepare_targets(train: Split, params: Mapping[str, Any]) -> PreparedTargets:
    """Treat outliers among the training rows, then fit and apply the target transform.

    params: hyperparameters; the defaults stand in for those that are missing.
    Raises ValueError if an outlier rule keeps fewer than two rows.
    """
    defaults = {name: known.default for name, known in (OUTLIERS.known() | TARGET_TRANSFORMS.known()).items()}
    settings = {name: params.get(name, default) for name, default in defaults.items()}
    x = train.x.detach().cpu().numpy().reshape(len(train), -1)
    y = train.y.detach().cpu().numpy().astype(np.float64)
    rule = OUTLIERS[settings["outliers"]]
    keep, y = rule.apply(x, y, settings)
    kept = int(keep.sum())
    if kept < MINIMUM_KEPT:
        told = ", ".join(f"{name}={settings[name]}" for name in ("outliers", *rule.takes))
        raise ValueError(f"at least {MINIMUM_KEPT} training rows must remain, but {told} keeps {kept} of {len(train)}")
    choice = TARGET_TRANSFORMS[settings["target_transform"]]
    fitted = choice.fit(y[keep])
    targets = fitted.forward(torch.from_numpy(y[keep])).to(train.x.device, torch.float32)
    transform = {"name": choice.name, **fitted.facts}
    if kept == len(train):
        whole = Split(train.x, targets, train.weight)
        return PreparedTargets(whole, fitted.forward, fitted.inverse, kept, transform=transform)
    rows = torch.from_numpy(keep.nonzero()[0]).to(train.x.device)
    weight = None if train.weight is None else train.weight[rows]
    return PreparedTargets(Split(train.x[rows], targets, weight), fitted.forward, fitted.inverse, kept, rows, transform)


def remembering() -> Callable[[Split, Mapping[str, Any]], PreparedTargets]:
    """Return a `prepare_targets` that does the same work for the same training split once only."""
    names = [*OUTLIERS.known(), *TARGET_TRANSFORMS.known()]
    known: dict[tuple[int, str], tuple[Split, PreparedTargets]] = {}

    def prepare(train: Split, params: Mapping[str, Any]) -> PreparedTargets:
        key = id(train.y), repr([params.get(name) for name in names])
        if key not in known:
            known[key] = train, prepare_targets(train, params)  # the split is kept, so that its id is no other's
        return known[key][1]

    return prepare


def _keep_all(x: NDArray[Any], y: NDArray[Any], params: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.ones(len(y), dtype=bool), y


def _zscore(x: NDArray[Any], y: NDArray[Any], params: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.abs(y - y.mean()) <= params["zscore_threshold"] * y.std(), y


def _iqr(x: NDArray[Any], y: NDArray[Any], params: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Tukey's fences (Exploratory Data Analysis, 1977)."""
    low, high = np.quantile(y, [0.25, 0.75])
    reach = params["iqr_factor"] * (high - low)
    return (y >= low - reach) & (y <= high + reach), y


def _isolation_forest(x: NDArray[Any], y: NDArray[Any], params: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Liu, Ting and Zhou (2008), on features and target together: a row may be odd only in their combination."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(contamination=params["contamination"], random_state=0)
    return forest.fit_predict(np.column_stack([x, y])) == 1, y


def _winsorize(x: NDArray[Any], y: NDArray[Any], params: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    share = params["winsorize_share"]
    low, high = np.quantile(y, [share, 1 - share])
    return np.ones(len(y), dtype=bool), y.clip(low, high)


OUTLIERS: Registry[OutlierRule] = Registry(
    "outliers",
    "none",
    [
        OutlierRule("none", _keep_all),
        OutlierRule("zscore", _zscore, takes=("zscore_threshold",), aliases=("z_score",)),
        OutlierRule("iqr", _iqr, takes=("iqr_factor",), aliases=("tukey",)),
        OutlierRule("isolation_forest", _isolation_forest, takes=("contamination",), aliases=("iforest",)),
        OutlierRule("winsorize", _winsorize, takes=("winsorize_share",), aliases=("clip",)),
    ],
    {
        "zscore_threshold": Known("float", 3.0, "drop rows further from the mean, in deviations", (), "(0, inf)"),
        "iqr_factor": Known("float", 1.5, "drop rows outside the quartiles, in their ranges", (), "(0, inf)"),
        "contamination": Known("float", 0.1, "share of the rows to drop", within="(0, 0.5]"),
        "winsorize_share": Known("float", 0.05, "share of the targets to clip on each side", within="[0, 0.5)"),
    },
)


def _spread(values: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation; 1 for the deviation of a constant."""
    mean, deviation = float(values.mean()), float(values.std())
    return mean, deviation if deviation > 1e-12 * max(1.0, abs(mean)) else 1.0


def _identity(y: NDArray[Any]) -> FittedTransform:
    return FittedTransform(lambda target: target, lambda output: output)


def _standardize(y: NDArray[Any]) -> FittedTransform:
    mean, deviation = _spread(y)
    return FittedTransform(
        lambda target: (target - mean) / deviation,
        lambda output: output * deviation + mean,
        {"mean": mean, "deviation": deviation},
    )


def _log(y: NDArray[Any]) -> FittedTransform:
    """log1p(y - lowest training target), so any real target is allowed; then standardised.

    A target below the lowest one (only validation and test can have it) counts as the lowest.
    """
    lowest = float(y.min())
    return _standardised(
        y,
        lambda target: (target - lowest).clamp(min=0).log1p(),
        lambda output: output.expm1() + lowest,
        {"lowest": lowest},
    )


def _sqrt(y: NDArray[Any]) -> FittedTransform:
    """sqrt(y - lowest training target), so any real target is allowed; then standardised.

    A target below the lowest one (only validation and test can have it) counts as the lowest.
    """
    lowest = float(y.min())
    return _standardised(
        y,
        lambda target: (target - lowest).clamp(min=0).sqrt(),
        lambda output: output.clamp(min=0).square() + lowest,
        {"lowest": lowest},
    )


def _box_cox_of(y: NDArray[Any]) -> FittedTransform:
    """Box and Cox (1964), lambda by scikit-learn's maximum likelihood; then standardised.

    The transform is for positive targets. Where some are not, it has the paper's second parameter, a shift: all are
    moved up so far that the lowest is one median absolute deviation above 0. A target below the lowest one counts as
    the lowest. Fitted on y / median, since powers of large numbers overflow.
    """
    from sklearn.preprocessing import PowerTransformer

    lowest = float(y.min())
    shift = 0.0
    if lowest <= 0:
        shift = _unit(y) - lowest
    unit = float(np.median(y)) + shift
    power = 1.0  # what is constant has no likelihood
    if lowest < y.max():
        fitted = PowerTransformer("box-cox", standardize=False).fit(((y + shift) / unit)[:, None])
        power = _tame(fitted.lambdas_[0])
    return _standardised(
        y,
        lambda target: _box_cox((target.clamp(min=lowest) + shift) / unit - 1, power),
        lambda output: (_box_cox_inverse(output, power) + 1) * unit - shift,
        {"lowest": lowest, "shift": shift, "unit": unit, "power": power},
    )


def _yeo_johnson(y: NDArray[Any]) -> FittedTransform:
    """Yeo and Johnson (2000), lambda by scikit-learn's maximum likelihood; then standardised.

    Fitted on (y - median) / (median absolute deviation): the transform is not free of scale, and on raw targets such as
    1e6 +- 10 its powers overflow.
    """
    from sklearn.preprocessing import PowerTransformer

    median, unit = float(np.median(y)), _unit(y)
    fitted = PowerTransformer("yeo-johnson", standardize=False).fit(((y - median) / unit)[:, None])
    power = _tame(fitted.lambdas_[0])

    def raw(target: Tensor) -> Tensor:
        scaled = (target - median) / unit
        above, below = _box_cox(scaled.clamp(min=0), power), _box_cox(-scaled.clamp(max=0), 2 - power)
        return torch.where(scaled >= 0, above, -below)

    def back(output: Tensor) -> Tensor:
        above, below = _box_cox_inverse(output.clamp(min=0), power), _box_cox_inverse(-output.clamp(max=0), 2 - power)
        return torch.where(output >= 0, above, -below) * unit + median

    return _standardised(y, raw, back, {"median": median, "unit": unit, "power": power})


def _unit(y: NDArray[Any]) -> float:
    """Return the median absolute deviation, or the standard deviation where that is 0."""
    return float(np.median(np.abs(y - np.median(y)))) or _spread(y)[1]


def _tame(power: float) -> float:
    """Return a fitted power, no further out than float32 can still tell neighbouring values apart."""
    return float(np.clip(power, -2, 4))


def _box_cox(values: Tensor, power: float) -> Tensor:
    """((1 + v)^power - 1) / power for v > -1; log(1 + v) at power 0. expm1 keeps digits near power 0."""
    logs = values.log1p()
    return logs if power == 0 else (logs * power).expm1() / power


def _box_cox_inverse(values: Tensor, power: float) -> Tensor:
    if power == 0:
        return values.expm1()
    # With a negative power the values end below -1 / power: what rounding puts beyond counts as just below.
    return ((values * power).clamp(min=-1 + 1e-7).log1p() / power).expm1()


def _standardised(y: NDArray[Any], raw: Map, back: Map, facts: Mapping[str, float]) -> FittedTransform:
    """Add standardising to a map, and keep its inverse inside a sane range of the training targets `y`."""
    low, high = float(y.min()), float(y.max())
    room = _HEADROOM * (high - low)
    mean, deviation = _spread(raw(torch.from_numpy(y)).numpy())

    def forward(target: Tensor) -> Tensor:
        return (raw(target) - mean) / deviation

    def inverse(output: Tensor) -> Tensor:
        # An exponential that overflows becomes the highest sane value; infinite input stays infinite.
        target = back(output * deviation + mean).clamp(low - room, high + room)
        return torch.where(output.isfinite(), target, output)

    bounds = {"mean": mean, "deviation": deviation, "low": low - room, "high": high + room}
    return FittedTransform(forward, inverse, {**facts, **bounds})


TARGET_TRANSFORMS: Registry[TargetTransform] = Registry(
    "target_transform",
    "none",
    [
        TargetTransform("none", _identity, aliases=("identity",)),
        TargetTransform("standardize", _standardize, aliases=("standardise", "zscore", "standard")),
        TargetTransform("log", _log, aliases=("log1p",)),
        TargetTransform("sqrt", _sqrt, aliases=("square_root",)),
        TargetTransform("box_cox", _box_cox_of, aliases=("box-cox", "boxcox")),
        TargetTransform("yeo_johnson", _yeo_johnson, aliases=("power", "yeo-johnson")),
    ],
)

STANDARDIZED_TARGET = {
    "target_transform": replace(
        TARGET_TRANSFORMS.known()["target_transform"],
        default="standardize",
        # Of standardized targets these reach a part only.
        default_where={"output_activation": dict.fromkeys(("relu", "softplus", "sigmoid", "tanh"), "none")},
        mixes=True,
    )
}
"""For the `parameters` of a regression task: targets are standardized for training where a sweep file says nothing.

Weights are drawn, and learning rates chosen, for outputs of about 1: targets far from that diverge or take long. Not
for a model that says something of the target's own scale, such as one that can't be negative.
"""
