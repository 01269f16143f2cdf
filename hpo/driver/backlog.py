"""The backlog: what is to be trained next, and in which order.

First trials that may have killed their worker, each alone in one; then what the planner holds, by groups: trials that a
worker gave back, repeats of interrupted trials, proposals that lost a race against another driver, and new proposals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.events import FailureKind, TrialSpec
from hpo.ledger.study.records import TrialRecord
from hpo.plan.planner import Opening, Planner, opening
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.sweep import Sweep


@dataclass
class RunningTrial:
    """A trial that has begun and not ended: a worker has it, or it waits to run again."""

    key: int  # the searcher's name for it
    spec: TrialSpec
    record: TrialRecord
    stopped_by: str = ""  # the limit for which it was told to stop
    failures: Counter[FailureKind] = field(default_factory=Counter)  # of its earlier runs, as far as they count


class Backlog:
    """Has trials proposed, holds them until a worker is idle, and gives them out in groups of one shape."""

    def __init__(self, sweep: Sweep, searcher: Searcher, workers: int, retries: Iterable[TrialRecord]) -> None:
        """retries: trials that were interrupted with an earlier driver, to be run again as new ones."""
        self._sweep = sweep
        self._searcher = searcher
        self._workers = workers
        self._planner: Planner[Proposal | RunningTrial] = Planner(
            sweep.most_in_cohort, workers, self._opening(workers), sweep.members
        )
        self._alone: list[RunningTrial] = []
        self._retries = list(retries)
        self._repeated: dict[int, TrialRecord] = {}  # interrupted trials, by the key of the proposal that repeats them
        self._held: list[Proposal] = []  # could not begin, since trials of other drivers use up the budget
        self.used_up = False  # there is nothing left to propose

    @property
    def begun(self) -> int:
        """How many trials wait here that have begun: those that run again."""
        return len(self._planner) - self._planner.new + len(self._alone)

    @property
    def new(self) -> int:
        """How many wait here that have not begun."""
        return self._planner.new + len(self._held)

    def share(self, ended: int, left: int, idle: int = 1) -> int:
        """Return how many trials of one shape each idle worker gets, when so many have ended and so many are left."""
        return self._planner.share(ended, left, idle)

    @property
    def proposed(self) -> bool:
        """Whether proposals wait here that have not begun."""
        return bool(self._planner.new or self._held)

    def resize(self, workers: int) -> None:
        """Take in that there are more workers now, or fewer."""
        if workers != self._workers:
            self._workers = workers
            self._planner.resize(workers, self._opening(workers))

    def _opening(self, workers: int) -> Opening:
        sweep = self._sweep
        return opening(sweep.method, sweep.most_in_cohort, workers, sweep.members, sweep.shapes())

    def drop_new(self) -> None:
        """Forget what has not begun."""
        self._planner.drop_new()

    def ask(self, idle: int, running: int, ended: int, room: int) -> None:
        """Have as many trials proposed as idle workers want.

        running: trials that workers have; ended: complete or pruned ones; room: trials that may begin without
        overspending the budget.
        """
        # What repeats an interrupted trial goes first: until it runs, the ledger refuses every new one its place.
        while self._held and room - len(self._retries) > self._planner.new:
            self._add_new(self._held.pop(0), urgent=True)
        wanted = min(self._planner.wanted(idle, running, ended, self._sweep.asked_by_shape), room - self._planner.new)
        while wanted > 0 and not self.used_up:
            first = self._propose()
            wanted -= 1
            if first is None or not self._sweep.asked_by_shape:
                continue
            # The sampler has chosen the shape of one trial; it is asked for those that train beside it in this shape.
            beside = min(wanted, self._planner.group(self._sweep.shape_of(first.params), idle, ended) - 1)
            for _ in range(beside):
                self._propose(self._sweep.shaping(first.params))
            wanted -= max(0, beside)

    def _propose(self, given: Mapping[str, Any] | None = None) -> Proposal | None:
        retry = self._retries.pop(0) if self._retries else None
        if retry is not None:
            self._searcher.enqueue(dict(retry.params))
        proposal = self._searcher.propose(given)
        if proposal is None:
            self.used_up = True
            return None
        if retry is not None:
            self._repeated[proposal.key] = retry
        self._add_new(proposal, urgent=retry is not None or self._sweep.is_baseline(proposal.params))
        return proposal

    def _add_new(self, proposal: Proposal, urgent: bool) -> None:
        self._planner.add(self._sweep.shape_of(proposal.params), proposal, new=True, urgent=urgent)

    def take(self, idle: int, ended: int) -> list[list[Proposal | RunningTrial]]:
        """Return what idle workers are to train, a group for each as far as there is something to do: proposals that
        are to begin, and trials that run again. ended: complete or pruned trials."""
        return self._planner.take(idle, ended)

    def take_alone(self, idle: int) -> list[RunningTrial]:
        """Return trials that each get an idle worker of their own."""
        taken, self._alone = self._alone[:idle], self._alone[idle:]
        return taken

    def repeated_by(self, proposal: Proposal) -> TrialRecord | None:
        """Return the interrupted trial that a proposal repeats, if it does."""
        return self._repeated.get(proposal.key)

    def begin(self, proposal: Proposal) -> None:
        """Take in that a proposal has become a trial."""
        self._repeated.pop(proposal.key, None)

    def hold(self, proposal: Proposal) -> None:
        """Keep a proposal until trials of other drivers have left it room."""
        self._held.append(proposal)

    def repeat(self, interrupted: Iterable[TrialRecord]) -> None:
        """Have interrupted trials of drivers that are gone run again, as new ones."""
        for record in interrupted:
            self._retries.append(record)
            self.used_up = False

    def run_again(self, running: RunningTrial, at_most: int | None = None, urgent: bool = False) -> None:
        """Have a trial run again, beside others. at_most: so many in a cohort of its shape from now on; urgent: it goes
        first."""
        shape = self._sweep.shape_of(running.spec.params)
        if at_most is not None:
            self._planner.limit(shape, at_most)
        self._planner.add(shape, running, new=False, urgent=urgent)

    def run_alone(self, running: RunningTrial) -> None:
        """Have a trial run again, without any other in its worker."""
        self._alone.append(running)
