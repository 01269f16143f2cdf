"""Optuna's samplers by the names that sweep files use. A new method is one entry in METHODS (and in spec.grammar)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler
from optuna.trial import TrialState

from hpo.search.keep import Bound
from hpo.search.tpe import SharingTPESampler
from hpo.spec.space import Categorical, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 10  # random trials before a model is fitted (Optuna's default for TPE and GP)


class WeightedRandomSampler(RandomSampler):
    """Random search that honours the `probabilities` of choices."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(seed=seed)
        self._weights: Mapping[str, tuple[float, ...]] = {
            parameter.name: parameter.domain.probabilities
            for parameter in space.parameters
            if isinstance(parameter.domain, Categorical) and parameter.domain.probabilities
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        weights = self._weights.get(param_name)
        if weights is None:
            return super().sample_independent(study, trial, param_name, param_distribution)
        choices = param_distribution.choices  # type: ignore[attr-defined]
        return choices[self._rng.rng.choice(len(choices), p=weights)]


def _tpe(space: Space, seed: int) -> BaseSampler:
    """Conditional parameters are modelled by groups of those that are active together, instead of drawn at random."""
    return SharingTPESampler(seed, STARTUP_TRIALS, group=any(parameter.when for parameter in space.parameters))


METHODS: dict[str, Callable[[Space, int], BaseSampler]] = {
    "random": WeightedRandomSampler,
    "grid": WeightedRandomSampler,  # the searcher hands the grid's configurations over itself
    "tpe": _tpe,
    "gp": lambda space, seed: GPSampler(
        seed=seed, independent_sampler=WeightedRandomSampler(space, seed), n_startup_trials=STARTUP_TRIALS,
        warn_independent_sampling=False,
    ),
    "cmaes": lambda space, seed: CmaEsSampler(
        seed=seed, independent_sampler=WeightedRandomSampler(space, seed), warn_independent_sampling=False,
    ),
    "nsga2": lambda space, seed: NSGAIISampler(seed=seed),
    "qmc": lambda space, seed: QMCSampler(
        seed=seed, scramble=True, independent_sampler=WeightedRandomSampler(space, seed),
        warn_independent_sampling=False,
    ),
}  # fmt: skip


# What the samplers look at. TPE and GP would take ever longer. CMA-ES and NSGA-II keep their generations in attributes
# of trials, of any age, and hardly slow down: they keep their complete trials. QMC and random search look at none, but
# QMC counts its trials itself and takes its space from the first.
BOUNDS: dict[str, Bound] = {
    "random": Bound(()),
    "grid": Bound(()),
    "tpe": Bound((TrialState.COMPLETE, TrialState.PRUNED), 300),
    "gp": Bound((TrialState.COMPLETE,), 200),
    "cmaes": Bound((TrialState.COMPLETE,)),
    "nsga2": Bound((TrialState.COMPLETE,)),
    "qmc": Bound((TrialState.COMPLETE, TrialState.PRUNED)),
}


def make_sampler(method: str, space: Space, seed: int) -> BaseSampler:
    """Return a new sampler. Its draws depend only on `seed` and on the study's history."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ExperimentalWarning
        )  # group and QMC are marked so; their behaviour is tested here
        return METHODS[method](space, seed)
