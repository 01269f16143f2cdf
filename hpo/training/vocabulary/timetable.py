"""Numbers that change from step to step, worked out for a whole epoch and laid out on the device.

A step that is replayed as it was recorded (hpo.training.stack.replay) can take nothing from Python: what differs
between steps it must find on the device, by a counter that is there, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


class Timetable:
    """A row for each step of an epoch; a place in it for each number that a step asks for.

    at: [1], the row of the step that comes next, on the device.
    """

    def __init__(self, steps: int, like: Tensor) -> None:
        """steps: in an epoch. like: has the dtype and the device of the numbers."""
        self.at = torch.zeros(1, dtype=torch.int64, device=like.device)
        self._like = like.new_empty(0)
        self._makers: dict[Hashable, Callable[[], Tensor]] = {}
        self._columns: dict[Hashable, Tensor] = {}  # views of `_row`
        self._table = like.new_empty(steps, 0)
        self._row = like.new_empty(1, 0)

    def begin(self) -> None:
        """Work all numbers out anew: an epoch begins."""
        self.at.zero_()
        self.lay_out()

    def lay_out(self) -> None:
        """Give each number its place. Those that were asked for since the last time had none yet."""
        tables = [make() for make in self._makers.values()]
        if not tables:
            return
        table = torch.cat(tables, 1).to(self._like.dtype)
        if table.shape != self._table.shape:
            self._table = table.to(self._like.device)
            self._row = self._like.new_empty(1, table.shape[1])
            pieces = self._row.view(-1, 1).split_with_sizes([each.shape[1] for each in tables])
            self._columns = dict(zip(self._makers, pieces, strict=True))
        else:  # in the same memory, where a recorded step looks for it
            self._table.copy_(table, non_blocking=True)

    @property
    def grown(self) -> bool:
        """Whether a number was asked for that has no place yet."""
        return len(self._columns) < len(self._makers)

    def turn(self) -> None:
        """Take the row of the step that comes next."""
        if self._columns:
            torch.index_select(self._table, 0, self.at, out=self._row)

    def column(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return a number of each of k members as [k, 1], for the step whose turn it is.

        key: of this number, always the same. make: returns it for all steps, [steps, k], on the host, in float64.
        """
        if key not in self._columns:
            self._makers[key] = make
            return make().to(self._like).index_select(0, self.at).view(-1, 1)
        return self._columns[key]
