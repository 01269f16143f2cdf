"""Names of Optuna that it keeps for itself and the search uses, as they are in the releases of TESTED.

tests/search/test_compat.py fails if one of them is gone or takes something else. With another release than those,
`SharingTPESampler` leaves everything to Optuna: the proposals are the same, only slower.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import optuna
from optuna.samplers import CmaEsSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

TESTED = ((5, 0),)
FIXED_PARAMS = "fixed_params"  # the attribute with the values that a trial is given, whatever a sampler says
RELATIVE_PARAMS = ":relative_params"  # in the key of an attribute in which TPE and GP leave a running trial's draws

_tpe: Any = importlib.import_module(TPESampler.__module__)


def tested() -> bool:
    """Whether this release of Optuna is one whose names these are."""
    return tuple(int(part) for part in optuna.__version__.split(".")[:2]) in TESTED


def generator_of(sampler: RandomSampler) -> np.random.RandomState:
    """Return the generator that a random sampler draws from."""
    return sampler._rng.rng


def trials_of(study: Study, states: tuple[TrialState, ...]) -> list[FrozenTrial]:
    """Return the trials of a study as its storage holds them; they are not to be changed."""
    return study._get_trials(deepcopy=False, states=states, use_cache=False)


def split_trials(study: Study, ended: list[FrozenTrial]) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """Return the trials that TPE calls good, and the others."""
    below, above = _tpe._split_trials(study, ended, _tpe.default_gamma(len(ended)))
    return below, above


def default_weights(observations: int) -> NDArray[np.float64]:
    """Return how much each observation weighs, the oldest first."""
    weights: NDArray[np.float64] = _tpe.default_weights(observations)
    return weights


def mixture_of(estimator: Any) -> Any:
    """Return the mixture of kernels behind one of TPE's densities."""
    return estimator._mixture_distribution


def weighted(mixture: Any, weights: NDArray[np.float64]) -> Any:
    """Return a mixture of the same kernels with other weights."""
    return mixture._replace(weights=weights)


class OpenTPESampler(TPESampler):
    """Optuna's TPESampler, with the parts of an ask under names of ours."""

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self.draw(study, trial, search_space)

    def draw(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return a value for each parameter of a search space."""
        return super()._sample(study, trial, search_space)

    @property
    def generator(self) -> np.random.RandomState:
        return self._rng.rng

    @property
    def candidates(self) -> int:
        """How many samples are drawn, of which the best is proposed."""
        return self._n_ei_candidates

    def estimator(self, search_space: dict[str, BaseDistribution], places: Iterable[NDArray[np.float64]]) -> Any:
        """Return the density of trials. places: for each parameter, their values in Optuna's own representation."""
        observations = dict(zip(search_space, places, strict=True))
        return self._parzen_estimator_cls(observations, search_space, self._parzen_estimator_parameters)

    def params_of(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        """Return a trial's parameters; of one that runs, also those that were drawn and not yet asked for."""
        return self._get_params(trial, study)


class StartingCmaEsSampler(CmaEsSampler):
    """Optuna's CmaEsSampler, told only when it is first asked from which trials to start."""

    _source_trials: list[FrozenTrial] | None  # Optuna's own attribute

    def sources(self, search_space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
        """Return complete trials of a search space to start from; none: it starts from the middle of the space."""
        return []

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._source_trials = self.sources(search_space) or None
        return super().sample_relative(study, trial, search_space)
