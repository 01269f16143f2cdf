"""What a stack of a given structure gains on this machine, and how many members its memory holds: measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from hpo.training.device import free_memory
from hpo.training.loop import draw_batches, train_step
from hpo.training.run import Run
from hpo.training.stack.batches import draw_epoch
from hpo.training.stack.cohort import Cohort

MEMBERS = 8  # of the stack that is timed: enough to see whether stacking pays, few enough to cost next to nothing
_WORTH = 0.85  # of the time alone: a smaller gain is within what two measurements differ by
_STEPS = 12  # of each, by turns; the fastest counts, so that what else the machine does decides nothing
_STATES = 6  # copies of the weights: weights, gradients, the optimizer's two moments and two passing ones
_RECORDED = 8  # more on a GPU, while a step is recorded: what it changes, before it and as it is replayed
_ACTIVATIONS = 3  # copies of an activation: forward, its gradient, and what autograd keeps


@dataclass(frozen=True)
class Gain:
    """alone, stacked: seconds of one step of one run. most: members that fit into memory."""

    alone: float
    stacked: float
    most: int

    @property
    def pays(self) -> bool:
        return self.stacked < _WORTH * self.alone


def probe(begin: Sequence[Callable[[], Run]], device: torch.device) -> Gain:
    """Time a few steps of one run alone and of a stack of up to 8, on copies that are thrown away.

    begin: each returns a run before its first step; a fresh one each time.
    Raises CannotStack as Cohort does.
    """
    begin = begin[:MEMBERS]
    alone = begin[0]()
    rows = draw_batches(len(alone.train), alone.batch_size, alone.streams.order, alone.batching.skip_single, device)
    alone.model.train()
    cohort = Cohort([each() for each in begin])
    cohort.model.begin_epoch()
    batches = list(draw_epoch(cohort.runs).batches())
    rates = [run.learning_rate for run in cohort.runs]
    one = together = math.inf
    for step in range(_STEPS):
        one = min(one, _seconds(partial(train_step, alone, rows[step % len(rows)], step), device))
        together = min(together, _seconds(partial(cohort.step, batches[step % len(batches)], rates), device))

    states = _STATES + (_RECORDED if device.type == "cuda" else 0)
    numbers = states * cohort.model.flat.shape[1] + _ACTIVATIONS * cohort.model.activation_numbers + cohort.own_numbers
    most = free_memory(device) // (numbers * cohort.model.flat.element_size())
    return Gain(one, together / len(cohort), max(1, int(most)))


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
