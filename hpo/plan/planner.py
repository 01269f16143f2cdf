"""The planner: how many trials are asked for at once, and which of them train together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hpo.spec.methods import METHODS

Item = TypeVar("Item")

MOST = 128  # members of a cohort: beyond, a step gains nothing more (scripts/benchmark training)
_PATIENCE = 8  # times that larger groups go first
_FEW = 16  # open trials that cost a method hardly anything, however little it has learnt
_LEARNT_FROM = 8  # ended trials for each open one beyond these
_SHAPES = 16  # of which a cohort each may be open: more would be asked for long before they train


@dataclass
class _Waiting(Generic[Item]):
    item: Item
    new: bool
    since: int  # the round in which it came; earlier for one that goes first


class Planner(Generic[Item]):
    """Holds the trials that wait for a worker, by shape, and deals them out in groups.

    Only trials of one shape can train as one stack. The larger a group, the less a trial costs; but what is asked at
    once is asked without knowing how it turns out, so the number of open trials (waiting or running) is bounded.
    """

    def __init__(self, most: int | None, workers: int, opening: Opening, members: int = 1) -> None:
        """most: trials of a cohort; None: as many as pays; 1: every trial trains alone. members: of each trial.

        opening: trials that may be open while the sampler learns from those that end; more only to give each worker
        one.
        """
        self._most = largest(members) if most is None else most
        self._workers = max(1, workers)
        self._opening = self._within(opening)
        self._waiting: dict[Hashable, list[_Waiting[Item]]] = {}
        self._limits: dict[Hashable, int] = {}
        self._rounds = 0  # in which groups were dealt out
        self._count = 0  # of those that wait
        self._new = 0

    def resize(self, workers: int, opening: Opening) -> None:
        """Take in that there are more workers now, or fewer."""
        self._workers = max(1, workers)
        self._opening = self._within(opening)

    def _within(self, opening: Opening) -> Opening:
        return Opening(self._workers, self._workers) if self._most == 1 else opening

    def __len__(self) -> int:
        return self._count

    def wanted(self, idle: int, running: int, ended: int, by_shape: bool = False) -> int:
        """Return how many new trials to ask the sampler for. idle: workers; running: trials that workers have; ended:
        complete or pruned ones; by_shape: they come in groups of a shape, one for each worker that has none waiting."""
        if idle == 0:
            return 0
        room = max(idle, self._opening.at(ended) - running) - len(self)
        if not by_shape:
            return room
        left = idle - len(self._waiting)
        return min(room, left * self.share(ended, room, left)) if left > 0 else 0

    @property
    def new(self) -> int:
        """How many of those that wait have not begun yet."""
        return self._new

    def add(self, shape: Hashable, item: Item, new: bool, urgent: bool = False) -> None:
        """Take in a trial that waits for a worker. new: it has not begun yet; urgent: it goes first."""
        since = self._rounds - (_PATIENCE if urgent else 0)
        self._waiting.setdefault(shape, []).append(_Waiting(item, new, since))
        self._count += 1
        self._new += new

    def limit(self, shape: Hashable, most: int) -> None:
        """Take in that cohorts of a shape hold at most so many trials here, as a worker found out."""
        self._limits[shape] = min(most, self._limits.get(shape, most))

    def take(self, idle: int, ended: int = 0) -> list[list[Item]]:
        """Return a group of trials for each idle worker, as far as there are any: the largest groups first, but no
        trial waits for ever. ended: as for `wanted`."""
        # One shape is split evenly between idle workers, and workers that are busy now will want as much.
        share = min(-(-len(self) // max(1, idle)), -(-self._opening.at(ended) // self._workers))
        groups = []
        for _ in range(idle):
            if not self._waiting:
                break
            shape = max(self._waiting, key=lambda shape: self._urgency(shape, share))
            waiting = self._waiting[shape]
            size = self._size(shape, share)
            groups.append([entry.item for entry in waiting[:size]])
            self._count -= size
            self._new -= sum(entry.new for entry in waiting[:size])
            if waiting[size:]:
                self._waiting[shape] = waiting[size:]
            else:
                del self._waiting[shape]
        self._rounds += bool(groups)
        return groups

    def share(self, ended: int, left: int, idle: int = 1) -> int:
        """Return how many trials of one shape each idle worker gets, when so many have ended and so many are left."""
        opened = self._opening.at(ended)
        return max(1, min(self._most, -(-min(left, opened) // max(1, idle)), -(-opened // self._workers)))

    def group(self, shape: Hashable, idle: int, ended: int) -> int:
        """Return how many trials of a shape are worth asking for together. idle: workers; ended: as for `wanted`.

        The first groups are half as large: they are drawn blindly, and so the search begins with twice as many shapes.
        """
        share = self.share(ended, self._opening.at(ended), idle)
        return min(self._limits.get(shape, MOST), share if ended else -(-share // 2))

    def drop_new(self) -> None:
        """Forget those that have not begun."""
        kept = {shape: [entry for entry in waiting if not entry.new] for shape, waiting in self._waiting.items()}
        self._waiting = {shape: waiting for shape, waiting in kept.items() if waiting}
        self._count, self._new = self._count - self._new, 0

    def _size(self, shape: Hashable, share: int) -> int:
        most = min(self._most, self._limits.get(shape, self._most))
        return min(len(self._waiting[shape]), most, max(1, share))

    def _urgency(self, shape: Hashable, share: int) -> tuple[bool, int, int]:
        oldest = self._rounds - self._waiting[shape][0].since
        return oldest >= _PATIENCE, self._size(shape, share), oldest


@dataclass(frozen=True)
class Opening:
    """How many trials may be open (proposed and not ended) at a time."""

    least: int
    most: int

    def at(self, ended: int) -> int:
        """Return how many may be open once so many trials have ended."""
        return max(self.least, min(self.most, ended // _LEARNT_FROM))


def largest(members: int) -> int:
    """Return how many trials a cohort has at most where nobody says so. members: of each trial."""
    return max(1, MOST // members)


def opening(method: str, most: int | None, workers: int, members: int = 1, shapes: int | None = 1) -> Opening:
    """Return how many trials may be open in a sweep that trains cohorts.

    A method that learns proposes less well the more trials it has not seen the end of, and the more so the less it has
    seen: so their number grows with the trials that have ended (scripts/benchmark search shows what that costs).
    Methods that don't learn lose nothing: as many are open as fill a cohort of each shape. With `most` given, the user
    has decided: every worker gets a full cohort. shapes: of the space; None: without bound.
    """
    workers = max(1, workers)
    if METHODS[method].learns:
        everything = (largest(members) if most is None else most) * workers
        return Opening(everything if most is not None else min(max(_FEW, workers), everything), everything)
    each = largest(members) if most is None else most
    everything = max(each * workers, min(each * (shapes or _SHAPES), each * _SHAPES))
    return Opening(everything, everything)
