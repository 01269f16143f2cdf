"""The rows of a stack's members, where each may have its own: folds, or splits of another seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hpo.training.stack.slot import Ragged


class MemberRows:
    """One table on the device for all members. Those that train on the same rows share them; the others' lie one after
    the other, so that one gather serves all."""

    def __init__(self, tables: Sequence[Tensor]) -> None:
        """tables: each member's rows [N, ...]; the very same tensor where they are the same rows."""
        begins: dict[int, int] = {}
        distinct: list[Tensor] = []
        for table in tables:
            if id(table) not in begins:
                begins[id(table)] = sum(map(len, distinct))
                distinct.append(table)
        self.shared = len(distinct) == 1
        self._table = distinct[0] if self.shared else torch.cat(distinct)
        self.counts = [len(table) for table in tables]
        self._begins = torch.tensor([[begins[id(table)]] for table in tables], device=self._table.device)
        self._lasts = torch.tensor([[count - 1] for count in self.counts], device=self._table.device)

    @property
    def numbers(self) -> int:
        """How many numbers a member adds that has rows of its own; 0 where all share them."""
        return 0 if self.shared else self._table.numel() // len(self.counts)

    def take(self, rows: Tensor) -> Tensor:
        """Return the rows [K, B, ...] that have these numbers [K, B], each member's counted in its own."""
        if not self.shared:
            rows = rows + self._begins
        return self._table.index_select(0, rows.flatten()).view(*rows.shape, *self._table.shape[1:])

    def chunk(self, start: int, stop: int) -> Tensor:
        """Return each member's rows [K, stop - start, ...] from `start` on, its last one again where it has fewer."""
        if self.shared:
            part = self._table[start:stop]
            return part.expand(len(self.counts), *part.shape)
        numbers = torch.arange(start, stop, device=self._table.device)
        return self.take(torch.minimum(numbers, self._lasts))

    def ragged(self, start: int, stop: int) -> Ragged | None:
        """Return how many rows of a chunk are each member's own; None: all of them."""
        if min(self.counts) >= stop:
            return None
        sizes = [max(0, min(count, stop) - start) for count in self.counts]
        return Ragged(sizes, stop - start, self._table.device)

    def select(self, rows: list[int]) -> None:
        """Keep only the members in these rows of the stack."""
        self.counts = [self.counts[row] for row in rows]
        self._begins, self._lasts = self._begins[rows], self._lasts[rows]
