"""What a stack of a given structure gains on this machine, and how many members its memory holds: measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hpo.events import TrialSpec
from hpo.training.cohort import Cohort
from hpo.training.device import free_memory
from hpo.training.loop import draw_batches, start, train_step
from hpo.training.stack.batches import epoch_batches
from hpo.training.task import Splits, TorchTask

MEMBERS = 8  # of the stack that is timed: enough to see whether stacking pays, few enough to cost next to nothing
_WORTH = 0.85  # of the time alone: a smaller gain is within what two measurements differ by
_STEPS = 4  # of which the first is not counted
_STATES = 6  # copies of the weights: weights, gradients, the optimizer's two moments and two passing ones
_ACTIVATIONS = 3  # copies of an activation: forward, its gradient, and what autograd keeps


@dataclass(frozen=True)
class Gain:
    """alone, stacked: seconds of one step of one trial. most: members that fit into memory."""

    alone: float
    stacked: float
    most: int

    @property
    def pays(self) -> bool:
        return self.stacked < _WORTH * self.alone


def probe(task: TorchTask, splits: Splits, trials: Sequence[TrialSpec], device: torch.device) -> Gain:
    """Time a few steps of one trial alone and of a stack of up to 8, on copies that are thrown away.

    Raises CannotStack as Cohort does.
    """
    trials = trials[:MEMBERS]
    alone = start(task, splits, trials[0], device)
    rows = draw_batches(len(alone.train), alone.batch_size, alone.streams.order, alone.skip_single, device)
    alone.model.train()
    one = _fastest(lambda step: train_step(alone, rows[step % len(rows)], step), device)

    cohort = Cohort([start(task, splits, trial, device) for trial in trials])
    cohort.model.begin_epoch()
    batches = list(epoch_batches(cohort.runs))
    rates = [run.learning_rate for run in cohort.runs]
    together = _fastest(lambda step: cohort.step(batches[step % len(batches)], rates), device)

    numbers = _STATES * cohort.model.flat.shape[1] + _ACTIVATIONS * cohort.model.activation_numbers
    most = free_memory(device) // (numbers * cohort.model.flat.element_size())
    return Gain(one, together / len(cohort), max(1, int(most)))


def _fastest(step: Callable[[int], object], device: torch.device) -> float:
    """Return the seconds of the fastest step but the first: what the machine can do when nothing is in the way."""
    fastest = math.inf
    for index in range(_STEPS):
        began = time.perf_counter()
        step(index)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if index > 0:
            fastest = min(fastest, time.perf_counter() - began)
    return fastest
