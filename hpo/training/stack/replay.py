"""Steps of a stack as a GPU likes them: recorded once as a CUDA graph, then replayed without Python.

A step of small models is some hundred kernels of microseconds each, and Python takes longer to ask for them than the
GPU takes to run them. A replayed step finds all that differs between steps on the device: its rows by a counter, its
learning rates and what follows from them in a timetable (hpo.training.vocabulary.timetable).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.stack.batches import Batch, EpochOrder
from hpo.training.stack.slot import CannotStack
from hpo.training.vocabulary.timetable import Timetable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpo.training.stack.model import StackedModel
    from hpo.training.stack.optimizer import StackedOptimizer

Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes down what a function does on the device, without doing it; returns what does it."""
Step = Callable[[Batch, "Sequence[float] | None"], Tensor]
"""Take one step; rates: each member's learning rate, None: as planned. Returns the outputs [K, B, ...]."""


class Graphs:
    """Runs functions, and from their third time on replays what they did on the device.

    A function takes nothing from Python but itself, and gives nothing back but what it writes. Its first run loads what
    it needs, its second one shows whether replaying it gives the same. Where one can't be recorded, or gives something
    else, all run as they are from then on, and the worker's log says so once.
    """

    def __init__(self, device: torch.device, state: Callable[[], Sequence[Tensor]]) -> None:
        """state: returns all tensors that the functions change and that matter afterwards, [K, ...] or [1]."""
        self._state = state
        self._record = recorder_of(device)
        self._known: dict[int, Callable[[], None] | None] = {}  # None: it has run once

    def run(self, key: int, function: Callable[[], None]) -> None:
        """Run a function; key: the same for the same function."""
        replay = self._known.get(key)
        if replay is not None:
            replay()
        elif key in self._known and self._record is not None:
            self._known[key] = self._recorded(function, self._record)
        else:
            self._known[key] = None
            function()

    @property
    def recorded(self) -> int:
        return sum(replay is not None for replay in self._known.values())

    def _recorded(self, function: Callable[[], None], record: Record) -> Callable[[], None] | None:
        """Run a function, and return how to replay it; None: that can't be done."""
        replay, why = None, "replayed, one changed other numbers than run"
        before: list[Tensor] = []
        try:
            replay = record(function)
            before += [each.clone() for each in self._state()]
            replay()
            replayed = [each.clone() for each in self._state()]
        except CannotStack:
            raise
        except Exception as error:  # what a library can't do while it is recorded, or for want of memory
            replay, why = None, f"{type(error).__name__}: {error}"
        for each, old in zip(self._state(), before, strict=False):  # none, if it came to no replay
            each.copy_(old)
        function()
        if replay is not None:
            alike = [_alike(*three) for three in zip(replayed, self._state(), before, strict=True)]
            if all(torch.stack(alike).tolist()):
                return replay
        self._record = None
        print(f"steps of this stack are not replayed: {why}", file=sys.stderr)
        return None


def _alike(found: Tensor, expected: Tensor, before: Tensor) -> Tensor:
    """Whether two results are the same up to rounding, of each member compared with how far it has moved."""
    if not found.is_floating_point():
        return (found == expected).all()
    gap, way, size = (
        torch.linalg.vector_norm(each.nan_to_num(0.0, 0.0, 0.0).flatten(1), dim=1)
        for each in (found - expected, expected - before, expected)
    )
    near: Tensor = gap <= 0.01 * way + 1e-5 * size
    return (near & (found.isfinite() == expected.isfinite()).flatten(1).all(1)).all()


def recorder_of(device: torch.device) -> Record | None:
    """Return how functions are recorded on a device; None: they are not."""
    return _CudaGraphs(device).record if device.type == "cuda" else None


class _CudaGraphs:
    """Records functions as CUDA graphs, which share their memory: they are replayed by turns."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = torch.cuda.graph_pool_handle()

    def record(self, function: Callable[[], None]) -> Callable[[], None]:
        # Not torch.cuda.graph, which gives all unused memory back first: that costs more than it records.
        graph, stream = torch.cuda.CUDAGraph(), _stream_of(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        try:
            with torch.cuda.stream(stream):
                graph.capture_begin(pool=self._pool)
                try:
                    function()
                except BaseException:
                    with contextlib.suppress(RuntimeError):  # of the same cause
                        graph.capture_end()
                    raise
                graph.capture_end()
        finally:
            torch.cuda.current_stream(self._device).wait_stream(stream)
        return graph.replay


@cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """Return the stream on which functions are recorded, always the same one: graphs share memory only if they were
    recorded on one, and for each stream that has multiplied matrices cuBLAS keeps a workspace for good."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class ReplayedSteps:
    """The steps of an epoch, all they need laid out on the device before the first."""

    def __init__(self, step: Step, model: StackedModel, optimizer: StackedOptimizer, steps: int) -> None:
        """steps: in an epoch."""
        self._step = step
        self._model = model
        self._optimizer = optimizer
        self._timetable = Timetable(steps, model.flat)
        self._graphs = Graphs(model.flat.device, self._state)
        self._order: list[Tensor] = []  # rows, targets and, if there are any, weights [K, N] of the epoch
        self._offsets = torch.zeros(0)  # of the rows of a batch
        self._outputs: Tensor | None = None  # [K, N, ...] of the epoch

    @property
    def recorded(self) -> int:
        """How many kinds of steps are replayed."""
        return self._graphs.recorded

    def epoch(
        self, order: EpochOrder, rates: NDArray[np.float64], first_apart: bool = False
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Take an epoch's steps; yield each batch with its outputs. rates: the members' at each step, [steps, K].

        Batches in which members have different numbers of rows come last in an epoch, and are not replayed.
        first_apart: the first step is neither replayed nor recorded, as more is done in it than in the others.
        """
        self._begin(order, rates)
        planned = taken = start = 0
        for batch in order.batches():
            rows = batch.rows.shape[1]
            if batch.ragged is None:
                self._take(rows, apart=first_apart and taken == 0)
                planned += 1
                assert self._outputs is not None
                yield batch, self._outputs[:, start : start + rows]
            else:
                self._optimizer.took(planned)
                planned = 0
                yield batch, self._step(batch, rates[taken].tolist())
            taken, start = taken + 1, start + rows
        self._optimizer.took(planned)

    def _begin(self, order: EpochOrder, rates: NDArray[np.float64]) -> None:
        drawn = [order.rows, order.targets, *([] if order.weights is None else [order.weights])]
        if not self._order:
            self._order = drawn
            self._offsets = torch.arange(order.size, device=order.rows.device)
        else:  # in the same memory, where a recorded step looks for them
            for held, each in zip(self._order, drawn, strict=True):
                held.copy_(each)
        self._optimizer.plan(self._timetable, rates)
        self._timetable.begin()

    def _state(self) -> list[Tensor]:
        outputs = [] if self._outputs is None else [self._outputs]
        return [*self._optimizer.tensors(), *self._model.running(), *outputs, self._timetable.at]

    def _take(self, rows: int, apart: bool) -> None:
        if self._timetable.grown:
            assert not self.recorded, "numbers get other places than recorded steps look for them in"
            self._timetable.lay_out()
        if apart:
            self._body(rows)
        else:
            self._graphs.run(rows, partial(self._body, rows))

    def _body(self, rows: int) -> None:
        """Take the step whose turn it is, with so many rows."""
        at = self._timetable.at
        columns = at * len(self._offsets) + self._offsets[:rows]
        self._timetable.turn()
        rows_now, targets_now, *weights_now = (each.index_select(1, columns) for each in self._order)
        output = self._step(Batch(rows_now, targets_now, None, *weights_now), None)
        if self._outputs is None:
            self._outputs = output.new_zeros(*self._order[0].shape, *output.shape[2:])
        self._outputs.index_copy_(1, columns, output)
        at.add_(1)
