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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.epochs import EpochEvents, Measured, train_epochs
from hpo.training.evaluation import CHUNK, check_shape
from hpo.training.loop import CHECK_EVERY
from hpo.training.penalty import l1_penalty
from hpo.training.run import Run
from hpo.training.stack.batches import Batch, draw_epoch, padded
from hpo.training.stack.compiled import compiled
from hpo.training.stack.health import StackExamination
from hpo.training.stack.inputs import all_at_once, is_plain, stack_input
from hpo.training.stack.keeping import state_of, take_over
from hpo.training.stack.losses import StackedLoss, mean, of_mean, weighted
from hpo.training.stack.model import StackedModel
from hpo.training.stack.optimizer import Settings, StackedOptimizer
from hpo.training.stack.rates import rates_of_epoch
from hpo.training.stack.replay import ReplayedSteps
from hpo.training.stack.rows import MemberRows
from hpo.training.stack.slot import CannotStack, Ragged
from hpo.training.together import company, trials_among
from hpo.training.upload import upload
from hpo.training.vocabulary.metrics import measure
from hpo.training.vocabulary.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from hpo.training.checkpoint import Keeper


class Cohort:
    """Trials, or members of trials, that train together. They must agree in architecture and batch size, and in nothing
    else.

    Implements hpo.training.epochs.Trainee.
    """

    def __init__(self, runs: Sequence[Run], compile: bool = False, replay: bool | None = None) -> None:
        """Stack runs that were started, or that go on from their checkpoints, even from different epochs.

        The runs' models stay as they are until a trial ends or is kept; what their optimizers hold moves to the stack.

        compile: have torch.compile make the forward and backward pass; until the first member leaves, since compiling
        anew for fewer members would take longer than it saves.

        replay: lay out what steps need on the device and record them, as a GPU likes it; None: on a GPU.

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
        settings = [_settings(run) for run in self.runs]
        self.optimizer = StackedOptimizer(settings, self.model.flat, self.model.weights)
        self._differentiable = compiled(self._evaluate) if compile else None
        self._replays = not compile and (self.device.type == "cuda" if replay is None else replay)
        self._replayed: ReplayedSteps | None = None
        self._examination = StackExamination(self.model, self.optimizer, self.runs[0].model)
        take_over(self.runs, self.model, self.optimizer)
        self._began = company(self.runs)
        # Of the training split every run uses all rows, or its `kept_rows`.
        self._train_rows = MemberRows([run.data.whole_x for run in self.runs])
        self._validation_rows = MemberRows([run.validation.x for run in self.runs])

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def info(self) -> Mapping[str, Any]:
        """Its trials now; those that it began with, in their order, and the epochs that they had completed."""
        return {"cohort": trials_among(self.runs), **self._began}

    @property
    def recorded(self) -> int:
        """How many kinds of steps (full batches, short ones) are replayed by now."""
        return self._replayed.recorded if self._replayed is not None else 0

    @property
    def own_numbers(self) -> int:
        """How many numbers of data a member adds that has rows of its own."""
        return self._train_rows.numbers + self._validation_rows.numbers

    @torch.no_grad()
    def train_epoch(self) -> Measured:
        """Take one pass over the training split, for each run the epoch after those that it has completed.

        Returns each run's `train_*` metrics; None: it has diverged.

        Raises CannotStack, before any run has changed, if the models turn out not to fit in a stack.
        """
        bad = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        looks = self._looks()
        outputs, targets = [], []
        self.model.begin_epoch()
        self._examination.begin(self.runs)
        for step, (batch, output) in enumerate(self._steps_of_epoch()):
            outputs.append(output)
            targets.append(batch.targets)
            if step in looks:
                bad |= ~self._losses(output, batch).isfinite() & upload(looks[step], self.device)
        used = [min(run.steps_per_epoch * run.batch_size, len(run.train)) for run in self.runs]
        return self._measured("train", torch.cat(outputs, 1), torch.cat(targets, 1), used, bad)

    def _steps_of_epoch(self) -> Iterator[tuple[Batch, Tensor]]:
        """Take the steps of an epoch; yield each batch with its outputs [K, B, ...] before its step."""
        rates, order = rates_of_epoch(self.runs), draw_epoch(self.runs)
        if self._replays and self._replayed is None and self._can_replay():
            self._replayed = ReplayedSteps(self.step, self.model, self.optimizer, len(rates))
        if self._replayed is not None:
            yield from self._replayed.epoch(order, rates, first_apart=self._examination.wants_step)
            return
        for batch, its in zip(order.batches(), rates.tolist(), strict=True):
            yield batch, self.step(batch, its)

    def _can_replay(self) -> bool:
        """Whether a step needs nothing from Python that differs between steps."""
        if not self.model.replays:
            return False
        return is_plain(self.task) or all_at_once(self.runs, self._train_rows.chunk(0, 1), training=True) is not None

    @torch.no_grad()
    def step(self, batch: Batch, rates: Sequence[float] | None) -> Tensor:
        """Take one optimizer step. rates: each run's learning rate; None: as planned. Returns the outputs [K, B, ...]
        before it."""
        ragged = batch.ragged
        x = self._input(self._train_rows.take(batch.rows), training=True, ragged=ragged)
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
        is_measured = self._examination.wants_step
        if is_measured:
            self._examination.before(gradients)
        self.optimizer.step(gradients, rates, ragged)
        if is_measured:
            self._examination.after()
        return output

    def _gradients(self, x: Tensor, batch: Batch) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Return the outputs [K, B, ...] of a batch, and each run's mean loss derived by each parameter."""
        if self._differentiable is not None and batch.ragged is None:
            with torch.enable_grad():
                output, losses = self._differentiable(x, batch.targets, batch.weights)
                total = losses.sum()
            return output.detach(), torch.autograd.grad(total, self.model.parameters, allow_unused=True)
        output = self.model.record(x, batch.ragged)
        self._check(output, x.shape[1])
        derivatives = weighted(self.loss.derivative(output, batch.targets), batch.weights)
        return output, self.model.backward(of_mean(derivatives, batch.ragged))

    def _evaluate(self, x: Tensor, targets: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return outputs [K, B, ...] and mean losses [K] of a training batch, by differentiable operations."""
        output = self.model(x)
        self._check(output, x.shape[1])
        return output, mean(weighted(self.loss(output, targets), weights), None)

    def _losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss [K] of a batch."""
        return mean(weighted(self.loss(output, batch.targets), batch.weights), batch.ragged)

    @torch.no_grad()
    def validate(self) -> Measured:
        """Return each run's `val_*` metrics of the current weights; None: it has diverged."""
        rows = self._validation_rows
        longest, step = max(rows.counts), max(1, min(CHUNK, 64 * CHUNK // len(self)))
        parts = []
        for start in range(0, longest, step):
            stop = min(start + step, longest)
            x = self._input(rows.chunk(start, stop), training=False, ragged=rows.ragged(start, stop))
            seen = self._examination.activations() if start == 0 else None
            parts.append(self.model.infer(x, seen, min(stop, *rows.counts)))
        outputs = torch.cat(parts, 1)
        self._check(outputs, longest)
        y = [run.validation.y for run in self.runs]
        shared = all(each is y[0] for each in y)
        targets = y[0].expand(len(self), longest) if shared else padded(y, longest)
        bad = torch.zeros(len(self), dtype=torch.bool, device=self.device)
        return self._measured("val", outputs, targets, rows.counts, bad)

    def examined(self) -> Sequence[Mapping[str, float]]:
        return self._examination.figures()

    def settle(self, run: Run) -> None:
        """Give a run's model the weights that the stack has for it by now."""
        self.model.write_back({self.runs.index(run): run.model})

    def state_of(self, run: Run) -> Mapping[str, Any]:
        return state_of(run, self.runs.index(run), self.model, self.optimizer)

    def leave(self, numbers: Collection[int]) -> None:
        """Drop the trials with these numbers, all their members; the runs' models get their weights."""
        leaving = {row: run.model for row, run in enumerate(self.runs) if run.trial.number in numbers}
        rows = [row for row in range(len(self)) if row not in leaving]
        if leaving:
            self.model.write_back(leaving)
        if len(rows) in (0, len(self)):
            self.runs = [self.runs[row] for row in rows]
            return
        self.runs = [self.runs[row] for row in rows]
        self._differentiable = None
        self._replayed = None  # what was recorded has other members
        self._train_rows.select(rows)
        self._validation_rows.select(rows)
        self.model.select(rows)
        self.loss.select(rows)
        self.optimizer.select(rows, self.model.flat)
        self._examination = StackExamination(self.model, self.optimizer, self.runs[0].model)

    def _input(self, x: Tensor, training: bool, ragged: Ragged | None) -> Tensor:
        """Return rows [K, B, ...] as the models take them."""
        return stack_input(self.runs, x, training, ragged, at_once=self._replays)

    def _check(self, output: Tensor, rows: int) -> None:
        if len(output) != len(self):
            raise CannotStack(f"the stack's output has shape {tuple(output.shape)}")
        check_shape(output[0], rows, self.runs[0].data.classes)

    def _looks(self) -> dict[int, list[bool]]:
        """Return the steps of this epoch at which the plain loop would look at a run's loss, and at whose."""
        places = [(run.completed, run.steps_per_epoch) for run in self.runs]
        looks: dict[int, list[bool]] = {}
        for completed, span in set(places):
            for step in range(-completed * span % CHECK_EVERY, span, CHECK_EVERY):
                at = looks.setdefault(step, [False] * len(places))
                looks[step] = [seen or place == (completed, span) for seen, place in zip(at, places, strict=True)]
        return looks

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
                counts = self.loss.counts(out, target, rows)
                for name, values in (self._in_units(out, target, rows) | counts).items():
                    columns.setdefault(name, losses.new_full((len(self),), torch.nan))[rows] = values
            table = torch.stack([healthy.double(), *columns.values()]).T.tolist()  # one copy from the device
        names = [f"{prefix}_{name}" for name in columns]
        return [
            {name: value for name, value in zip(names, values, strict=True) if math.isfinite(value)} if good else None
            for good, *values in table
        ]

    def _in_units(self, outputs: Tensor, targets: Tensor, rows: Sequence[int]) -> dict[str, Tensor]:
        """Return the metrics of the runs in these rows, in the target's own units."""
        units = [self.runs[row].data.units for row in rows]
        if self.task.kind == "regression" or any(each.activation is not None for each in units):
            outputs = torch.stack([each.answer(output) for each, output in zip(units, outputs, strict=True)])
        if self.task.kind == "regression":
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
    names = [str(run.params.get("activation", "")), run.loss_choice[0].name, str(run.params.get("optimizer", ""))]
    return (*names, f"{run.trial.number:09d}", f"{run.member.index:05d}")


def _settings(run: Run) -> Settings:
    return Settings(
        choice=OPTIMIZERS[run.params.get("optimizer", OPTIMIZERS.default)],
        defaults=run.rates.optimizer_defaults,
        clip_norm=run.params.get("grad_clip_norm"),
        clip_value=run.params.get("grad_clip_value"),
        l1_penalty=l1_penalty(run.params),
    )
