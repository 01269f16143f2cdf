"""A sweep and its searcher, played through with made-up values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.distributions import searched_params
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.space import Parameter, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.stopping.base import StoppingKeys
from hpo.stopping.none import NoStopKeys

Score = Callable[[dict[str, Any]], float]


def sweep_of(
    space: Space,
    method: str = "random",
    seed: int = 0,
    baselines: Iterable[dict[str, Any]] = (),
    goal: Any = "maximize",
    rule: StoppingKeys | None = None,
    epochs: int | None = None,
    duplicates: Any = "skip",
    shapes: tuple[str, ...] | None = None,
) -> Sweep:
    return Sweep(
        name="study",
        source=Path("study.yaml"),
        text="",
        metric=Target("score", goal),
        space=space,
        budget=Limits(100, epochs),
        objective="thing",
        method=method,
        duplicates=duplicates,
        seed=seed,
        baselines=tuple(baselines),
        early_terminate=rule or NoStopKeys(type="none"),
        traits=Traits(shape_parameters=shapes),
    )


def space_of(*parameters: Parameter, forbid: Iterable[Any] = ()) -> Space:
    return Space(parameters, tuple(forbid))


def started(searcher: Searcher, number: int) -> Proposal:
    """Propose a configuration that becomes the trial of this number."""
    proposal = searcher.propose()
    assert proposal is not None
    searcher.begin(proposal.key, number, None)
    return proposal


def play(searcher: Searcher, trials: int, score: Score = lambda params: 0.0) -> list[dict[str, Any]]:
    """Propose and finish up to `trials` trials, one at a time; return their configurations."""
    found = []
    for number in range(trials):
        proposal = searcher.propose()
        if proposal is None:
            break
        searcher.begin(proposal.key, number, None)
        searcher.finish(proposal.key, TrialState.COMPLETE, score(proposal.params))
        found.append(proposal.params)
    return found


def history_of(
    space: Space, configurations: Iterable[dict[str, Any]], score: Score = lambda params: 0.0
) -> list[FrozenTrial]:
    """The configurations as finished trials of the study of record."""
    history = []
    for params in configurations:
        values, distributions = searched_params(space, params)
        history.append(create_trial(params=values, distributions=distributions, value=score(params)))
    return numbered(history)


def numbered(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Give trials their numbers in a study of record."""
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


def typed(value: Any) -> str:
    """A configuration as text in which `True`, `1` and `1.0` differ."""
    return repr(sorted(value.items()) if isinstance(value, dict) else value)


def drawn(rng: random.Random, nans: float = 0.0) -> float:
    """Return a value: half of them with ties, as accuracies have, the others without."""
    if rng.random() < nans:
        return math.nan
    return rng.randint(0, 8) / 8 if rng.random() < 0.5 else rng.gauss(0.5, 0.5)
