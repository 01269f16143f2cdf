from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.events import Diverged, Finished, Reported, Stopped, TrialSpec
from hpo.training.contract import contract_of
from hpo.training.layers import SeededDropout
from hpo.training.loop import draw_batches, train_epoch, train_run
from hpo.training.models import mlp
from hpo.training.run import start, steps_in_epoch
from hpo.training.seeding import derive_seed
from hpo.training.task import Kind, Split, Splits, TorchTask

from .tiny import CPU, KINDS, events_of, splits_of, task_of

BUSY = {"hidden_layers": [8], "batch_norm": True, "dropout": 0.3, "batch_size": 10, "initializer": "he_normal"}


class Augmented(TorchTask):
    """A convolutional task that flips rows while training, with a dropout that takes no generator."""

    kind = "multiclass"

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv = nn.Conv1d(1, 4, 2)
                self.norm = nn.LayerNorm(12, bias=True)
                self.embedding = nn.Embedding(2, 12)  # drawn by its constructor
                self.out = nn.Linear(12, outputs)

            def forward(self, x: Tensor) -> Tensor:
                hidden = self.norm(self.conv(x[:, None]).flatten(1)) + self.embedding.weight[0]
                return self.out(nn.functional.dropout(hidden, 0.2, self.training))  # type: ignore[no-any-return]

        return Net()

    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        if generator is None:
            return x
        return torch.where(torch.rand(len(x), 1, generator=generator) < 0.5, x, x.flip(1))


@pytest.mark.parametrize("kind", KINDS)
def test_same_trial_same_events(kind: Kind) -> None:
    torch.manual_seed(1)
    first = events_of(task_of(kind), splits_of(kind), BUSY, epochs=3)
    torch.manual_seed(2)
    events_of(task_of(kind), splits_of(kind), BUSY, seed=9)  # something else runs in between
    assert first == events_of(task_of(kind), splits_of(kind), BUSY, epochs=3)
    other = events_of(task_of(kind), splits_of(kind), BUSY, seed=9, epochs=3)
    assert [event.metrics for event in first[:-1]] != [event.metrics for event in other[:-1]]


def test_same_events_where_layers_draw_from_the_global_generator() -> None:
    torch.manual_seed(1)
    first = events_of(Augmented(), splits_of("multiclass"), {}, epochs=3)
    torch.manual_seed(2)
    assert first == events_of(Augmented(), splits_of("multiclass"), {}, epochs=3)
    assert first != events_of(Augmented(), splits_of("multiclass"), {}, epochs=3, seed=2)


def test_dropout_draws_from_the_trials_noise() -> None:
    run = start(task_of("binary"), splits_of("binary"), TrialSpec(0, BUSY, 0, 1), CPU)
    layers = [module for module in run.model.modules() if isinstance(module, SeededDropout)]
    assert [(layer.p, layer.pool.generators) for layer in layers] == [(0.3, [run.streams.noise])]


def test_interleaved_trials_do_not_touch_each_other() -> None:
    task, splits = Augmented(), splits_of("multiclass")
    runs = [start(task, splits, TrialSpec(number, {}, number, 3), CPU) for number in range(2)]
    trainings = [train_run(run, clock=lambda: 0.0) for run in runs]
    together = [[next(training) for training in trainings] for _ in range(4)]
    for number in range(2):
        alone = list(train_run(start(task, splits, TrialSpec(number, {}, number, 3), CPU), clock=lambda: 0.0))
        assert [events[number] for events in together] == alone


def test_the_global_generator_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    events_of(Augmented(), splits_of("multiclass"), {})
    assert torch.equal(before, torch.get_rng_state())


def test_equals_a_bare_pytorch_loop() -> None:
    """What the platform adds (registries, schedules, events) changes no bit of the training itself."""
    splits = splits_of("multiclass", rows=35)
    params = {
        "hidden_layers": [8], "batch_norm": True, "batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1,
        "momentum": 0.9, "weight_decay": 1e-3, "schedule": "cosine", "grad_clip_norm": 0.5, "grad_clip_value": 0.2,
    }  # fmt: skip
    run = start(task_of("multiclass"), splits, TrialSpec(0, params, 4, 3), CPU)

    torch.manual_seed(derive_seed(4, "weights"))  # PyTorch's constructors draw what the initializer "default" draws
    model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * 5)
    order = torch.Generator().manual_seed(derive_seed(4, "order"))
    train, validation = splits.train, splits.validation
    expected = []
    for _ in range(3):
        model.train()
        hits, total = 0, 0.0
        for rows in torch.split(torch.randperm(35, generator=order), 8):
            output = model(train.x[rows])
            loss = nn.functional.cross_entropy(output, train.y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_value_(model.parameters(), 0.2)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(rows)
            hits += int((output.argmax(1) == train.y[rows]).sum())
        model.eval()
        with torch.no_grad():
            output = model(validation.x)
        expected.append(
            {
                "train_loss": pytest.approx(total / 35, rel=1e-6),
                "train_accuracy": hits / 35,
                "val_loss": pytest.approx(nn.functional.cross_entropy(output, validation.y).item(), rel=1e-6),
                "val_accuracy": (output.argmax(1) == validation.y).double().mean().item(),
            }
        )
    reports = [event.metrics for event in train_run(run) if isinstance(event, Reported)]
    assert [{name: metrics[name] for name in expected[0]} for metrics in reports] == expected
    for ours, bare in zip(run.model.state_dict().values(), model.state_dict().values(), strict=True):
        # The closed form of the cosine and PyTorch's recursive one differ in the last digits.
        torch.testing.assert_close(ours, bare, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_reports_what_the_contract_lists(kind: Kind) -> None:
    task = task_of(kind)
    *reports, end = events_of(task, splits_of(kind), {"hidden_layers": [8]}, epochs=3)
    assert [report.step for report in reports] == [1, 2, 3] and end == Finished(7)
    for report in reports:
        assert set(report.metrics) == set(contract_of(task).metrics)
        assert all(type(value) is float and math.isfinite(value) for value in report.metrics.values())


def test_an_undefined_metric_is_left_out() -> None:
    splits = splits_of("binary")
    one_class = Split(splits.validation.x, torch.zeros(len(splits.validation)))
    report = events_of(task_of("binary"), Splits(splits.train, one_class, splits.test), {})[0]
    assert "val_roc_auc" not in report.metrics and "train_roc_auc" in report.metrics


def test_stop() -> None:
    events = events_of(task_of("binary"), splits_of("binary"), {}, epochs=5, stop_after=2)
    assert [type(event) for event in events] == [Reported, Reported, Stopped]


def test_regression_metrics_are_in_the_targets_own_units() -> None:
    splits = splits_of("regression")
    train, validation = (Split(split.x, 1000 * split.y + 5e4) for split in (splits.train, splits.validation))
    params = {"target_transform": "standardize", "learning_rate": 0.01, "hidden_layers": [16]}
    last = events_of(task_of("regression"), Splits(train, validation, splits.test), params, epochs=60)[-2]
    assert last.metrics["val_loss"] < 1  # standardised
    assert 20 < last.metrics["val_mae"] < 1000  # targets have a deviation of about 2,200
    assert last.metrics["val_r2"] > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_divergence_ends_the_trial_at_once(kind: Kind) -> None:
    class Breaks(nn.Module):
        """Outputs are NaN from the third call in training mode on."""

        def __init__(self, outputs: int) -> None:
            super().__init__()
            self.linear = nn.Linear(4, outputs)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            out: Tensor = self.linear(x) / (0.0 if self.calls >= 3 else 1.0)
            return out if out.shape[1] > 1 else out[:, 0]

    task = task_of(kind, model=lambda self, params, features, outputs: Breaks(outputs))
    events = events_of(task, splits_of(kind), {"batch_size": 16}, epochs=4)  # two steps an epoch
    assert [type(event) for event in events] == [Reported, Diverged] and events[1] == Diverged(7, 2)


def test_a_long_epoch_ends_within_fifty_steps_of_divergence() -> None:
    class Counts(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Counts.calls += 1
            return super().forward(x)[:, 0] * (math.nan if Counts.calls > 10 else 1.0)

    task = task_of("binary", model=lambda self, params, features, outputs: Counts(4, 1))
    assert events_of(task, splits_of("binary", rows=200), {"batch_size": 1}) == [Diverged(7, 1)]
    assert Counts.calls == 51


def test_validation_outputs_that_are_not_finite_are_divergence() -> None:
    class Evaluates(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, 0] * (1.0 if self.training else math.inf)

    task = task_of("binary", model=lambda self, params, features, outputs: Evaluates(4, 1))
    # The sigmoid of an infinite output is a number, so this loss does not show it.
    assert events_of(task, splits_of("binary"), {"loss": "mse"}) == [Diverged(7, 1)]


@pytest.mark.parametrize(
    ("rows", "batch_size", "skip_single", "sizes"),
    [
        (10, 4, False, [4, 4, 2]),
        (9, 4, False, [4, 4, 1]),
        (9, 4, True, [4, 4]),
        (8, 4, True, [4, 4]),
        (3, 100, True, [3]),
        (1, 4, True, [1]),
        (3, 1, True, [1, 1, 1]),
    ],
)
def test_batches(rows: int, batch_size: int, skip_single: bool, sizes: list[int]) -> None:
    batches = draw_batches(rows, batch_size, torch.Generator(), skip_single, CPU)
    assert [len(batch) for batch in batches] == sizes
    assert steps_in_epoch(rows, batch_size, skip_single) == len(sizes)
    drawn = torch.cat(batches)
    assert len(set(drawn.tolist())) == len(drawn)


def test_batch_norm_meets_no_single_row() -> None:
    events = events_of(task_of("binary"), splits_of("binary", rows=33), {"batch_norm": True, "batch_size": 16})
    assert events[-1] == Finished(7)


def test_a_model_of_the_wrong_shape_is_an_error() -> None:
    task = task_of("binary", model=lambda self, params, features, outputs: nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"must map 32 rows to shape \(32,\), but got \(32, 1\)"):
        events_of(task, splits_of("binary"), {})


def test_clipping_bounds_the_update() -> None:
    def moved(params: Mapping[str, Any]) -> Tensor:
        full = {"optimizer": "sgd", "learning_rate": 1.0, "batch_size": 32, "hidden_layers": []}
        run = start(task_of("regression"), splits_of("regression"), TrialSpec(0, {**full, **params}, 0, 1), CPU)
        before = torch.cat([parameter.detach().flatten().clone() for parameter in run.model.parameters()])
        train_epoch(run, 1)
        return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()]) - before

    free = moved({})
    assert free.norm() > 1 and free.abs().max() > 0.5
    assert moved({"grad_clip_norm": 0.25}).norm().item() == pytest.approx(0.25, rel=1e-3)
    torch.testing.assert_close(moved({"grad_clip_value": 0.5}), free.clamp(-0.5, 0.5))


def test_the_schedule_reaches_the_optimizer() -> None:
    params = {"optimizer": "sgd", "learning_rate": 0.5, "batch_size": 8, "schedule": "step", "step_size": 1}
    run = start(task_of("binary"), splits_of("binary"), TrialSpec(0, params, 0, 3), CPU)
    rates = []
    for _ in train_run(run):
        rates.append(run.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.5, 0.05, 0.005, 0.005])


def test_the_plateau_schedule_sees_the_validation_losses() -> None:
    params = {"optimizer": "sgd", "learning_rate": 1e-12, "schedule": "reduce_on_plateau", "plateau_patience": 1}
    run = start(task_of("binary"), splits_of("binary"), TrialSpec(0, params, 0, 5), CPU)
    for _ in train_run(run):
        pass  # at this rate no loss ever falls: after epoch 1 there are two bad ones, then a reduction
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(1e-13)


def test_epochs_default_and_large_validation_splits() -> None:
    assert len(events_of(task_of("binary"), splits_of("binary"), {}, epochs=4)) == 5
    run = start(task_of("binary"), splits_of("binary"), TrialSpec(0, {"epochs": 3}, 0, None), CPU)
    assert run.epochs == 3
    assert start(task_of("binary"), splits_of("binary"), TrialSpec(0, {}, 0, None), CPU).epochs == 20
    report = events_of(task_of("binary"), splits_of("binary", measured=2500), {}, epochs=1)[0]
    assert 0 <= report.metrics["val_accuracy"] <= 1


def test_what_a_model_does_to_its_params_touches_no_record_and_no_other_trial() -> None:
    def model(self: TorchTask, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        made = mlp(params, features, outputs)
        params["hidden_layers"].append(3)
        return made

    task, given = task_of("binary", model=model), {"hidden_layers": [5]}
    for params, widths in ((given, [5]), ({}, [64, 32])) * 2:
        run = start(task, splits_of("binary"), TrialSpec(0, params, 1, 1), CPU)
        linear = [layer for layer in run.model.modules() if isinstance(layer, nn.Linear)]
        assert [layer.out_features for layer in linear] == [*widths, 1]
    assert given == {"hidden_layers": [5]}


@pytest.mark.parametrize(
    ("depth", "params", "learns"),
    [
        (2, {"activation": "relu", "residual": True}, True),
        (32, {"activation": "tanh", "residual": True}, True),
        (32, {"activation": "relu", "residual": True, "batch_norm": True, "initializer": "he_normal"}, True),
        (32, {"activation": "sigmoid"}, False),  # hands nothing on
    ],
)
def test_residual_networks_of_any_depth_train(depth: int, params: dict[str, Any], learns: bool) -> None:
    shape = {"hidden_layers": depth, "hidden_units": 8, "batch_size": 16, "learning_rate": 0.01}
    events = events_of(task_of("binary"), splits_of("binary"), {**shape, **params}, epochs=8)
    losses = [event.metrics["train_loss"] for event in events if isinstance(event, Reported)]
    assert (losses[-1] < 0.75 * losses[0]) is learns, losses
