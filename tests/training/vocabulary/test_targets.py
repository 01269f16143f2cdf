"""Outliers and target transforms: every entry of both registries, and what each is for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch

from hpo.training.contract import contract_of, with_defaults
from hpo.training.task import Split
from hpo.training.vocabulary.targets import OUTLIERS, TARGET_TRANSFORMS, prepare_targets


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(rows: int = 400) -> Split:
    return Split(torch.randn(rows, 3, generator=generator()), 10 + 2 * torch.randn(rows, generator=generator(1)))


def spoilt() -> tuple[Split, torch.Tensor]:
    """Return rows of which 10 have a target far off, and where they are."""
    split = normal()
    bad = torch.zeros(400, dtype=torch.bool)
    bad[::40] = True
    return Split(split.x, torch.where(bad, split.y + 60, split.y)), bad


TARGETS = {
    "normal": normal().y,
    "far from zero": 1e6 + 10 * torch.randn(300, generator=generator()),
    "tiny": 1e-6 * torch.randn(300, generator=generator()),
    "skewed": (12 + 2 * torch.randn(300, generator=generator())).exp(),
    "skewed to the left": -(3 + torch.randn(300, generator=generator())).exp(),
    "one giant": torch.cat([torch.zeros(99), torch.tensor([1e9])]),
    "constant": torch.full((50,), 3.7),
    "two rows": torch.tensor([1.0, 2.0]),
}


@pytest.mark.parametrize("transform", TARGET_TRANSFORMS.names())
@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS.keys())
def test_every_transform_comes_back(transform: str, y: torch.Tensor) -> None:
    prepared = prepare_targets(Split(torch.zeros(len(y), 1), y), {"target_transform": transform})
    span = (y.max() - y.min()).clamp(min=1e-9)
    assert prepared.kept == len(y) and prepared.train.y.dtype == torch.float32
    assert ((prepared.inverse(prepared.train.y) - y).abs() / span).max() < 2e-3  # float32, one giant, 1e6 +- 10
    assert torch.allclose(prepared.forward(y), prepared.train.y, atol=2e-2)
    grid = torch.linspace(-1e4, 1e4, 999).reshape(3, 333)  # what a model may say early on
    back = prepared.inverse(grid)
    assert back.shape == grid.shape and back.dtype == torch.float32 and back.isfinite().all()
    assert (back.flatten().diff() >= 0).all()
    unseen = torch.tensor([-1e9, -1.0, 0.0, 1.0, 1e9])
    assert prepared.forward(unseen).isfinite().all()
    assert (prepared.forward(unseen).diff() >= 0).all()


@pytest.mark.parametrize("transform", TARGET_TRANSFORMS.names())
def test_what_is_not_finite_stays_so(transform: str) -> None:
    """A diverged model must not look like one that predicts the largest sane value."""
    prepared = prepare_targets(normal(), {"target_transform": transform})
    assert not prepared.inverse(torch.tensor([float("nan"), float("inf"), -float("inf")])).isfinite().any()


@pytest.mark.parametrize("transform", [name for name in TARGET_TRANSFORMS.names() if name != "none"])
def test_transformed_targets_are_standardised(transform: str) -> None:
    y = prepare_targets(normal(), {"target_transform": transform}).train.y
    assert y.mean().abs() < 1e-5 and y.std(correction=0).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("transform", ["log", "box_cox", "yeo_johnson"])
def test_skewed_targets_become_less_so(transform: str) -> None:
    y = TARGETS["skewed"]

    def skew(values: torch.Tensor) -> float:
        return float((((values - values.mean()) / values.std()) ** 3).mean())

    assert skew(y) > 4
    prepared = prepare_targets(Split(torch.zeros(len(y), 1), y), {"target_transform": transform})
    assert abs(skew(prepared.train.y)) < 2


def test_yeo_johnson_agrees_with_scikit_learn() -> None:
    from sklearn.preprocessing import PowerTransformer

    y = normal().y.double()
    scaled = (y - y.quantile(0.5)) / (y - y.quantile(0.5)).abs().quantile(0.5)
    theirs = PowerTransformer("yeo-johnson").fit_transform(scaled[:, None].numpy())[:, 0]
    ours = prepare_targets(normal(), {"target_transform": "yeo_johnson"}).train.y
    assert torch.allclose(ours, torch.tensor(theirs, dtype=torch.float32), atol=1e-3)


@pytest.mark.parametrize("rule", [rule.name for rule in OUTLIERS if rule.name != "none"])
def test_every_rule_finds_the_outliers(rule: str) -> None:
    split, bad = spoilt()
    prepared = prepare_targets(split, {"outliers": rule})
    assert prepared.train.y.max() < 30 < split.y.max()
    assert len(prepared.train.x) == len(prepared.train.y) == prepared.kept
    if rule == "winsorize":
        assert prepared.kept == 400
        assert prepared.train.y.unique(return_counts=True)[1].tolist().count(20) == 2  # 5 per cent at each end
    else:
        # The rows that are left are those of the input, untouched and in order; isolation_forest drops a tenth.
        kept = [row.tolist() for row in prepared.train.x]
        assert kept == [row.tolist() for row in split.x if row.tolist() in kept]
        assert not any(row.tolist() in kept for row in split.x[bad])
        assert 350 <= prepared.kept <= 390


@pytest.mark.parametrize("outliers", OUTLIERS.names())
def test_the_input_is_left_alone(outliers: str) -> None:
    split, _ = spoilt()
    x, y = split.x.clone(), split.y.clone()
    prepare_targets(split, {"outliers": outliers, "target_transform": "standardize"})
    assert torch.equal(split.x, x) and torch.equal(split.y, y)


@pytest.mark.parametrize(
    ("rule", "name", "mild", "strict"),
    [
        ("zscore", "zscore_threshold", 3.0, 0.3),
        ("iqr", "iqr_factor", 3.0, 0.5),
        ("isolation_forest", "contamination", 0.05, 0.4),
    ],
)
def test_parameters_matter_and_have_defaults(rule: str, name: str, mild: float, strict: float) -> None:
    kept = [prepare_targets(spoilt()[0], {"outliers": rule, name: value}).kept for value in (mild, strict)]
    assert kept[0] > kept[1]
    default = OUTLIERS.known()[name].default
    named, left_out = ({"outliers": rule, name: default}, {"outliers": rule})
    assert prepare_targets(spoilt()[0], named).kept == prepare_targets(spoilt()[0], left_out).kept


def test_outliers_go_before_the_transform_is_fitted() -> None:
    split, _ = spoilt()
    prepared = prepare_targets(split, {"outliers": "iqr", "target_transform": "standardize"})
    assert prepared.train.y.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert prepared.inverse(torch.zeros(1)).item() == pytest.approx(10, abs=0.5)  # the mean of what is kept


def test_too_few_rows_left() -> None:
    with pytest.raises(ValueError, match=r"at least 2 .* but outliers=zscore, zscore_threshold=1e-09 keeps 0 of 400"):
        prepare_targets(normal(), {"outliers": "zscore", "zscore_threshold": 1e-9})


def test_no_parameters_change_nothing() -> None:
    split = normal()
    prepared = prepare_targets(split, {})
    assert torch.equal(prepared.train.y, split.y) and torch.equal(prepared.train.x, split.x)


def test_pictures_as_features() -> None:
    split = Split(torch.randint(255, (40, 3, 4, 4), dtype=torch.uint8, generator=generator()), torch.arange(40.0))
    prepared = prepare_targets(split, {"outliers": "isolation_forest"})
    assert prepared.train.x.shape == (36, 3, 4, 4) and prepared.train.x.dtype == torch.uint8


@pytest.mark.parametrize("registry", [OUTLIERS, TARGET_TRANSFORMS], ids=["outliers", "target_transform"])
def test_aliases_and_the_contract(registry: Any) -> None:
    for alias, name in registry.aliases.items():
        assert registry[alias] is registry[name]
    for name, known in registry.known().items():
        assert known.objection(known.default) == "", name
        assert known.help
    with pytest.raises(ValueError, match="unknown"):
        registry["nothing"]


@pytest.mark.parametrize("name", ["regression", "sequence"])
@pytest.mark.parametrize(
    ("params", "transform"),
    [
        ({}, "standardize"),
        ({"output_activation": "default"}, "standardize"),
        ({"output_activation": "linear"}, "standardize"),
        ({"output_activation": "relu"}, "none"),
        ({"output_activation": "tanh"}, "none"),
        ({"output_activation": "relu", "target_transform": "zscore"}, "standardize"),
        ({"target_transform": "none"}, "none"),
    ],
)
def test_the_shipped_regressions_standardize_targets_where_outputs_have_no_bounds(
    name: str, params: dict[str, Any], transform: str
) -> None:
    contract = contract_of(import_module(f"objectives.{name}").objective())
    assert with_defaults(contract, params)["target_transform"] == transform
    known = contract.parameters["target_transform"]
    assert known.mixes and known.choices == TARGET_TRANSFORMS.names()
