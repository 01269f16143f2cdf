"""The other drivers of a study that several share (`--join`), as far as the study tells of them.

The total budget holds exactly although nobody leads. A driver that wants to begin a trial adds it as running, and looks
at the trials with lower numbers: if those that count (complete, pruned or running) fill the budget, it withdraws its
own. Numbers are given in the order in which trials become visible, and a trial that has ceased to count never counts
again; so of the trials that count in the end, the last one saw all the others.

An interrupted trial keeps its place for the trial that repeats it: until that has begun, new trials count it too.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.records import TrialRecord, driver_of, record_of
from hpo.search.distributions import decode_params, searched_params
from hpo.spec.space import Space

_COUNT = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class Refusal(enum.Enum):
    """Why a trial did not begin."""

    FULL = "the budget is used up by trials with lower numbers"  # for now: running ones may fail
    DOUBLE = "a trial with a lower number has the same configuration"


@dataclass
class News:
    """What happened in a shared study since the last look."""

    ended: list[tuple[FrozenTrial, TrialRecord]] = field(default_factory=list)  # trials of other drivers
    begun: list[dict[str, Any]] = field(default_factory=list)  # configurations that other drivers train
    again: list[TrialRecord] = field(default_factory=list)  # interrupted trials that are now this driver's to run again
    notes: list[str] = field(default_factory=list)  # for the user


class Others:
    """Looks at what other drivers write into the study."""

    def __init__(self, book: StudyBook, space: Space, me: int, known: Iterable[int]) -> None:
        """me: this driver's number; known: ended trials that it has taken in."""
        self._book = book
        self._space = space
        self._me = me
        self._known = set(known)
        self._told = set(self._known)  # trials of which the configuration was told
        self._ended: list[FrozenTrial] = []
        self._begun: list[dict[str, Any]] = []
        self._closed: set[int] = set()  # trials that have ended
        self._interrupted: set[int] = set()
        self._repeated: set[int | None] = set()  # trials that others which have ended have repeated
        self._owed: frozenset[int] = frozenset()  # interrupted trials that nothing repeats yet
        self._own: set[int] = set()  # those of them that this driver repeats
        self.trials: list[FrozenTrial] = []
        self.running = 0

    def look(self) -> None:
        """Read what is new in the study."""
        self.trials = self._book.trials()
        fresh = [trial for trial in self.trials if trial.number not in self._closed]  # the others change no more
        running = [trial for trial in fresh if not trial.state.is_finished()]
        ended = [trial for trial in fresh if trial.state.is_finished()]
        light = {trial.number: trial for trial in self._book.forget_histories(ended)}
        for trial in light.values():
            self._close(trial)
        fresh = [light.get(trial.number, trial) for trial in fresh]
        repeated = self._repeated | {trial.user_attrs.get("retry_of") for trial in running}
        self._owed = frozenset(self._interrupted - repeated)
        others = [trial for trial in fresh if driver_of(trial) != self._me]
        self.running = sum(trial.state == TrialState.RUNNING for trial in others)  # no WAITING ones: nobody runs them
        for trial in others:
            if trial.number not in self._told:
                self._told.add(trial.number)
                self._begun.append(decode_params(self._space, trial.params))
            if trial.state.is_finished() and trial.number not in self._known:
                self._known.add(trial.number)
                self._ended.append(trial)

    def _close(self, trial: FrozenTrial) -> None:
        """Take in that a trial has ended."""
        self._closed.add(trial.number)
        self._repeated.add(trial.user_attrs.get("retry_of"))
        if trial.user_attrs.get("interrupted"):
            self._interrupted.add(trial.number)

    @property
    def open(self) -> int:
        """Trials of others that use up the budget and of whose ends `news` has not told, and interrupted ones that
        others run again."""
        return self.running + sum(trial.state in _COUNT for trial in self._ended) + len(self._owed - self._own)

    @property
    def owe(self) -> bool:
        """Whether there are interrupted trials that another driver has to run again, if it is still there."""
        return bool(self._owed - self._own)

    def news(self) -> News:
        """Return what `look` has found; each thing is returned once."""
        records = [(trial, record_of(trial, history=False)) for trial in self._ended]
        news = News([pair for pair in records if pair[1].state != "running"], self._begun)  # running: not hpo's
        self._ended, self._begun = [], []
        return news

    def refusal(
        self, params: dict[str, Any], budget: int, once: bool, repeats: bool, number: float = math.inf
    ) -> Refusal | None:
        """Return why a trial of this number (default: the next) must not run, None if it may.

        once: no two trials may have the same configuration. repeats: it repeats an interrupted trial.
        """
        earlier = [trial for trial in self.trials if trial.number < number and trial.state in _COUNT]
        if len(earlier) + (0 if repeats else len(self._owed)) >= budget:
            return Refusal.FULL
        if once:
            values, _ = searched_params(self._space, params)
            if any(trial.params == values for trial in earlier if driver_of(trial) != self._me):
                return Refusal.DOUBLE
        return None

    def left(self, drivers: Collection[int]) -> tuple[list[FrozenTrial], list[TrialRecord]]:
        """Return the trials that these drivers left running, and those that they left to be run again."""
        running = [t for t in self.trials if not t.state.is_finished() and driver_of(t) in drivers]
        interrupted = [t for t in self.trials if t.number in self._owed and driver_of(t) in drivers]
        self._own.update(trial.number for trial in (*running, *interrupted))
        return running, [record_of(trial, history=False) for trial in interrupted]
