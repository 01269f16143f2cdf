"""Optuna's TPESampler, with what one ask has in common with the next computed once.

Between two asks mostly nothing has ended: the best trials and their density are the same, and the others have grown by
those that run. Optuna sorts, encodes and fits everything at each ask. The proposals are the same, number for number
(tests/search/test_tpe.py); only the time tells which of the two is at work.

A trial may be asked for with some parameters given, as those are that train in one stack. Optuna would draw the others
as if these were free, and then put the given values in their places; here they are drawn for the given values.

This rests on what TPESampler does inside (compat.py), so with releases that it was not tested with, it does what
TPESampler does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from scipy.special import softmax

from hpo.search import compat
from hpo.search.density import Choices, Density, Floats, Numerical, axes_of, scaled
from hpo.spec.methods import STARTUP_TRIALS
from hpo.spec.space import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study

_ROUNDING = 1e-7  # more than hpo/search/density.py differs from Optuna by
_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)

_Rows = dict[int, list[float] | None]  # a trial's values by its number; None: it lacks parameters


@dataclass
class _Fit:
    """What the ended trials say of one search space."""

    search_space: dict[str, BaseDistribution]
    ended: Sequence[FrozenTrial]
    axes: Sequence[Choices | Numerical]
    mixture: Any  # the best ones' density, as Optuna has it: samples are drawn from it
    best: Density  # the same
    places: Floats  # the best ones' values, a row for each parameter
    numbers: list[int]  # of the others that have all these parameters
    others: Floats  # their values, a row for each parameter
    rows: _Rows = field(default_factory=dict)  # of ended trials
    running: _Rows = field(default_factory=dict)


class SharingTPESampler(compat.OpenTPESampler):
    """TPE for studies of one objective in which a trial has all its parameters before the next one is asked for."""

    def __init__(self, space: Space, seed: int, n_startup_trials: int = STARTUP_TRIALS) -> None:
        """Conditional parameters are modelled by groups that are active together, instead of drawn at random."""
        # A define-by-run space shows itself, one parameter after the other: that is Optuna's own affair.
        self._known_beforehand = bool(space.parameters)
        super().__init__(
            seed=seed,
            n_startup_trials=n_startup_trials,
            multivariate=True,
            group=not self._known_beforehand or any(parameter.when for parameter in space.parameters),
            constant_liar=True,
        )
        self._fits: dict[tuple[str, ...], _Fit] = {}
        self._shares = self._known_beforehand and compat.tested()
        self._combinations: set[frozenset[tuple[str, BaseDistribution]]] = set()  # of parameters of ended trials
        self._inferred: dict[str, BaseDistribution] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the last answer as long as no other combination of parameters has come up: Optuna looks at all trials
        since the oldest that runs, and for groups at all there are."""
        if self._inferred is None or not self._known_beforehand:
            self._inferred = super().infer_relative_search_space(study, trial)
        return self._inferred

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        super().after_trial(study, trial, state, values)
        combination = frozenset(trial.distributions.items())
        if state != TrialState.FAIL and combination not in self._combinations:
            self._combinations.add(combination)
            self._inferred = None

    def draw(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Return a value for each parameter of a search space."""
        if not self._shares:
            return super().draw(study, trial, search_space)
        ended, running = [], []
        for other in compat.trials_of(study, _STATES):
            if other.state != TrialState.RUNNING:
                ended.append(other)
            elif other.number != trial.number:
                running.append(other)
        fit = self._fit(study, search_space, ended)
        others = self._with_running(study, fit, running)
        samples = self._samples(fit, search_space, trial.system_attrs.get(compat.FIXED_PARAMS, {}))
        rest = Density(fit.axes, scaled(fit.axes, others.copy()), _weights(others.shape[1]))
        gains = fit.best.log(samples) - rest.log(samples)
        if not _is_clear(samples, gains):  # Optuna's last bits decide
            by_name = dict(zip(search_space, samples.T, strict=True))
            gains = fit.mixture.log_pdf(samples) - self.estimator(search_space, others).log_pdf(by_name)
        chosen = zip(search_space, samples[np.argmax(gains)].tolist(), strict=True)
        return {name: search_space[name].to_external_repr(value) for name, value in chosen}

    def _samples(self, fit: _Fit, search_space: dict[str, BaseDistribution], given: Mapping[str, Any]) -> Floats:
        """Draw samples (rows) from the density of the best, given the values of some parameters: its kernels then weigh
        as much as each of them makes these values likely."""
        names = list(search_space)
        columns = [index for index, name in enumerate(names) if name in given]
        if not columns:
            samples: Floats = fit.mixture.sample(self.generator, self.candidates)
            return samples
        row = np.array([search_space[names[index]].to_internal_repr(given[names[index]]) for index in columns])
        axes = [fit.axes[index] for index in columns]
        likely = Density(axes, scaled(axes, fit.places[columns]), _weights(fit.places.shape[1]))
        weights = softmax(likely.kernels(row[None])[0])
        samples = compat.weighted(fit.mixture, weights).sample(self.generator, self.candidates)
        samples[:, columns] = row
        return samples

    def _fit(self, study: Study, search_space: dict[str, BaseDistribution], ended: list[FrozenTrial]) -> _Fit:
        """Return what ended trials say of a search space: the last answer, if neither has changed."""
        key = tuple(search_space)
        fit = self._fits.get(key)
        known = fit is not None and fit.search_space == search_space
        if fit is not None and known and fit.ended == ended:
            return fit
        rows, on_way = (fit.rows, fit.running) if fit is not None and known else ({}, {})
        for known_rows in (rows, on_way):
            if len(known_rows) > 2 * len(ended) + 5000:  # most are of trials that are gone
                known_rows.clear()
        below, above = compat.split_trials(study, ended)
        axes, (_, best) = axes_of(search_space), _known(rows, below, search_space)
        numbers, others = _known(rows, above, search_space)
        places = _columns(best, len(axes))
        mixture = compat.mixture_of(self.estimator(search_space, places))
        density = Density(axes, scaled(axes, places.copy()), _weights(len(best)))
        columns = _columns(others, len(axes))
        fit = _Fit(dict(search_space), ended, axes, mixture, density, places, numbers, columns, rows, on_way)
        self._fits[key] = fit
        return fit

    def _with_running(self, study: Study, fit: _Fit, running: list[FrozenTrial]) -> Floats:
        """Return the values of all trials that are not among the best, in the order of their numbers."""
        numbers, found = _known(fit.running, running, fit.search_space, lambda trial: self.params_of(study, trial))
        if not numbers:
            return fit.others
        together = np.concatenate([fit.others, _columns(found, len(fit.axes))], axis=1)
        if not fit.numbers or numbers[0] > fit.numbers[-1]:
            return together
        return together[:, np.argsort(fit.numbers + numbers)]


def _is_clear(samples: Floats, gains: Floats) -> bool:
    """Whether a sample is best by more than what is lost to rounding: choices that were tried equally often tie."""
    if not np.isfinite(gains).all():
        return False
    close = samples[gains >= gains.max() - _ROUNDING]
    return bool((close == close[0]).all())


def _weights(observations: int) -> Floats:
    weights = np.append(compat.default_weights(observations), [1.0])
    return np.asarray(weights / weights.sum())


def _columns(rows: list[list[float]], parameters: int) -> Floats:
    """Return the values of trials (a row each) with a row for each parameter."""
    flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * parameters)
    return np.ascontiguousarray(flat.reshape(len(rows), parameters).T)


def _known(
    rows: _Rows,
    trials: list[FrozenTrial],
    search_space: dict[str, BaseDistribution],
    params_of: Callable[[FrozenTrial], dict[str, Any]] = lambda trial: trial.params,
) -> tuple[list[int], list[list[float]]]:
    """Return the numbers and the values of those trials that have all parameters of a search space. rows: what is
    known of them from earlier calls; is added to."""
    numbers, found = [], []
    for trial in trials:
        number = trial.number
        if number not in rows:
            rows[number] = _row(params_of(trial), search_space)
        if (row := rows[number]) is not None:
            numbers.append(number)
            found.append(row)
    return numbers, found


def _row(params: dict[str, Any], search_space: dict[str, BaseDistribution]) -> list[float] | None:
    if not search_space.keys() <= params.keys():
        return None
    return [distribution.to_internal_repr(params[name]) for name, distribution in search_space.items()]
