"""Cohort training: K trials as one stack, with the numbers that each would get alone.

    runs = [start(task, splits, trial, device) for trial in trials]
    for events in train_cohort(Cohort(runs)): ...

One forward pass, one backward pass of the sum of the K losses, one update with each trial's own hyperparameters. What
is random comes from each trial's own generators, drawn by the functions of the plain loop (loop.py). Measured against
it, per-epoch metrics and final weights agree within float32's rounding (tests/training/stack/test_cohort_equality.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.epochs import EpochEvents, Measured, train_epochs
from hpo.training.evaluation import CHUNK, check_shape
from hpo.training.loop import CHECK_EVERY
from hpo.training.run import Run
from hpo.training.seeding import global_generators
from hpo.training.stack.batches import Batch, epoch_batches
from hpo.training.stack.compiled import compiled
from hpo.training.stack.keeping import state_of, take_over
from hpo.training.stack.losses import StackedLoss, mean, of_mean
from hpo.training.stack.model import StackedModel
from hpo.training.stack.optimizer import Settings, StackedOptimizer
from hpo.training.stack.slot import CannotStack, Ragged
from hpo.training.task import TorchTask
from hpo.training.upload import upload
from hpo.training.vocabulary.metrics import measure
from hpo.training.vocabulary.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from hpo.training.checkpoint import Keeper


class Cohort:
    """Trials that train together. They must agree in architecture and batch size, and in nothing else.

    Implements hpo.training.epochs.Trainee.
    """

    def __init__(self, runs: Sequence[Run], compile: bool = False) -> None:
        """Stack runs that were started, or that go on from their checkpoints, even from different epochs.

        The runs' models stay as they are until a trial ends or is kept; what their optimizers hold moves to the stack.

        compile: have torch.compile make the forward and backward pass; until the first member leaves, since compiling
        anew for fewer members would take longer than it saves.

        Raises CannotStack with the reason if they can't train as one stack.
        """
        first = runs[0]
        if len({(run.batch_size, run.device, run.task.kind) for run in runs}) > 1:
            raise CannotStack("their batch sizes differ")
        if len({min(run.batch_size, len(run.train)) for run in runs}) > 1:
            raise CannotStack("some have less than one full batch of rows")
        if first.steps_per_epoch == 0:
            raise CannotStack("there is not one batch to train on")
        self.runs = sorted(runs, key=_likeness)  # equal choices side by side
        self.task, self.device = first.task, first.device
        self.model = StackedModel([run.model for run in self.runs])
        self.loss = StackedLoss([run.loss_choice for run in self.runs], self.model.flat)
        self.optimizer = StackedOptimizer([_settings(run) for run in self.runs], self.model.flat)
        self._differentiable = compiled(self._evaluate) if compile else None
        take_over(self.runs, self.model, self.optimizer)
        self._began = {"stack": [run.trial.number for run in self.runs]}
        if any(run.completed for run in self.runs):
            self._began["stack_from"] = [run.completed for run in self.runs]
        self._x = first.data.whole_x  # of which every run uses all rows, or its `kept_rows`

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def info(self) -> Mapping[str, Any]:
        """Its size now; the trials that it began with, in their order, and the epochs that they had completed."""
        return {"cohort": len(self), **self._began}

    @torch.no_grad()
    def train_epoch(self) -> Measured:
        """Take one pass over the training split, for each run the epoch after those that it has completed.

        Returns each run's `train_*` metrics; None: it has diverged.

        Raises CannotStack, before any run has changed, if the models turn out not to fit in a stack.
        """
        bad = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        rates = self._rates()
        outputs, targets = [], []
        self.model.begin_epoch()
        for step, batch in enumerate(epoch_batches(self.runs)):
            output = self.step(batch, rates[min(step, len(rates) - 1)])
            outputs.append(output)
            targets.append(batch.targets)
            if any(looked_at := self._looked_at(step)):
                bad |= ~self._losses(output, batch).isfinite() & upload(looked_at, self.device)
        used = [min(run.steps_per_epoch * run.batch_size, len(run.train)) for run in self.runs]
        return self._measured("train", torch.cat(outputs, 1), torch.cat(targets, 1), used, bad)

    @torch.no_grad()
    def step(self, batch: Batch, rates: Sequence[float]) -> Tensor:
        """Take one optimizer step. rates: each run's learning rate. Returns the outputs [K, B, ...] before it."""
        ragged = batch.ragged
        x = self._x.index_select(0, batch.rows.flatten()).view(*batch.rows.shape, *self._x.shape[1:])
        x = self._input(x, training=True, ragged=ragged)
        resting = ragged.idle if ragged is not None else []
        before = [tensor[resting] for tensor in self.model.running()] if resting else []
        output, found = self._gradients(x, batch)
        if resting:  # not before: the gradients depend on frozen weights
            for tensor, rows in zip(self.model.running(), before, strict=True):
                tensor[resting] = rows
        gradients = []
        for gradient, parameter, idle in zip(found, self.model.parameters, self.model.idle(), strict=True):
            if gradient is None and not idle:
                raise CannotStack("some of their weights have no part in the output")
            gradients.append(torch.zeros_like(parameter) if gradient is None else gradient)
        self.optimizer.step(gradients, rates, ragged)
        return output

    def _gradients(self, x: Tensor, batch: Batch) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Return the outputs [K, B, ...] of a batch, and each run's mean loss derived by each parameter."""
        if self._differentiable is not None and batch.ragged is None:
            with torch.enable_grad():
                output, losses = self._differentiable(x, batch.targets)
                total = losses.sum()
            return output.detach(), torch.autograd.grad(total, self.model.parameters, allow_unused=True)
        output = self.model.record(x, batch.ragged)
        self._check(output, x.shape[1])
        derivatives = self.loss.derivative(output, batch.targets)
        return output, self.model.backward(of_mean(derivatives, batch.ragged))

    def _evaluate(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [K, B, ...] and mean losses [K] of a training batch, by differentiable operations."""
        output = self.model(x)
        self._check(output, x.shape[1])
        return output, mean(self.loss(output, targets), None)

    def _losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss [K] of a batch."""
        return mean(self.loss(output, batch.targets), batch.ragged)

    @torch.no_grad()
    def validate(self) -> Measured:
        """Return each run's `val_*` metrics of the current weights; None: it has diverged."""
        x, rows = self.runs[0].validation.x, len(self.runs[0].validation)
        chunk = max(1, min(CHUNK, 64 * CHUNK // len(self)))
        outputs = torch.cat(
            [
                self.model.infer(self._input(part.expand(len(self), *part.shape), training=False))
                for part in torch.split(x, chunk)
            ],
            1,
        )
        self._check(outputs, rows)
        shared = all(run.validation.y is self.runs[0].validation.y for run in self.runs)
        y = self.runs[0].validation.y.expand(len(self), rows)
        targets = y if shared else torch.stack([run.validation.y for run in self.runs])
        bad = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        return self._measured("val", outputs, targets, [rows] * len(self), bad)

    def settle(self, run: Run) -> None:
        """Give a run's model the weights that the stack has for it by now."""
        self.model.write_back(self.runs.index(run), run.model)

    def state_of(self, run: Run) -> Mapping[str, Any]:
        return state_of(run, self.runs.index(run), self.model, self.optimizer)

    def leave(self, numbers: Collection[int]) -> None:
        """Drop the trials with these numbers; their runs' models get their weights."""
        rows = []
        for row, run in enumerate(self.runs):
            if run.trial.number in numbers:
                self.model.write_back(row, run.model)
            else:
                rows.append(row)
        if len(rows) in (0, len(self)):
            self.runs = [self.runs[row] for row in rows]
            return
        self.runs = [self.runs[row] for row in rows]
        self._differentiable = None
        self.model.select(rows)
        self.loss.select(rows)
        self.optimizer.select(rows, self.model.flat)

    def _input(self, x: Tensor, training: bool, ragged: Ragged | None = None) -> Tensor:
        """Return rows [K, B, ...] as the models take them."""
        if getattr(self.task.batch, "__func__", None) is TorchTask.batch:  # the same for all
            return self.task.batch(x, {}, None)
        # Only a member's own rows, and none if it rests: what it draws depends on how many there are.
        sizes = [x.shape[1]] * len(x) if ragged is None else ragged.sizes
        generators = global_generators(self.device) if training else []
        states = [generator.get_state() for generator in generators]  # on the host, also a GPU's
        parts: list[Tensor | None] = []
        for part, run, size in zip(x, self.runs, sizes, strict=True):
            generator = run.streams.noise if training else None
            parts.append(self.task.batch(part[:size], run.params, generator) if size else None)
        if any(not each.get_state().equal(state) for each, state in zip(generators, states, strict=True)):
            # Alone, the loop seeds it for the trial; here all members would draw from one.
            raise CannotStack(f"{type(self.task).__name__}.batch draws from PyTorch's global generator")
        longest = max((part for part in parts if part is not None), key=len)
        return torch.stack([_rows_like(part, longest) for part in parts])

    def _check(self, output: Tensor, rows: int) -> None:
        if len(output) != len(self):
            raise CannotStack(f"the stack's output has shape {tuple(output.shape)}")
        check_shape(output[0], rows, self.runs[0].data.classes)

    def _looked_at(self, step: int) -> list[bool]:
        """Return for each run whether the plain loop would look at its loss at this step of its epoch."""
        places = [(run.completed, run.steps_per_epoch) for run in self.runs]
        looked_at = {
            (completed, span): step < span and (completed * span + step) % CHECK_EVERY == 0
            for completed, span in set(places)
        }
        return [looked_at[place] for place in places] if any(looked_at.values()) else []

    def _rates(self) -> list[list[float]]:
        """Return the runs' learning rates at each step of their epoch; of one step if they stay as they are."""
        changing = any(run.rates.schedule.changes == "step" for run in self.runs)
        by_run = []
        for run in self.runs:
            begin, last = run.completed * run.steps_per_epoch, run.steps_per_epoch - 1
            steps = self.steps_in_epoch if run.rates.schedule.changes == "step" else 1
            rates = [run.rate(begin + min(step, last)) for step in range(steps)]
            by_run.append(rates if len(rates) > 1 or not changing else rates * self.steps_in_epoch)
        return [list(rates) for rates in zip(*by_run, strict=True)]

    @property
    def steps_in_epoch(self) -> int:
        return max(run.steps_per_epoch for run in self.runs)

    def _measured(self, prefix: str, outputs: Tensor, targets: Tensor, used: Sequence[int], bad: Tensor) -> Measured:
        """Return every metric of one split for each run. used: how many of the rows are the run's own."""
        ragged = Ragged(used, outputs.shape[1], self.device) if len(set(used)) > 1 else None
        with torch.no_grad():
            finite = outputs.isfinite().flatten(2).all(-1) if outputs.dim() > 2 else outputs.isfinite()
            if ragged is not None:
                finite = finite | ~ragged.mask
            losses = mean(self.loss(outputs, targets), ragged).double()
            healthy = finite.all(-1) & losses.isfinite() & ~bad
            columns: dict[str, Tensor] = {"loss": losses}
            for size in set(used):
                rows = [row for row, count in enumerate(used) if count == size]
                out, target = (outputs, targets) if ragged is None else (outputs[rows, :size], targets[rows, :size])
                for name, values in self._in_units(out, target, rows).items():
                    columns.setdefault(name, losses.new_zeros(len(self)))[rows] = values
            table = torch.stack([healthy.double(), *columns.values()]).T.tolist()  # one copy from the device
        names = [f"{prefix}_{name}" for name in columns]
        return [
            {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)} if good else None
            for good, *values in table
        ]

    def _in_units(self, outputs: Tensor, targets: Tensor, rows: Sequence[int]) -> dict[str, Tensor]:
        """Return the metrics of the runs in these rows, in the target's own units."""
        if self.task.kind == "regression":
            units = [self.runs[row].data.units for row in rows]
            outputs = torch.stack([each.inverse(output) for each, output in zip(units, outputs, strict=True)])
            targets = torch.stack([each.inverse(target) for each, target in zip(units, targets, strict=True)])
        return measure(self.task.kind, outputs, targets)


def train_cohort(cohort: Cohort, clock: Callable[[], float] = time.time, keeper: Keeper | None = None) -> EpochEvents:
    """Train a cohort to the end of all its trials: see hpo.training.epochs.train_epochs.

    Each trial gets the events that hpo.training.loop.train would yield for it.

    Raises CannotStack before the first epoch is reported if the models turn out not to fit in a stack.
    """
    return train_epochs(cohort, clock, keeper)


def _likeness(run: Run) -> tuple[str, ...]:
    """Return what to sort runs by: first what the most numbers depend on in the forward pass."""
    names = [str(run.params.get(name, "")) for name in ("activation", "loss", "optimizer")]
    return (*names, f"{run.trial.number:09d}")


def _settings(run: Run) -> Settings:
    return Settings(
        choice=OPTIMIZERS[run.params.get("optimizer", OPTIMIZERS.default)],
        defaults=run.rates.optimizer_defaults,
        clip_norm=run.params.get("grad_clip_norm"),
        clip_value=run.params.get("grad_clip_value"),
    )


def _rows_like(part: Tensor | None, longest: Tensor) -> Tensor:
    """Return rows padded with zeros to as many as the longest has; all zeros for None."""
    if part is None:
        return torch.zeros_like(longest)
    missing = len(longest) - len(part)
    return torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part
