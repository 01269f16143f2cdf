"""Steps of a stack as a GPU likes them: recorded once as a CUDA graph, then replayed without Python.

A step of small models is some hundred kernels of microseconds each, and Python takes longer to ask for them than the
GPU takes to run them. A replayed step finds all that differs between steps on the device: its rows by a counter, its
learning rates and what follows from them in a timetable (hpo.training.vocabulary.timetable).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.stack.batches import Batch, EpochOrder
from hpo.training.stack.slot import CannotStack
from hpo.training.vocabulary.timetable import Timetable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpo.training.stack.optimizer import StackedOptimizer

Step = Callable[[Batch, "Sequence[float] | None"], Tensor]
"""Take one step; rates: each member's learning rate, None: as planned. Returns the outputs [K, B, ...]."""


class Graphs:
    """Runs functions, and from their second time on replays what they did on a CUDA device.

    A function takes nothing from Python but itself, and gives nothing back but what it writes. Its first run loads
    what it needs. Where one can't be recorded, all run as they are from then on, and the worker's log says so once.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._works = device.type == "cuda"
        self._known: dict[int, torch.cuda.CUDAGraph | None] = {}
        self._pool: Any = None  # of memory, which the recorded share: they run by turns

    def run(self, key: int, function: Callable[[], None]) -> None:
        """Run a function; key: the same for the same function."""
        if self._works and key in self._known and self._known[key] is None:
            self._known[key] = self._record(function)
        graph = self._known.setdefault(key, None)
        if graph is None:
            function()
        else:
            graph.replay()

    @property
    def recorded(self) -> int:
        return sum(graph is not None for graph in self._known.values())

    def _record(self, function: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        # Not torch.cuda.graph, which collects garbage and gives memory back first: that costs more than it records.
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        try:
            with torch.cuda.stream(stream):
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                graph.capture_begin(pool=self._pool)
                try:
                    function()
                except BaseException:
                    with contextlib.suppress(RuntimeError):  # of the same cause
                        graph.capture_end()
                    raise
                graph.capture_end()
        except CannotStack:
            raise
        except Exception as error:
            self._works = False
            print(f"the steps can't be recorded, and run one by one: {type(error).__name__}: {error}", file=sys.stderr)
            return None
        finally:
            torch.cuda.current_stream(self._device).wait_stream(stream)
        return graph


class ReplayedSteps:
    """The steps of an epoch, all they need laid out on the device before the first."""

    def __init__(self, step: Step, optimizer: StackedOptimizer, steps: int, like: Tensor) -> None:
        """steps: in an epoch. like: has the dtype and the device of the parameters."""
        self._step = step
        self._optimizer = optimizer
        self._timetable = Timetable(steps, like)
        self._graphs = Graphs(like.device)
        self._order: tuple[Tensor, Tensor] | None = None  # rows and targets [K, N] of the epoch
        self._offsets = torch.zeros(0)  # of the rows of a batch
        self._outputs: Tensor | None = None  # [K, N, ...] of the epoch

    @property
    def recorded(self) -> int:
        """How many kinds of steps are replayed."""
        return self._graphs.recorded

    def epoch(self, order: EpochOrder, rates: NDArray[np.float64]) -> Iterator[tuple[Batch, Tensor]]:
        """Take an epoch's steps; yield each batch with its outputs. rates: the members' at each step, [steps, K].

        Batches in which members have different numbers of rows come last in an epoch, and are not replayed.
        """
        self._begin(order, rates)
        planned = taken = start = 0
        for batch in order.batches():
            rows = batch.rows.shape[1]
            if batch.ragged is None:
                self._take(rows)
                planned += 1
                assert self._outputs is not None
                yield batch, self._outputs[:, start : start + rows]
            else:
                if planned:
                    self._optimizer.took(planned)
                    planned = 0
                yield batch, self._step(batch, rates[taken].tolist())
            taken, start = taken + 1, start + rows
        if planned:
            self._optimizer.took(planned)

    def _begin(self, order: EpochOrder, rates: NDArray[np.float64]) -> None:
        if self._order is None:
            self._order = order.rows, order.targets
            self._offsets = torch.arange(order.size, device=order.rows.device)
        else:  # in the same memory, where a recorded step looks for them
            for held, drawn in zip(self._order, (order.rows, order.targets), strict=True):
                held.copy_(drawn)
        self._optimizer.plan(self._timetable, rates)
        self._timetable.begin()

    def _take(self, rows: int) -> None:
        if self._timetable.grown:
            self._timetable.lay_out()
        self._graphs.run(rows, partial(self._body, rows))

    def _body(self, rows: int) -> None:
        """Take the step whose turn it is, with so many rows."""
        assert self._order is not None
        at = self._timetable.at
        columns = at * len(self._offsets) + self._offsets[:rows]
        self._timetable.turn()
        rows_now, targets_now = (each.index_select(1, columns) for each in self._order)
        output = self._step(Batch(rows_now, targets_now, None), None)
        if self._outputs is None:
            self._outputs = output.new_empty(*self._order[0].shape, *output.shape[2:])
        self._outputs.index_copy_(1, columns, output)
        at.add_(1)
