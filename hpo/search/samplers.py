"""The samplers of the search methods (hpo/spec/methods.py), and the one that draws at random."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from hpo.lazy import quick_imports
from hpo.search.compat import generator_of
from hpo.search.keep import Bound
from hpo.spec.methods import METHODS
from hpo.spec.methods import STARTUP_TRIALS as STARTUP_TRIALS
from hpo.spec.space import Categorical, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial


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
        return choices[generator_of(self).choice(len(choices), p=weights)]


def load_sampler(method: str) -> type[BaseSampler]:
    """Return the class of a method's sampler. To import it may take a quarter of a second, so whoever waits for
    something else calls this meanwhile."""
    module, _, name = METHODS[method].sampler.partition(":")
    with quick_imports():
        found: type[BaseSampler] = getattr(importlib.import_module(module), name)
    return found


def make_sampler(method: str, space: Space, seed: int) -> BaseSampler:
    """Return a new sampler. Its draws depend only on `seed` and on the study's history."""
    entry = METHODS[method]
    sampler: Any = load_sampler(method)
    given: dict[str, Any] = {"seed": seed, **entry.options}
    if entry.takes == "space":
        given["space"] = space
    elif entry.takes == "independent_sampler":
        given["independent_sampler"] = WeightedRandomSampler(space, seed)
    with warnings.catch_warnings():
        # TPE's groups and QMC are marked so; their behaviour is tested here
        warnings.simplefilter("ignore", ExperimentalWarning)
        made: BaseSampler = sampler(**given)
    return made


def bound_of(method: str) -> Bound:
    """Return which ended trials a method's sampler looks at."""
    entry = METHODS[method]
    return Bound(tuple(TrialState[state] for state in entry.looks_at), entry.most)
