"""Samplers that keep what they know in attributes of trials that they proposed: how they go on from a study's trials.

The study of record has no such attributes (CMA-ES's are pickles, which have no place in a study that others read). So
when a sweep goes on, NSGA-II takes the best trials there are for its first population, and CMA-ES starts from the
distribution of the best (Nomura et al., "Warm Starting CMA-ES for Hyperparameter Optimization", 2021). Both would
otherwise begin as if nothing had been tried. What other drivers of a shared study end later is in no generation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.compat import StartingCmaEsSampler

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

_ENOUGH = 20  # trials of which a distribution is taken: that of the best tenth


class ResumingCmaEsSampler(StartingCmaEsSampler):
    """CMA-ES that starts from trials which were there before it."""

    def __init__(self, **keys: Any) -> None:
        super().__init__(**keys)
        self.earlier: list[FrozenTrial] = []
        self._found: tuple[dict[str, BaseDistribution], list[FrozenTrial]] = {}, []  # the last answer

    def sources(self, search_space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
        """Return the complete trials that have all parameters of a search space, with these only; none if they are too
        few."""
        if self._found[0] != search_space:
            self._found = search_space, self._look(search_space)
        return self._found[1]

    def _look(self, search_space: dict[str, BaseDistribution]) -> list[FrozenTrial]:
        found = [
            create_trial(
                params={name: trial.params[name] for name in search_space},
                distributions=search_space,
                value=trial.value,
            )
            for trial in self.earlier
            if search_space.keys() <= trial.params.keys()
        ]
        return found if len(found) >= _ENOUGH else []


def take_up(sampler: BaseSampler, study: Study) -> None:
    """Have a sampler go on from the trials of a study that it did not propose itself."""
    if not isinstance(sampler, NSGAIISampler | ResumingCmaEsSampler):
        return
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if isinstance(sampler, ResumingCmaEsSampler):
        sampler.earlier = complete
        return
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    for trial in sorted(complete, key=lambda trial: sign * (trial.value or 0.0))[: sampler.population_size]:
        sampler.get_trial_generation(study, trial)  # which gives it one: the first, until that is full
