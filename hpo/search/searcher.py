"""The searcher: proposes configurations and decides who is pruned, over an in-memory Optuna study.

The study of record is the ledger's. This one is a working copy that can be rebuilt from it: asking and telling cost
microseconds instead of transactions, and a rejected proposal leaves no trace anywhere.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.events import Decision
from hpo.search.distributions import decode_params, searched_params, suggest
from hpo.search.pruners import make_pruner
from hpo.search.samplers import STARTUP_TRIALS, WeightedRandomSampler, make_sampler
from hpo.spec.conditions import same
from hpo.spec.space import Categorical
from hpo.spec.sweep import Sweep

_DRAWS = 10_000  # random draws before the allowed configurations are looked for one by one
_ATTEMPTS = 100  # draws from the sampler before forbidden proposals are replaced by random allowed ones


@dataclass(frozen=True)
class Proposal:
    """A configuration to train: active parameters only. `key` names it in later calls to the searcher."""

    key: int
    params: dict[str, Any]


class Searcher:
    """Asks Optuna's sampler and pruner for one sweep. Used from the driver's thread only."""

    def __init__(self, sweep: Sweep, history: Iterable[FrozenTrial] = ()) -> None:
        """history: the finished trials of the study of record, in order."""
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._space = sweep.space
        self._metric = sweep.metric
        finished = list(history)
        # A stream of its own for each continuation: the same draws again would repeat trials.
        self._seed = (sweep.seed * 1_000_003 + len(finished)) % 2**32
        self._sampler = make_sampler(sweep.method, sweep.space, self._seed)
        self._study = optuna.create_study(
            study_name=sweep.name,
            direction=sweep.metric.goal,
            sampler=self._sampler,
            pruner=make_pruner(sweep.early_terminate, sweep.max_epochs()),
        )
        self._study.add_trials(finished)
        self._running: dict[int, optuna.Trial] = {}
        self._baselines: set[int] = set()  # keys of trials that are never pruned
        self._baseline_params = [dict(baseline) for baseline in sweep.baselines]
        self._rng = random.Random(self._seed)
        self._rare: list[dict[str, Any]] = []  # the allowed configurations, once drawing has missed them for long
        self._queue: deque[dict[str, Any]] = deque()
        tried = [decode_params(self._space, trial.params) for trial in finished]
        self._queue.extend(baseline for baseline in self._baseline_params if not _among(baseline, tried))
        tried += self._queue
        self._grid: Iterator[dict[str, Any]] | None = None
        if sweep.method == "grid":
            self._grid = (params for params in sweep.space.configurations() or () if not _among(params, tried))
        weighted = any(isinstance(p.domain, Categorical) and p.domain.probabilities for p in sweep.space.parameters)
        # no other method than random knows weights: they shape the trials that it starts from
        self._startup = WeightedRandomSampler(sweep.space, self._seed) if weighted else None

    def enqueue(self, params: dict[str, Any]) -> None:
        """Have a configuration proposed before anything else."""
        self._queue.appendleft(params)

    def propose(self) -> Proposal | None:
        """Return a configuration to train next; None if the space is used up (a grid)."""
        fixed = self._queue.popleft() if self._queue else None
        if fixed is None and self._grid is not None:
            fixed = next(self._grid, None)
            if fixed is None:
                return None
        if fixed is not None:
            return self._ask(fixed)
        for _ in range(_ATTEMPTS):
            proposal = self._ask()
            if self._space.allowed(proposal.params):
                return proposal
            self._study.tell(self._running.pop(proposal.key), state=TrialState.FAIL)
        return self._ask(self._draw_allowed())

    def _draw_allowed(self) -> dict[str, Any]:
        """Draw an allowed configuration at random. Ends: a space without any was refused when the file was read."""
        while not self._rare:
            for _ in range(_DRAWS):
                if self._space.allowed(params := self._space.draw(self._rng)):
                    return params
            self._rare = list(self._space.survivors())
        return self._rng.choice(self._rare)

    def _ask(self, fixed: dict[str, Any] | None = None) -> Proposal:
        if fixed is not None:
            self._study.enqueue_trial(searched_params(self._space, fixed)[0])
        starting = self._startup is not None and len(self._study.get_trials(deepcopy=False)) < STARTUP_TRIALS
        self._study.sampler = self._startup if starting and self._startup else self._sampler
        trial = self._study.ask()
        self._running[trial.number] = trial
        params = suggest(trial, self._space)
        if _among(params, self._baseline_params):
            self._baselines.add(trial.number)
        return Proposal(trial.number, params)

    def report(self, key: int, step: int, value: float, decide: bool) -> Decision:
        """Take in a value of the metric; with `decide`, return whether the trial goes on.

        Baselines always do: what the winner is judged against must be trained to its end.
        """
        trial = self._running[key]
        known = self._study.get_trials(deepcopy=False)[key].intermediate_values
        if step not in known:  # a trial that is run again after its worker died repeats its steps
            trial.report(value, step)
        stop = decide and key not in self._baselines and trial.should_prune()
        return Decision.STOP if stop else Decision.CONTINUE

    def finish(self, key: int, state: TrialState, value: float | None = None) -> None:
        """Take in a trial's end: COMPLETE with its value, PRUNED, or FAIL."""
        self._study.tell(self._running.pop(key), value if state == TrialState.COMPLETE else None, state=state)


def _among(params: dict[str, Any], others: Iterable[dict[str, Any]]) -> bool:
    """Whether a configuration is one of the others: with the same choices, so `True` is not `1`."""
    return any(
        params.keys() == other.keys() and all(same(value, other[name]) for name, value in params.items())
        for other in others
    )
