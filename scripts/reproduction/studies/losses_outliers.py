"""losses_outliers: some training targets are far off. A robust loss, dropped rows, a tamed target, or trees?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproduction.claims import Claim, Verdict, all_of, better, mean
from reproduction.numbers import show
from reproduction.shares import by_seed
from reproduction.study import Run, Study
from reproduction.writing import Writer, heat_map

if TYPE_CHECKING:
    import pandas as pd

_SHARES = (0, 0.05, 0.1, 0.2)
_SPOILT = _SHARES[1:]
_LOSSES = {
    "mse": "MSE",
    "mae": "MAE",
    "huber": "Huber (delta 1)",
    "quantile": "quantile (tau 0.5)",
    "log_cosh": "log-cosh",
}
_HANDLING = ("none", "zscore", "iqr", "isolation_forest", "winsorize")
_TRANSFORMS = ("standardize", "log", "sqrt", "box_cox", "yeo_johnson")
_OF_TRANSFORMS = "losses_outliers_transforms"
_MIDDLE = 0.1  # the share at which transforms are compared


def _name(share: float) -> str:
    return f"losses_outliers_{share}"


def _write(page: Writer) -> list[Claim]:
    trials = {share: page.result(_name(share)).trials for share in _SHARES}
    page.text(
        f"""A smooth function of five numbers, with noise of deviation 1; a share of the *training* targets is moved up by 5 to 10
        standard deviations. Validation targets are clean, so an RMSE near 1 is the best that anything could reach. Each of
        {len(_LOSSES)} losses with each of {len(_HANDLING)} ways to handle outliers, {trials[0]["param_seed"].nunique()} seeds, targets
        standardised; scikit-learn's models have their defaults and see the same rows."""
    )
    columns = [f"{100 * share:.0f} % outliers" for share in _SHARES]
    page.table(
        ["validation RMSE, mean (95 %)", *columns],
        [
            *([f"{words}, nothing handled", *(str(mean(_rmse(trials[share], loss))) for share in _SHARES)]
              for loss, words in _LOSSES.items()),
            *([f"MSE, {way}", *(str(mean(_rmse(trials[share], "mse", way))) for share in _SHARES)] for way in _HANDLING[1:]),
            *_trees(page),
        ],
    )  # fmt: skip
    with page.plot(
        "losses_outliers", "error by loss and handling, at each share of outliers", columns=3, height=2.8
    ) as axes:
        for axis, share in zip(axes, _SPOILT, strict=True):
            cells = [[mean(_rmse(trials[share], loss, way)).value for way in _HANDLING] for loss in _LOSSES]
            heat_map(
                axis, cells, list(_LOSSES) if axis is axes[0] else [""] * len(_LOSSES), _HANDLING, cmap="viridis_r"
            )
            axis.set_title(f"{100 * share:.0f} % outliers: RMSE", fontsize="medium")
            axis.tick_params(axis="x", rotation=40, labelsize="small")
            axis.set_xlabel("outliers handled by")
        axes[0].set_ylabel("loss")
    page.text(
        "The mean over seeds of each loss with each way to handle outliers; bright is better, each picture by itself."
    )
    _write_transforms(page)
    return [
        *(_against_mse(page, loss) for loss in ("mae", "huber", "log_cosh")),
        _clean(page),
        *(_handling(page, way) for way in _HANDLING[1:]),
        *(_transform(page, name) for name in ("log", "sqrt", "box_cox")),
        _trees_stand(page, trials),
    ]


def _rmse(trials: pd.DataFrame, loss: str, way: str = "none") -> pd.Series:
    return by_seed(trials[(trials["loss"] == loss) & (trials["outliers"] == way)], "val_rmse")


def _trees(page: Writer) -> list[list[object]]:
    """Return what forest and boosting reach, a row each."""
    found: dict[str, list[object]] = {}
    for share in _SHARES:
        for model in page.references(_name(share), "val_rmse"):
            if model.name in {"random_forest", "gradient_boosting"}:
                found.setdefault(f"scikit-learn's {model.words}", []).append(model.value)
    return [[words, *values] for words, values in found.items()]


def _write_transforms(page: Writer) -> None:
    trials = page.result(_OF_TRANSFORMS).trials
    rows: list[list[object]] = []
    for name in _TRANSFORMS:
        chosen = trials[trials["target_transform"] == name]
        rows.append([name, *(str(mean(_rmse(chosen, loss))) for loss in ("mse", "mae", "huber"))])
    page.table([f"target transform, {100 * _MIDDLE:.0f} % outliers, RMSE", "MSE", "MAE", "Huber"], rows)


def _each(judged: dict[float, tuple[Verdict, str]]) -> tuple[Verdict, str]:
    told = "; ".join(f"at {100 * share:.0f} %: {words}" for share, (_, words) in judged.items())
    return all_of(verdict for verdict, _ in judged.values()), told[0].upper() + told[1:]


def _against_mse(page: Writer, loss: str) -> Claim:
    where = f"outliers == 'none' and loss in ['{loss}', 'mse']"
    judged = {
        share: better(page.result(_name(share)).compare(by="loss", where=where), loss, "mse") for share in _SPOILT
    }
    return Claim(f"{_LOSSES[loss]} is more robust to outliers than MSE", *_each(judged))


def _clean(page: Writer) -> Claim:
    where = "outliers == 'none' and loss in ['mae', 'mse']"
    judged = better(page.result(_name(0)).compare(by="loss", where=where), "mse", "mae")
    return Claim("without outliers MSE is better than MAE", *judged)


def _handling(page: Writer, way: str) -> Claim:
    where = f"loss == 'mse' and outliers in ['none', '{way}']"
    judged = {
        share: better(page.result(_name(share)).compare(by="outliers", where=where), way, "none") for share in _SPOILT
    }
    return Claim(f"with MSE, outliers handled by {way} do less harm", *_each(judged))


def _transform(page: Writer, name: str) -> Claim:
    where = f"loss == 'mse' and target_transform in ['standardize', '{name}']"
    compared = page.result(_OF_TRANSFORMS).compare(by="target_transform", where=where)
    text = f"with MSE, the target transform {name} tames outliers, beside standardising"
    verdict, words = better(compared, name, "standardize")
    return Claim(text, verdict, f"At {100 * _MIDDLE:.0f} %: {words}")


def _trees_stand(page: Writer, trials: dict[float, pd.DataFrame]) -> Claim:
    """Trees have no seeds here: their one value is set beside the interval of the network's mean."""
    text = "tree ensembles are an alternative: better than the network with MSE where nothing is handled"
    verdicts, told = [], []
    for share in _SPOILT:
        network = mean(_rmse(trials[share], "mse"))
        models = [
            each
            for each in page.references(_name(share), "val_rmse")
            if each.name in {"random_forest", "gradient_boosting"}
        ]
        if network.count < 2 or not models:
            continue
        for model in models:
            verdicts.append(
                Verdict.HOLDS
                if model.value < network.low
                else Verdict.FAILS
                if model.value > network.high
                else Verdict.UNKNOWN
            )
        told.append(
            f"at {100 * share:.0f} %: {', '.join(f'{model.words} {show(model.value)}' for model in models)}, network {network}"
        )
    if not told:
        return Claim(text, Verdict.UNKNOWN, "Too few runs, or no references")
    return Claim(text, all_of(verdicts), f"RMSE {'; '.join(told)}; better is below the network's interval")


_QUICK = [
    "parameters.seed.max=1",
    "parameters.epochs.value=1",
    "data.rows=100",
    "references=[random_forest, gradient_boosting]",
]

LOSSES_OUTLIERS = Study(
    "losses_outliers",
    "Outliers",
    "training targets that are far off: a robust loss, dropped outliers, a tamed target, or trees?",
    [
        *(Run("losses_outliers", _name(share), [f"data.outliers={share}"], _QUICK) for share in _SHARES),
        Run(
            "losses_outliers",
            _OF_TRANSFORMS,
            [
                f"data.outliers={_MIDDLE}",
                "parameters.outliers={value: none}",
                f"parameters.target_transform={{values: [{', '.join(_TRANSFORMS)}]}}",
            ],
            _QUICK,
        ),
    ],
    _write,
)
