"""In a cohort each trial gets the numbers that it gets alone: for every entry of every registry, and for mixtures.

Avoided on purpose: parameters whose gradient is zero but for rounding (a bias right before batch norm; batch norm's
own bias before a linear activation, a linear layer and another batch norm). Adam-like optimizers turn that noise into
whole steps, which no two ways of computing share.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.spec.contract import Known
from hpo.training.layers import SqueezeLast
from hpo.training.models import RECURRENT_PARAMETERS, recurrent
from hpo.training.task import Kind, Split, Splits, TorchTask
from hpo.training.vocabulary.activations import ACTIVATIONS, make_activation
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.labels import CURRICULA, SUSPECT_LABELS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.output_activations import known_output_activation
from hpo.training.vocabulary.schedules import SCHEDULES
from hpo.training.vocabulary.targets import OUTLIERS, TARGET_TRANSFORMS
from hpo.training.vocabulary.thresholds import THRESHOLD_RULES

from ..tiny import KINDS, assert_equal_to_alone, default_dtype, splits_of, task_of

pytestmark = pytest.mark.slow

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"], indirect=True)

# Values for every hyperparameter that an entry of a registry takes; members get different ones. A new hyperparameter
# needs a line here: without one its tests fail.
VALUES: dict[str, list[Any]] = {
    # optimizers
    "learning_rate": [0.003, 0.01, 0.001, 0.03, 0.002],
    "momentum": [0.9, 0.0, 0.5, 0.9, 0.7],
    "nesterov": [True, True, False, False, True],
    "weight_decay": [0.0, 0.1, 0.01, 0.001, 0.2],
    "beta1": [0.9, 0.0, 0.5, 0.95, 0.8],
    "beta2": [0.999, 0.9, 0.5, 0.99, 0.95],  # with 0.5 RAdam never rectifies
    "eps": [1e-8, 1e-3, 1e-6, 1e-2, 1e-7],
    "alpha": [0.99, 0.0, 0.9, 0.5, 0.95],
    # losses
    "output_activation": ["default", "default", "default", "tanh", "default"],  # see test_output_activations
    "pos_weight": [None, 3.0, 0.5, 1.0, 2.0],
    "focal_gamma": [2.0, 0.0, 0.5, 1.0, 3.0],
    "focal_alpha": [0.25, 0.5, 0.75, 0.1, 0.9],
    "class_weight_power": [1.0, 0.0, 0.5, 2.0, 1.5],
    "smoothing": [0.1, 0.0, 0.3, 0.05, 0.5],
    "huber_delta": [1.0, 0.1, 0.5, 2.0, 10.0],
    "quantile": [0.5, 0.1, 0.9, 0.25, 0.75],
    # initializers
    "init_scale": [1.0, 0.1, 2.0, 0.5, 3.0],
    # schedules: so short that each acts within three epochs
    "step_size": [1, 2, 1, 2, 1],
    "step_gamma": [0.1, 0.5, 0.9, 0.3, 1.0],
    "exponential_gamma": [0.95, 0.5, 0.1, 0.9, 1.0],
    "pct_start": [0.3, 0.5, 0.1, 0.7, 0.9],
    "div_factor": [25.0, 2.0, 10.0, 1.0, 5.0],
    "final_div_factor": [1e4, 10.0, 1.0, 100.0, 2.0],
    "eta_min_ratio": [0.0, 0.1, 0.5, 1.0, 0.01],
    "t_0": [1, 2, 1, 2, 1],
    "t_mult": [1, 1, 2, 2, 3],
    "plateau_factor": [0.1, 0.5, 0.9, 0.3, 0.2],
    "plateau_patience": [0, 1, 0, 1, 0],
    "warmup_epochs": [1.0, 0.5, 0.0, 1.7, 3.0],
    # what is done to targets
    "zscore_threshold": [1.0, 1.5, 2.0, 2.5, 1.2],
    "iqr_factor": [0.2, 0.5, 1.0, 0.3, 0.7],
    "winsorize_share": [0.05, 0.1, 0.2, 0.15, 0.01],
    "contamination": [0.1, 0.05, 0.2, 0.3, 0.15],
    # where the line between two classes is drawn
    "threshold": [0.5, 0.3, 0.7, 0.1, 0.5],
    # what is done about labels
    "suspect_weight": [0.0, 0.5, 0.1, 0.0, 0.9],
    "curriculum_start": [0.5, 0.1, 0.3, 1.0, 0.8],
    "curriculum_epochs": [2, 3, 1, 5, 2],
}
ROWS, BASE = 41, {"hidden_layers": [6], "batch_size": 16}  # the last of three batches has 9 rows


def values_of(takes: tuple[str, ...], member: int) -> dict[str, Any]:
    """Return a value for each of these hyperparameters, different from member to member."""
    return {name: VALUES[name][member % len(VALUES[name])] for name in takes}


@pytest.fixture
def dtype(request: pytest.FixtureRequest) -> Iterator[torch.dtype]:
    with default_dtype(getattr(request, "param", torch.float64)):
        yield torch.get_default_dtype()


@DTYPES
@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_optimizers_with_different_hyperparameters(optimizer: str, dtype: torch.dtype) -> None:
    takes = OPTIMIZERS[optimizer].takes
    params = [{**BASE, "optimizer": optimizer, **values_of(takes, member)} for member in range(5)]
    assert_equal_to_alone(task_of("regression"), splits_of("regression", ROWS), params, epochs=3)


@DTYPES
@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
@pytest.mark.parametrize("member", [0, 1, 3])
def test_optimizers_with_the_same_hyperparameters(optimizer: str, member: int, dtype: torch.dtype) -> None:
    """A number that all members share is a float instead of a column, and takes other functions."""
    takes = OPTIMIZERS[optimizer].takes
    params = [{**BASE, "optimizer": optimizer, **values_of(takes, member)}] * 3
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_optimizers_with_defaults(optimizer: str, dtype: torch.dtype) -> None:
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), [{**BASE, "optimizer": optimizer}] * 2)


@DTYPES
@pytest.mark.parametrize(("kind", "loss"), [(kind, loss) for kind in KINDS for loss in LOSSES[kind].names()])
def test_losses(kind: Kind, loss: str, dtype: torch.dtype) -> None:
    takes = LOSSES[kind][loss].takes
    params = [{**BASE, "loss": loss, "learning_rate": 0.02, **values_of(takes, member)} for member in range(4)]
    assert_equal_to_alone(task_of(kind), splits_of(kind, ROWS), params)
    assert_equal_to_alone(task_of(kind), splits_of(kind, ROWS), [params[1]] * 2)  # the same value is no column


@pytest.mark.parametrize("kind", KINDS)
def test_losses_mixed(kind: Kind, dtype: torch.dtype) -> None:
    names = LOSSES[kind].names()
    params = [{**BASE, "loss": names[member % len(names)]} for member in range(2 * len(names))]
    assert_equal_to_alone(task_of(kind), splits_of(kind, ROWS), params)


@pytest.mark.parametrize("kind", KINDS)
def test_output_activations(kind: Kind, dtype: torch.dtype) -> None:
    """Each with each loss that takes one, twice with different parameters."""
    params = [
        {**BASE, "loss": choice.name, **values_of(choice.takes, member), "output_activation": activation}
        for choice in LOSSES[kind] if "output_activation" in choice.takes
        for activation in known_output_activation(kind).choices
        for member in range(2)
    ]  # fmt: skip
    assert_equal_to_alone(task_of(kind), splits_of(kind, ROWS), params)


@pytest.mark.parametrize("replay", [False, True])
def test_thresholds(dtype: torch.dtype, replay: bool) -> None:
    """Given and chosen ones side by side, a loss without any among them, and one whose outputs are clamped."""
    params: list[dict[str, Any]] = [
        {**BASE, "threshold_rule": rule.name, **values_of(rule.takes, member), "learning_rate": 0.01 * (1 + member)}
        for rule in THRESHOLD_RULES
        for member in range(3)
    ]
    params += [{**BASE, "loss": "hinge"}, {**params[-1], "loss": "mse", "output_activation": "linear"}]
    found = assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=3, replay=replay)
    chosen = [events[-2].metrics.get("val_threshold") for events, _ in found.values()]
    assert [each is not None for each in chosen] == [params_.get("threshold_rule") == "best_f1" for params_ in params]
    assert len(set(chosen)) > 3


@DTYPES
@pytest.mark.parametrize("activation", ACTIVATIONS.names())
def test_activations(activation: str, dtype: torch.dtype) -> None:
    params = [{**BASE, "hidden_layers": [6, 5], "activation": activation, "learning_rate": 0.02}] * 3
    assert_equal_to_alone(task_of("multiclass"), splits_of("multiclass", ROWS), params)


@DTYPES
def test_activations_mixed(dtype: torch.dtype) -> None:
    names = [*ACTIVATIONS.names(), "prelu", "relu"]
    params = [{**BASE, "hidden_layers": [6, 5], "activation": name, "weight_decay": 0.1} for name in names]
    found = assert_equal_to_alone(task_of("multiclass"), splits_of("multiclass", ROWS), params)
    slopes = [state["1.weight"] for _, state in found.values() if "1.weight" in state]
    assert len(slopes) == 2 and all(slope != 0.25 for slope in slopes)


@DTYPES
@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_schedules(schedule: str, dtype: torch.dtype) -> None:
    takes = SCHEDULES[schedule].takes
    params = [
        {**BASE, "optimizer": "sgd", "learning_rate": 0.1, "schedule": schedule, **values_of(takes, member)}
        for member in range(5)
    ]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=[3, 3, 3, 2, 1])


def test_schedules_mixed(dtype: torch.dtype) -> None:
    params = [{**BASE, "schedule": name, "learning_rate": 0.02} for name in SCHEDULES.names()]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=3)


def test_a_plateau_that_happens(dtype: torch.dtype) -> None:
    """Rates so high that the validation loss rises: the reduced members must end elsewhere than unreduced ones."""
    base = {**BASE, "optimizer": "sgd", "learning_rate": 3.0}
    plateau = {"schedule": "reduce_on_plateau", "plateau_patience": 0, "plateau_factor": 0.01}
    params = [{**base, **plateau}, base, {**base, **plateau, "plateau_factor": 0.5}]
    found = assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=8)
    losses = [event.metrics["val_loss"] for event in found[10][0][:-1]]
    assert any(later > sooner for sooner, later in itertools.pairwise(losses[:-1]))
    calm = [abs(later - sooner) for sooner, later in itertools.pairwise(losses)]
    assert calm[-1] < 0.01 * max(calm)  # it was reduced


@pytest.mark.parametrize("initializer", INITIALIZERS.names())
def test_initializers(initializer: str, dtype: torch.dtype) -> None:
    others = [name for name in INITIALIZERS.names() if name != initializer]
    names = (initializer, initializer, *others[:2])
    params = [
        {**BASE, "initializer": name, **values_of(INITIALIZERS[name].takes, member)}
        for member, name in enumerate(names)
    ]
    assert_equal_to_alone(task_of("multiclass"), splits_of("multiclass", ROWS), params)


@DTYPES
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_clipping(optimizer: str, dtype: torch.dtype) -> None:
    clips: list[dict[str, Any]] = [
        {}, {"grad_clip_norm": 0.05}, {"grad_clip_value": 0.01}, {"grad_clip_norm": 0.1, "grad_clip_value": 0.02},
        {"grad_clip_norm": 1e6}, {"grad_clip_value": 1e6},
    ]  # fmt: skip
    base = {**BASE, "optimizer": optimizer, "learning_rate": 0.05}
    splits = splits_of("regression", ROWS)
    found = assert_equal_to_alone(task_of("regression"), splits, [{**base, **clip} for clip in clips])
    for clip in clips[1:4]:
        assert_equal_to_alone(task_of("regression"), splits, [{**base, **clip}] * 2)
    # The clips bite: the same seed without one ends elsewhere.
    free = assert_equal_to_alone(task_of("regression"), splits, [base] * 4)
    for number in (11, 12, 13):
        assert not torch.allclose(found[number][1]["0.weight"], free[number][1]["0.weight"])


@DTYPES
def test_dropout(dtype: torch.dtype) -> None:
    rates = [0.0, 0.3, 0.5, 0.3, 0.0, 0.9]
    params = [{**BASE, "hidden_layers": [6, 5, 4], "dropout": rate, "learning_rate": 0.02} for rate in rates]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params, epochs=3)
    assert_equal_to_alone(task_of("binary"), splits_of("binary", ROWS), params[1:2] * 3)


def test_dropout_over_more_batches_than_are_drawn_at_once(dtype: torch.dtype) -> None:
    params = [{**BASE, "batch_size": 3, "dropout": rate} for rate in (0.2, 0.0, 0.6)]
    assert_equal_to_alone(task_of("binary"), splits_of("binary", 61), params)


@DTYPES
@pytest.mark.parametrize("rows", [41, 48, 33])  # 33: a last batch of a single row, which is left out
def test_batch_norm(rows: int, dtype: torch.dtype) -> None:
    choices = [("relu", "adam"), ("tanh", "sgd"), ("gelu", "adamw"), ("prelu", "rmsprop"), ("elu", "adam")]
    params = [
        {**BASE, "hidden_layers": [6, 5], "batch_norm": True, "activation": activation, "optimizer": optimizer,
         "dropout": 0.2 * (member % 2), "learning_rate": 0.01}
        for member, (activation, optimizer) in enumerate(choices)
    ]  # fmt: skip
    found = assert_equal_to_alone(task_of("multiclass"), splits_of("multiclass", rows), params)
    for _, state in found.values():
        assert state["1.num_batches_tracked"] == 2 * (rows // 16 + (rows == 41))


@DTYPES
@pytest.mark.parametrize("hidden", [[6, 6, 6], [6, 6, 5], [4, 4]], ids=["one", "two", "no projections"])
def test_residual_blocks(hidden: list[int], dtype: torch.dtype) -> None:
    params = [
        {**BASE, "hidden_layers": hidden, "residual": True, "activation": activation, "dropout": dropout,
         "batch_norm": hidden[0] == 4, "optimizer": optimizer, "learning_rate": 0.01}
        for activation, dropout, optimizer in [("relu", 0.0, "adam"), ("tanh", 0.3, "sgd"), ("prelu", 0.0, "adamw")]
    ]  # fmt: skip
    assert_equal_to_alone(task_of("multiclass"), splits_of("multiclass", ROWS), params)


def conv_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    """One of every layer of images that a stack knows."""

    def act() -> nn.Module:
        return make_activation(params.get("activation", "relu"))

    layers = [
        nn.Conv2d(features[0], 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), act(), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, stride=1, padding="same", dilation=2), act()),
        nn.AvgPool2d(2, padding=1), nn.Dropout2d(params.get("dropout", 0.0)),
        nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(params.get("dropout", 0.0)),
        nn.Linear(20, outputs),
    ]  # fmt: skip
    return nn.Sequential(*layers, *([SqueezeLast()] if outputs == 1 else []))


def conv1d_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    layers = [
        nn.Conv1d(features[0], 4, 3, bias=False), nn.BatchNorm1d(4), nn.Tanh(), nn.AvgPool1d(2, stride=1),
        nn.MaxPool1d(2), nn.Linear(2, 3), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(8, outputs),
    ]  # fmt: skip
    return nn.Sequential(*layers)


def conv3d_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(features[0], 3, 2, bias=False), nn.BatchNorm3d(3), nn.ReLU(), nn.Flatten(), nn.Linear(24, outputs)
    )


@DTYPES
@pytest.mark.parametrize(
    ("net", "shape"), [(conv_net, (2, 8, 8)), (conv1d_net, (2, 8)), (conv3d_net, (1, 3, 3, 3))], ids=["2d", "1d", "3d"]
)
@pytest.mark.parametrize("rows", [41, 33])
def test_convolutional(net: Any, shape: tuple[int, ...], rows: int, dtype: torch.dtype) -> None:
    task = task_of("multiclass", model=lambda self, *args: net(*args))
    activations = ["relu", "tanh", "prelu"] if net is conv_net else ["relu"] * 3
    params = [
        {"batch_size": 16, "activation": activation, "dropout": rate, "learning_rate": 0.01}
        for activation, rate in zip(activations, (0.0, 0.3, 0.5), strict=True)
    ]
    assert_equal_to_alone(task, splits_of("multiclass", rows, shape=shape), params)


class Augmenting(TorchTask):
    """Adds noise of a strength of the trial's own, from its generator, while training; scales by it while measuring."""

    kind: Kind = "regression"

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        width = int(features[0])
        return nn.Sequential(
            nn.Linear(width, 5), nn.ReLU(), nn.Dropout(params["dropout"]), nn.Linear(5, 1), SqueezeLast()
        )

    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return x * (1 - params["dropout"])
        chance: Any = {"generator": generator, "device": generator.device}
        kept = torch.rand(len(x), 1, **chance) < 0.8  # what is drawn depends on the number of rows
        return torch.where(kept, x, x + torch.randn(x.shape, dtype=x.dtype, **chance))


@DTYPES
def test_augmentation_draws_from_each_members_generator(dtype: torch.dtype) -> None:
    params = [{"batch_size": 16, "dropout": rate, "learning_rate": 0.02} for rate in (0.1, 0.4, 0.0)]
    assert_equal_to_alone(Augmenting(), splits_of("regression", ROWS), params, epochs=3)


OUTLIER_PARAMS: list[dict[str, Any]] = [
    {"outliers": "none"},
    {"outliers": "zscore", "zscore_threshold": 0.9},
    {"outliers": "zscore", "zscore_threshold": 1.3},
    {"outliers": "iqr"},
]


def ragged_splits(rows: int = 120) -> Splits:
    """Splits of which OUTLIER_PARAMS keep different numbers of rows."""
    splits = splits_of("regression", rows)
    y = splits.train.y.clone()
    y[::11] *= 6
    return Splits(Split(splits.train.x, y), splits.validation, splits.test)


def weighted_splits(kind: Kind) -> Splits:
    """Splits with a weight for each training row, of which some are 0 and some labels are wrong."""
    splits = splits_of(kind, ROWS)
    y = splits.train.y.clone()
    y[::7] = 1 - y[::7] if kind != "multiclass" else (y[::7] + 1) % 3
    weight = torch.arange(ROWS).remainder(5).to(splits.train.x.dtype)
    return Splits(Split(splits.train.x, y, weight), splits.validation, splits.test, splits.outputs)


@DTYPES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", [0, 1])
def test_weights_of_rows(kind: Kind, loss: int, dtype: torch.dtype) -> None:
    """A column of weights, with what is done about labels beside it, differently in each member."""
    rules = {**SUSPECT_LABELS.known(), **CURRICULA.known()} if kind != "regression" else {}
    takes = tuple(name for name in rules if name not in ("suspect_labels", "curriculum"))
    chosen = [{}, {"suspect_labels": "downweight"}, {"curriculum": "easy_first"}]
    chosen.append({**chosen[1], **chosen[2]})
    params = [
        {**BASE, "loss": LOSSES[kind].names()[loss], **(each if rules else {}),
         **{name: value for name, value in values_of(takes, member).items() if _needed(rules[name], each)}}
        for member, each in enumerate(chosen)
    ]  # fmt: skip
    assert_equal_to_alone(task_of(kind), weighted_splits(kind), params, epochs=4)
    plain = splits_of(kind, ROWS)
    assert_equal_to_alone(task_of(kind), plain, params, epochs=3)  # some members have no weights at all


def _needed(known: Known, params: Mapping[str, Any]) -> bool:
    return all(params.get(name, "none") in values for name, values in known.requires.items())


@DTYPES
@pytest.mark.parametrize("transform", TARGET_TRANSFORMS.names())
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("batch_size", [8, 5])
def test_outlier_rules_that_drop_rows(batch_size: int, batch_norm: bool, transform: str, dtype: torch.dtype) -> None:
    """Members have different numbers of rows and of steps."""
    params = [
        {**each, "target_transform": transform, "batch_norm": batch_norm, "dropout": 0.2 * (member % 2),
         "batch_size": batch_size, "hidden_layers": [5], "schedule": SCHEDULES.names()[member],
         "optimizer": ["adam", "sgd"][member % 2], "learning_rate": 0.01}
        for member, each in enumerate([*OUTLIER_PARAMS, *OUTLIER_PARAMS[1:3]])
    ]  # fmt: skip
    assert_equal_to_alone(task_of("regression"), ragged_splits(), params)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_members_rest_with_every_optimizer(optimizer: str, dtype: torch.dtype) -> None:
    """A member that has done its steps of the epoch keeps its weights and its optimizer's state."""
    takes = OPTIMIZERS[optimizer].takes
    params = [
        {**each, "batch_size": 8, "hidden_layers": [5], "optimizer": optimizer, **values_of(takes, member)}
        for member, each in enumerate(OUTLIER_PARAMS)
    ]
    assert_equal_to_alone(task_of("regression"), ragged_splits(), params)


@pytest.mark.parametrize("rule", OUTLIERS.names())
def test_outlier_rules(rule: str, dtype: torch.dtype) -> None:
    params = [{**BASE, "outliers": rule, **values_of(OUTLIERS[rule].takes, member)} for member in range(4)]
    assert_equal_to_alone(task_of("regression"), ragged_splits(), params)


def test_augmentation_of_members_with_different_rows(dtype: torch.dtype) -> None:
    """Padding draws nothing: after a short batch a member's generator stands where it stands alone."""
    params = [{**each, "batch_size": 16, "dropout": 0.3} for each in OUTLIER_PARAMS]
    assert_equal_to_alone(Augmenting(), ragged_splits(), params, epochs=3)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_ragged_convolutions(dropout: float, dtype: torch.dtype) -> None:
    task = task_of("regression", model=lambda self, *args: conv_net(*args))
    params = [{**each, "batch_size": 8, "dropout": dropout} for each in OUTLIER_PARAMS]
    splits = splits_of("regression", 70, shape=(1, 8, 8))
    assert_equal_to_alone(task, splits, params)


@pytest.mark.parametrize("net", ["mean over all batches", "no statistics", "not affine"])
def test_unusual_batch_norm(net: str, dtype: torch.dtype) -> None:
    """Also where members have seen different numbers of batches, which a mean over all batches depends on."""
    options: dict[str, Any] = {
        "mean over all batches": {"momentum": None},
        "no statistics": {"track_running_stats": False},
        "not affine": {"affine": False, "momentum": 0.3, "eps": 1e-2},
    }[net]

    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        norm = nn.BatchNorm1d(5, **options)
        return nn.Sequential(nn.Linear(4, 5, bias=False), norm, nn.Tanh(), nn.Linear(5, 1), SqueezeLast())

    task = task_of("regression", model=model)
    params = [{**each, "batch_size": 8} for each in OUTLIER_PARAMS]
    assert_equal_to_alone(task, splits_of("regression", ROWS), params[:1] * 3)
    assert_equal_to_alone(task, ragged_splits(), params)


@DTYPES
@pytest.mark.parametrize("members", [1, 2, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_a_cohort(kind: Kind, members: int, dtype: torch.dtype) -> None:
    params = [{**BASE, "learning_rate": 0.001 * (1 + member), "dropout": 0.1} for member in range(members)]
    epochs = [1 + member % 3 for member in range(members)]
    found = assert_equal_to_alone(task_of(kind), splits_of(kind, ROWS), params, epochs)
    assert [len(events) - 1 for events, _ in found.values()] == epochs


def mixture(kind: Kind, rng: random.Random, batch_norm: bool) -> dict[str, Any]:
    """Return hyperparameters drawn from everything that members of one cohort may have different."""
    optimizer, loss = rng.choice(list(OPTIMIZERS)), rng.choice(list(LOSSES[kind]))
    schedule = rng.choice(list(SCHEDULES))
    names = [name for name in ACTIVATIONS.names() if not (batch_norm and name == "linear")]  # see above
    params: dict[str, Any] = {
        "optimizer": optimizer.name, "loss": loss.name, "schedule": schedule.name, "activation": rng.choice(names),
        "initializer": rng.choice(INITIALIZERS.names()), "dropout": rng.choice([0.0, 0.2, 0.5]), "batch_size": 16,
        "batch_norm": batch_norm, "hidden_layers": [8, 6], "residual": batch_norm,
        "l1_penalty": rng.choice([0.0, 0.0, 0.01]), "init_scale": rng.choice([1.0, 0.5]),
    }  # fmt: skip
    for choice in (optimizer, loss, schedule):
        params |= {name: rng.choice(VALUES[name]) for name in choice.takes if rng.random() < 0.8}
    params["learning_rate"] = 10 ** rng.uniform(-4, -2)
    for clip, low, high in (("grad_clip_norm", 0.1, 1.0), ("grad_clip_value", 0.01, 0.1)):
        if rng.random() < 0.3:
            params[clip] = rng.uniform(low, high)
    if kind == "regression":
        params |= {"target_transform": rng.choice(TARGET_TRANSFORMS.names()), **rng.choice(OUTLIER_PARAMS)}
    return params


@DTYPES
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_mixtures(kind: Kind, batch_norm: bool, dtype: torch.dtype) -> None:
    rng = random.Random(f"{kind} {batch_norm}")
    params = [mixture(kind, rng, batch_norm) for _ in range(20)]
    splits = ragged_splits(76) if kind == "regression" else splits_of(kind, ROWS)
    assert_equal_to_alone(task_of(kind), splits, params, [rng.choice([1, 2, 3]) for _ in params])


@DTYPES
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_recurrent_networks(cell: str, dtype: torch.dtype) -> None:
    """Two layers with dropout between them; members with different numbers of rows."""
    attributes = {
        "parameters": RECURRENT_PARAMETERS,
        "model": lambda self, params, features, outputs: recurrent(params, features, outputs),
    }
    params = [
        {"cell": cell, "hidden_layers": [5, 3], "batch_size": 8, "dropout": 0.2 * member, "grad_clip_norm": 1.0,
         "optimizer": ["adam", "sgd"][member % 2], "initializer": INITIALIZERS.names()[member], **outliers}
        for member, outliers in enumerate(OUTLIER_PARAMS[:3])
    ]  # fmt: skip
    splits = splits_of("regression", 40, shape=(6, 2))
    assert_equal_to_alone(task_of("regression", **attributes), splits, params)
