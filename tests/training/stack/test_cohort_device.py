"""What a GPU needs of a cohort, seen without one: all of a step is on the run's device, and nothing is read back.

The device `meta` holds shapes without numbers. So a read of a number (item, tolist, nonzero, a truth value) raises
there, where on the CPU it would pass unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpo.training.evaluation import to_device
from hpo.training.layers import SqueezeLast
from hpo.training.run import Run, start
from hpo.training.stack.batches import draw_epoch
from hpo.training.stack.cohort import Cohort
from hpo.training.stack.replay import ReplayedSteps
from hpo.training.task import Kind, Splits, TorchTask
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS

from ..tiny import CPU, KINDS, splits_of, task_of, trials_of
from .members import (
    OUTLIER_PARAMS,
    Augmenting,
    conv1d_net,
    conv3d_net,
    conv_net,
    ragged_splits,
    values_of,
)

META = torch.device("meta")
ROWS, BASE = 41, {"hidden_layers": [6], "batch_size": 8}


class Watch(TorchDispatchMode):
    """Records operations that mix devices, and copies between them."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: list[str] = []
        self.waiting: list[str] = []  # copies to the device that wait for it
        self.back: list[str] = []  # copies from the device
        self.onto: list[str] = []  # copies to the device, and whatever else takes numbers from the host
        self.seen = 0  # operations on the device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        out = func(*args, **(kwargs or {}))
        made = [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        self.seen += any(each.device == META for each in made)
        sources, targets = {each.device.type for each in given}, {each.device.type for each in made}
        if "cpu" in sources and META.type in sources | targets:
            self.onto.append(str(func))
        if func is torch.ops.aten._to_copy.default:
            if sources == {"cpu"} and targets == {"meta"} and not (kwargs or {}).get("non_blocking"):
                self.waiting.append(str(func))
            if sources == {"meta"} and targets == {"cpu"}:
                self.back.append(str(func))
        elif len(sources | targets) > 1:
            self.mixed.append(str(func))
        return out


class Waits(TorchFunctionMode):
    """Records what makes a GPU finish all work before: Python numbers that become a tensor right on the device, and
    lists as indices, which become one."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor, Tensor.new_tensor) and out.device == META:
            self.names.append(func.__name__)
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device == META and _has_list(args[1]):
            self.names.append(func.__name__)
        return out


def _has_list(index: Any) -> bool:
    return isinstance(index, list) or (isinstance(index, tuple) and any(isinstance(each, list) for each in index))


def on_meta(run: Run) -> Run:
    """Return a run that was started on the CPU as if on the device `meta`, with generators, which meta has not, of the
    CPU."""
    run.model.to(META)
    choice, bound = run.loss_choice
    return replace(
        run,
        device=META,
        data=replace(
            run.data,
            train=to_device(run.train, META),
            validation=to_device(run.validation, META),
            whole_x=run.data.whole_x.to(META),
            kept_rows=None if run.data.kept_rows is None else run.data.kept_rows.to(META),
        ),
        loss_choice=(choice, {k: v.to(META) if isinstance(v, Tensor) else v for k, v in bound.items()}),
    )


def assert_steps_on_device(
    task: TorchTask, splits: Splits, params: Sequence[Mapping[str, Any]], resting: bool = False
) -> None:
    """Take an epoch's steps on the device `meta`, and another epoch's after a member has left.

    resting: some members take no step in some batches, which tells the device which ones, and may wait for that.
    """
    cohort = Cohort([on_meta(start(task, splits, trial, CPU)) for trial in trials_of(params)])
    rates = {run.trial.number: run.learning_rate for run in cohort.runs}
    classes, width = splits.outputs, cohort.model.flat.shape[1]
    for _ in range(2):
        cohort.model.begin_epoch()
        batches = list(draw_epoch(cohort.runs).batches())
        assert any(batch.ragged is not None and batch.ragged.idle for batch in batches) == resting
        for step, batch in enumerate(batches):
            given = [rates[run.trial.number] / (1 + step) for run in cohort.runs]
            with Watch() as watch, Waits() as waits:
                output = cohort.step(batch, given)
                losses = cohort._losses(output, batch)
            rows = batch.rows.shape[1]
            assert output.device == losses.device == META
            assert output.shape == ((len(cohort), rows, classes) if classes > 1 else (len(cohort), rows))
            assert losses.shape == (len(cohort),)
            assert watch.seen > 0
            assert (watch.mixed, watch.back) == ([], [])
            if batch.ragged is None or not batch.ragged.idle:
                assert waits.names == []
                assert watch.waiting == [] or step == 0  # the rates of dropout move once
        assert cohort.model.flat.shape == (len(cohort), width)
        assert all(tensor.device == META for tensor in (cohort.model.flat, *cohort.model.running()))
        assert output.dtype == losses.dtype == cohort.model.flat.dtype == torch.float32
        cohort.leave({cohort.runs[1].trial.number})


def assert_steps_replay(task: TorchTask, splits: Splits, params: Sequence[Mapping[str, Any]]) -> None:
    """From its second time on, a step is on the device alone: it takes nothing from the host and gives nothing."""
    cohort = Cohort([on_meta(start(task, splits, trial, CPU)) for trial in trials_of(params)], replay=True)
    counts = []
    with pytest.MonkeyPatch.context() as patch:
        body = ReplayedSteps._body

        def watched(self: ReplayedSteps, rows: int) -> None:
            with Watch() as watch, Waits() as waits, Reads() as reads:
                body(self, rows)
            counts.append(len(watch.onto))
            if len(counts) > 1:
                assert (watch.mixed, watch.back, watch.onto, waits.names, reads.names) == ([], [], [], [], [])

        patch.setattr(ReplayedSteps, "_body", watched)
        for _ in range(2):
            cohort.model.begin_epoch()
            for batch, output in cohort._steps_of_epoch():
                assert output.shape[:2] == batch.rows.shape
    assert len(counts) == 2 * cohort.runs[0].steps_per_epoch
    assert counts[0] > 0  # hyperparameters travel once


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_optimizers_replay(optimizer: str) -> None:
    params = [
        {**BASE, "optimizer": optimizer, "schedule": "cosine", **values_of(OPTIMIZERS[optimizer].takes, member)}
        for member in range(4)
    ]
    assert_steps_replay(task_of("regression"), splits_of("regression", ROWS), params)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_mixed_replays(kind: Kind) -> None:
    assert_steps_replay(task_of(kind), splits_of(kind, ROWS), everything(kind, dropout=0.0))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_optimizers(optimizer: str) -> None:
    params = [{**BASE, "optimizer": optimizer, **values_of(OPTIMIZERS[optimizer].takes, member)} for member in range(4)]
    assert_steps_on_device(task_of("regression"), splits_of("regression", ROWS), params)


def everything(kind: Kind, dropout: float) -> list[dict[str, Any]]:
    """Return every optimizer, loss and activation in one cohort, so that none of them lie side by side."""
    names, optimizers, losses = ACTIVATIONS.names(), OPTIMIZERS.names(), LOSSES[kind].names()
    return [
        {"batch_size": 8, "hidden_layers": [6, 5], "batch_norm": True, "dropout": dropout * (member % 3),
         "activation": activation, "optimizer": optimizers[member % len(optimizers)], "learning_rate": 0.001 * member,
         "loss": losses[member % len(losses)], **values_of(LOSSES[kind][losses[member % len(losses)]].takes, member),
         "schedule": "cosine", **([{}, {"grad_clip_norm": 1.0}, {"grad_clip_value": 0.1}][member % 3])}
        for member, activation in enumerate(names, start=1)
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_everything_mixed(kind: Kind) -> None:
    assert_steps_on_device(task_of(kind), splits_of(kind, ROWS), everything(kind, dropout=0.1))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_members_that_rest(optimizer: str) -> None:
    params = [
        {**BASE, **each, "optimizer": optimizer, "dropout": 0.2, "batch_norm": True,
         **values_of(OPTIMIZERS[optimizer].takes, member)}
        for member, each in enumerate(OUTLIER_PARAMS)
    ]  # fmt: skip
    assert_steps_on_device(task_of("regression"), ragged_splits(), params, resting=True)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.linear(self.norm(x))
        return out


def mapped_net(params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), Residual(), nn.LayerNorm(6), nn.Linear(6, outputs))


@pytest.mark.parametrize(
    ("net", "shape"),
    [(conv_net, (2, 8, 8)), (conv1d_net, (2, 8)), (conv3d_net, (1, 3, 3, 3)), (mapped_net, (4,))],
    ids=["2d", "1d", "3d", "mapped"],
)
def test_other_models(net: Any, shape: tuple[int, ...]) -> None:
    task = task_of("multiclass", model=lambda self, *args: net(*args))
    params = [{"batch_size": 8, "dropout": 0.2, "learning_rate": 0.01 * (1 + member)} for member in range(3)]
    assert_steps_on_device(task, splits_of("multiclass", ROWS, shape=shape), params)


def test_a_batch_of_the_tasks_own() -> None:
    class Shifting(Augmenting):
        def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
            return x + x.mean(0) * params["dropout"]

    params = [{"batch_size": 8, "dropout": 0.1 * member} for member in range(3)]
    assert_steps_on_device(Shifting(), splits_of("regression", ROWS), params)


def test_batch_norm_that_averages_over_all_batches() -> None:
    def model(self: TorchTask, *args: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, momentum=None), nn.Linear(5, 1), SqueezeLast())

    params = [{"batch_size": 8, "learning_rate": 0.01 * (1 + member)} for member in range(3)]
    assert_steps_on_device(task_of("regression", model=model), splits_of("regression", ROWS), params)


# --- whole epochs --------------------------------------------------------------------------------------------------

READS = (Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.nonzero, torch.nonzero, torch.equal,
         Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__, Tensor.equal)  # fmt: skip


class Reads(TorchFunctionMode):
    """Records what would wait for a GPU's numbers. (`numpy` raises there, and serves where data is on the CPU.)"""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in READS:
            self.names.append(func.__name__)
        return func(*args, **(kwargs or {}))


class HiddenReads(TorchDispatchMode):
    """Records reads that PyTorch's own functions make."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero, torch.ops.aten.equal):
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def reads_in_an_epoch(kind: Kind, rows: int, params: Sequence[Mapping[str, Any]]) -> list[str]:
    splits = ragged_splits(rows) if kind == "regression" else splits_of(kind, rows)
    cohort = Cohort([start(task_of(kind), splits, trial, CPU) for trial in trials_of(params)])
    with Reads() as reads, HiddenReads() as hidden:
        cohort.train_epoch()
        cohort.validate()
    return reads.names + hidden.names


@pytest.mark.parametrize("kind", KINDS)
def test_an_epochs_reads_do_not_grow_with_its_steps(kind: Kind) -> None:
    """The metrics of both splits are read at once each. (nadam's products are the host's own: left out here.)"""
    optimizers = [name for name in OPTIMIZERS.names() if name != "nadam"]
    rules = OUTLIER_PARAMS if kind == "regression" else [{}] * 4
    params = [
        {**BASE, "optimizer": name, "dropout": 0.2, "batch_norm": True, **rules[member % 4]}
        for member, name in enumerate(optimizers)
    ]
    few, many = (reads_in_an_epoch(kind, rows, params) for rows in (76, 300))
    assert few == many == ["tolist", "tolist"]
