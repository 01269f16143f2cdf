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
from torch import nn

from hpo.spec.contract import Known
from hpo.training.layers import SqueezeLast
from hpo.training.models import RECURRENT_PARAMETERS, recurrent
from hpo.training.task import Kind, TorchTask
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.labels import CURRICULA, SUSPECT_LABELS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.output_activations import known_output_activation
from hpo.training.vocabulary.schedules import SCHEDULES
from hpo.training.vocabulary.targets import OUTLIERS, TARGET_TRANSFORMS
from hpo.training.vocabulary.thresholds import THRESHOLD_RULES

from ..tiny import KINDS, assert_equal_to_alone, default_dtype, splits_of, task_of
from .members import (
    BASE,
    OUTLIER_PARAMS,
    ROWS,
    Augmenting,
    conv1d_net,
    conv3d_net,
    conv_net,
    mixture,
    ragged_splits,
    values_of,
    weighted_splits,
)

pytestmark = pytest.mark.slow

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"], indirect=True)


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


@DTYPES
def test_augmentation_draws_from_each_members_generator(dtype: torch.dtype) -> None:
    params = [{"batch_size": 16, "dropout": rate, "learning_rate": 0.02} for rate in (0.1, 0.4, 0.0)]
    assert_equal_to_alone(Augmenting(), splits_of("regression", ROWS), params, epochs=3)


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
