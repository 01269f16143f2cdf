"""What the Optuna dashboard's page gets of a study: as much as it shows, in pieces.

The dashboard's own answer has the whole domain of each parameter in each trial, which its page never reads (it takes
them from the search space, which the answer has once): 274 KB a trial with a list of 5,000 choices, made in memory.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from hpo.ledger.study.records import shown_attributes

# Its plot of the courses has a line for each trial, and the whole page stands still while they are drawn.
MOST_COURSES = 2_000
_PIECE = 1 << 18  # characters, about
_encode = json.JSONEncoder(separators=(",", ":")).encode

Dimension = tuple[str, BaseDistribution]
Kind = tuple[Any, ...]
# (its parameters that all trials have, all its parameters, its attributes and whether they are numbers, any courses)
Common = tuple[list[Dimension], list[Dimension], list[tuple[str, bool]], bool]


def pieces(
    head: Mapping[str, Any], lists: Mapping[str, Iterable[FrozenTrial]], show: Callable[[FrozenTrial], dict[str, Any]]
) -> Iterator[str]:
    """Yield the JSON text of an answer: that of `head`, and of the trials in `lists` by their names. show: returns of a
    trial without parameters what there is besides them."""
    places = _Places()
    text = [_encode({key: value for key, value in head.items() if key not in lists})[:-1]]
    size = len(text[0])
    for name, trials in lists.items():
        text.append(f',"{name}":[')
        comma = ""
        for trial in trials:
            text.append(comma + _encode(show(_without_parameters(trial)) | {"params": places.of(trial)}))
            size += len(text[-1])
            comma = ","
            if size > _PIECE:
                yield "".join(text)
                text, size = [], 0
        text.append("]")
    yield "".join([*text, "}"])


def _without_parameters(trial: FrozenTrial) -> FrozenTrial:
    other = copy(trial)
    other.params, other.distributions = {}, {}
    other.user_attrs = dict(shown_attributes(trial.user_attrs))
    return other


class _Places:
    """Where each value is in its domain, looked up once: a list of choices is searched from its beginning."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[BaseDistribution, dict[tuple[type, Any], float]]] = {}

    def of(self, trial: FrozenTrial) -> list[dict[str, Any]]:
        """Return a trial's parameters as the page reads them."""
        domains = trial.distributions
        return [
            {
                "name": name,
                "param_internal_value": self._place(name, value, domains[name]),
                "param_external_value": str(value),
            }
            for name, value in trial.params.items()
        ]

    def _place(self, name: str, value: Any, domain: BaseDistribution) -> float:
        if not isinstance(domain, CategoricalDistribution):
            return domain.to_internal_repr(value)
        known, places = self._known.get(name, (None, {}))
        if known is not domain:
            self._known[name] = domain, (places := {})
        key = type(value), value
        if key not in places:
            places[key] = domain.to_internal_repr(value)
        return places[key]


@dataclass
class _Union:
    """What some trials have in common, and what at least one of them has. A number's bounds are the outermost."""

    domains: dict[tuple[str, Kind], BaseDistribution] = field(default_factory=dict)
    everywhere: frozenset[tuple[str, Kind]] | None = None  # those that all trials have; None: there was no trial
    attributes: dict[str, bool] = field(default_factory=dict)  # whether all values are numbers
    courses: int = 0  # trials with reports

    def copied(self) -> _Union:
        return _Union(dict(self.domains), self.everywhere, dict(self.attributes), self.courses)

    def add(self, trial: FrozenTrial) -> None:
        for name, value in shown_attributes(trial.user_attrs).items():
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            self.attributes[name] = self.attributes.get(name, True) and number
        if trial.state == TrialState.FAIL:
            return
        self.courses += bool(trial.intermediate_values)
        keys = []
        for name, domain in trial.distributions.items():
            keys.append(key := (name, _kind(domain)))
            known = self.domains.get(key)
            if known is not domain:
                self.domains[key] = domain if known is None else _merged(known, domain)
        self.everywhere = frozenset(keys) if self.everywhere is None else self.everywhere.intersection(keys)

    def common(self) -> Common:
        everything = [
            (key, (key[0], domain)) for key, domain in sorted(self.domains.items(), key=lambda item: item[0][0])
        ]
        return (
            [dimension for key, dimension in everything if key in (self.everywhere or ())],
            [dimension for _, dimension in everything],
            sorted(self.attributes.items()),
            0 < self.courses <= MOST_COURSES,
        )


class Commons:
    """What each study's trials have in common: of a trial that has ended, and all before it, it is found out once."""

    def __init__(self) -> None:
        self._studies: dict[int, tuple[_Union, int, FrozenTrial | None]] = {}

    def of(self, study: int, trials: Sequence[FrozenTrial]) -> Common:
        """trials: all of the study's, by number."""
        union, done, last = self._studies.get(study, (_Union(), 0, None))
        if done and (len(trials) < done or trials[done - 1] is not last):  # another study under the same id
            union, done = _Union(), 0
        union = union.copied()  # another thread may have the one that is kept
        while done < len(trials) and trials[done].state.is_finished():
            union.add(trials[done])
            done += 1
        self._studies[study] = union, done, trials[done - 1] if done else None
        if done < len(trials):
            union = union.copied()
        for trial in trials[done:]:
            union.add(trial)
        return union.common()


def _kind(domain: BaseDistribution) -> Kind:
    """Return what two domains of one parameter have to share to be merged."""
    if isinstance(domain, FloatDistribution | IntDistribution):
        return type(domain), domain.step, domain.log
    return (type(domain),)


def _merged(known: BaseDistribution, other: BaseDistribution) -> BaseDistribution:
    """Return a domain with all of two of one kind."""
    if isinstance(known, CategoricalDistribution) and isinstance(other, CategoricalDistribution):
        if known.choices == other.choices:
            return known
        choices = {(type(choice), choice): choice for choice in known.choices + other.choices}
        return known if len(choices) == len(known.choices) else CategoricalDistribution(list(choices.values()))
    if isinstance(known, FloatDistribution) and isinstance(other, FloatDistribution):
        if known.low <= other.low and other.high <= known.high:
            return known
        low, high = min(known.low, other.low), max(known.high, other.high)
        return FloatDistribution(low, high, log=known.log, step=known.step)
    if isinstance(known, IntDistribution) and isinstance(other, IntDistribution):
        if known.low <= other.low and other.high <= known.high:
            return known
        return IntDistribution(min(known.low, other.low), max(known.high, other.high), log=known.log, step=known.step)
    return known
