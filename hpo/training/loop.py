"""The training loop: one trial, one model, step by step. Cohorts must give the numbers that this file gives.

    for event in train(task, splits, trial, device): ...

Everything random comes from three generators derived from the trial's seed, so a trial's numbers depend on nothing but
its TrialSpec and the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from hpo.events import Decision, TrialSpec
from hpo.lazy import lazy_import
from hpo.training.epochs import EpochEvent, Measured, train_epochs
from hpo.training.evaluation import all_metrics, check_shape, predict
from hpo.training.health import Examination, is_due, of_rate
from hpo.training.run import NotFinite, Run, start, steps_in_epoch
from hpo.training.seeding import derive_seed, global_seed
from hpo.training.task import Splits, TorchTask

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hpo.training.checkpoint import Keeper
else:
    torch = lazy_import("torch")

CHECK_EVERY = 50  # steps between two looks at whether the loss is finite: each look waits for the device
Events = Generator[EpochEvent, Decision | None, None]


def train(
    task: TorchTask,
    splits: Splits,
    trial: TrialSpec,
    device: torch.device,
    clock: Callable[[], float] = time.time,
) -> Events:
    """Train one trial on `splits.train` and measure it on `splits.validation` after each epoch.

    Yields a Reported an epoch (step: epochs completed, from 1; metrics `train_*` from the outputs as they were trained,
    `val_*` in evaluation mode; finite numbers only), then Finished. Send a Decision after a Reported: STOP ends with
    Stopped. A loss or a validation output that is not finite ends with Diverged, at the latest at its epoch's end.

    The same arguments give the same events bit for bit on a CPU, whatever ran before in the process.

    Raises:
        ValueError: hyperparameters or a model that do not fit together. Anything that the task raises passes.
    """
    yield from train_run(start(task, splits, trial, device), clock)


def train_run(run: Run, clock: Callable[[], float] = time.time, keeper: Keeper | None = None) -> Events:
    """Train a run that was started, as `train_members` does."""
    yield from train_members([run], clock, keeper)


def train_members(runs: Sequence[Run], clock: Callable[[], float] = time.time, keeper: Keeper | None = None) -> Events:
    """Train all members of one trial that were started, an epoch of each in turn. Yields, receives, raises as `train`.

    Runs that go on from their checkpoint (hpo.training.checkpoint.resumed) have the reports up to there yielded again.

    keeper: keeps a checkpoint now and then. A Decision PAUSE after a Reported ends a trial that has much before it with
    Paused; without a keeper it is ignored.
    """
    number = runs[0].trial.number
    training = train_epochs(Loops(runs), clock, keeper)
    decision: Decision | None = None
    while True:
        try:
            (event,) = training.send(None if decision is None else {number: decision})
        except StopIteration:
            return
        decision = yield event


class Loops:
    """Runs that train one after the other, each by itself; implements hpo.training.epochs.Trainee."""

    info: Mapping[str, Any] = {}

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self._examinations = {run: Examination(run.model) for run in runs if run.trial.health}

    def train_epoch(self) -> Measured:
        for run, examination in self._examinations.items():
            examination.begin(is_due(run))
        return [
            _unless_not_finite(partial(train_epoch, run, run.completed + 1, self._examinations.get(run)))
            for run in self.runs
        ]

    def validate(self) -> Measured:
        return [_unless_not_finite(partial(validate, run, self._examinations.get(run))) for run in self.runs]

    def examined(self) -> Sequence[Mapping[str, float]]:
        return [
            self._examinations[run].figures() | of_rate(float(run.optimizer.param_groups[0]["lr"]))
            if run in self._examinations
            else {}
            for run in self.runs
        ]

    def state_of(self, run: Run) -> Mapping[str, Any]:
        return {"model": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}

    def settle(self, run: Run) -> None:
        """Its model has them."""

    def leave(self, numbers: Collection[int]) -> None:
        self.runs = [run for run in self.runs if run.trial.number not in numbers]


def _unless_not_finite(measure: Callable[[], dict[str, float]]) -> dict[str, float] | None:
    try:
        return measure()
    except NotFinite:
        return None


def train_epoch(run: Run, epoch: int, examination: Examination | None = None) -> dict[str, float]:
    """Take one pass over the training split. Returns the `train_*` metrics. Raises NotFinite.

    examination: takes in the first step.
    """
    train = run.train
    batches = draw_batches(len(train), run.batch_size, run.streams.order, run.batching.skip_single, run.device)
    outputs: list[Tensor] = []

    run.model.train()
    with global_seed(derive_seed(run.seed, f"epoch {epoch}"), run.device):  # for layers that take no generator
        for step, rows in enumerate(batches, start=(epoch - 1) * len(batches)):
            wanted = examination is not None and examination.wants_step
            output, loss = train_step(run, rows, step, examination if wanted else None)
            outputs.append(output)
            if step % CHECK_EVERY == 0 and not loss.isfinite():
                raise NotFinite

    return finite_metrics(run, "train", torch.cat(outputs), train.y[torch.cat(batches)])


def train_step(run: Run, rows: Tensor, step: int, examination: Examination | None = None) -> tuple[Tensor, Tensor]:
    """Take one optimizer step. rows: of the training split; step: from 0, over all epochs; examination: takes it in.

    Returns the outputs and the loss of the batch, of the weights before the step.
    """
    clip_norm, clip_value = run.params.get("grad_clip_norm"), run.params.get("grad_clip_value")
    set_learning_rate(run, step)
    run.optimizer.zero_grad()
    if run.parts == 1:
        output, loss = _forward(run, rows, step)
        loss.backward()  # type: ignore[no-untyped-call]
    else:
        output, loss = _in_parts(run, rows, step)
    if examination is not None:
        examination.before()
        examination.gradients()
    if run.penalty is not None:
        run.penalty.add()
    if clip_value is not None:
        torch.nn.utils.clip_grad_value_(run.model.parameters(), clip_value)
    if clip_norm is not None:
        torch.nn.utils.clip_grad_norm_(run.model.parameters(), clip_norm)
    run.optimizer.step()
    if run.penalty is not None:
        run.penalty.settle()
    if examination is not None:
        examination.after()
    return output.detach(), loss.detach()


def _forward(run: Run, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
    output = run.model(run.task.batch(run.train.x[rows], run.params, run.streams.noise))
    check_shape(output, len(rows), run.data.classes)
    weights = run.data.weights
    its = None if weights is None else weights.at(step // run.steps_per_epoch)[rows]
    return output, run.loss(output, run.train.y[rows], its)


def _in_parts(run: Run, rows: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Add up a batch's gradients part by part. The same loss, since it is a mean over rows; not for batch norm, which
    would see smaller batches, and with other dropout masks."""
    outputs, total = [], torch.zeros((), device=run.device)
    for part in torch.chunk(rows, run.parts):
        output, loss = _forward(run, part, step)
        share = loss * (len(part) / len(rows))
        share.backward()  # type: ignore[no-untyped-call]
        outputs.append(output.detach())
        total += share.detach()
    return torch.cat(outputs), total


def draw_batches(
    rows: int, batch_size: int, generator: torch.Generator, skip_single: bool, device: torch.device
) -> tuple[Tensor, ...]:
    """Return one epoch's batches as row numbers: a permutation of all rows, in pieces; the last may be smaller.

    skip_single: leave out a last batch of one row, as batch norm cannot train on one.
    """
    order = torch.randperm(rows, generator=generator).to(device)
    return torch.split(order, batch_size)[: steps_in_epoch(rows, batch_size, skip_single)]


def set_learning_rate(run: Run, step: int) -> None:
    """Give the optimizer the schedule's learning rate of step `step` (from 0, over all epochs), where it can change."""
    changes = run.rates.schedule.changes
    if changes == "step" or (changes == "epoch" and step % run.steps_per_epoch == 0):
        rate = run.rate(step)
        for group in run.optimizer.param_groups:
            group["lr"] = rate


def validate(run: Run, examination: Examination | None = None) -> dict[str, float]:
    """Return the `val_*` metrics of the current weights. Raises NotFinite. examination: takes in the activations."""
    with examination.watching() if examination is not None else nullcontext():
        outputs = predict(run.task, run.model, run.validation.x, run.params)
    check_shape(outputs, len(run.validation), run.data.classes)
    return finite_metrics(run, "val", outputs, run.validation.y)


def finite_metrics(run: Run, prefix: str, outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Return the metrics of one split. Raises NotFinite if an output, or their loss, is not finite."""
    if not outputs.isfinite().all():
        raise NotFinite
    counts = run.loss_choice[0].counts
    metrics = all_metrics(run.task.kind, prefix, outputs, targets, run.loss, run.data.units, counts)
    if f"{prefix}_loss" not in metrics:  # as_floats left it out
        raise NotFinite
    return metrics
