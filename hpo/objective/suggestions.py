"""Hyperparameters that a function asks for by `trial.suggest_...`: Optuna's words, and Optuna's rules for them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hpo.events import AskedParameter, Channel
from hpo.lazy import when_loaded
from hpo.objective.steps import StepScale
from hpo.objective.tracked import TrackedParams
from hpo.spec.conditions import identity_of, same
from hpo.spec.faults import Fault
from hpo.spec.names import name_fault
from hpo.spec.plain import plain, shown
from hpo.spec.space import Categorical, Domain, Parameter, Range
from hpo.spec.written import entry_in_records

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class AskedParams(TrackedParams):
    """The hyperparameters that a define-by-run trial has asked for so far."""

    def __missing__(self, key: str) -> Any:
        raise KeyError(
            f"the trial has not asked for {key!r}: call trial.suggest_float({key!r}, ...) or the like first, or give "
            f"the sweep file 'parameters'"
        )


class Suggestions:
    """Hands out a trial's hyperparameters as its code asks for them.

    Without `parameters` in the sweep file the driver is asked, where Optuna's sampler draws; each value is in the study
    before the code goes on. With them, the file decides: a value is the trial's own, whatever range the code names.
    """

    def __init__(self, number: int, params: TrackedParams, channel: Channel, by_run: bool, scale: StepScale) -> None:
        """by_run: the driver is asked. scale: keeps what the user should know."""
        self._number = number
        self._params = params
        self._channel = channel
        self._by_run = by_run
        self._scale = scale
        self.known: dict[str, tuple[Domain, Any]] = {}  # what was asked for: what it may be, and what it is
        self._distributions: dict[str, Callable[[], BaseDistribution]] = {}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What was asked for, as Optuna has it."""
        return {name: make() for name, make in self._distributions.items()}

    @property
    def used(self) -> bool:
        """Whether the code asks as it would ask Optuna."""
        return self._by_run or bool(self.known)

    def number(self, name: str, distribution: Any) -> Any:
        """Return a number of Optuna's FloatDistribution or IntDistribution."""
        integer = isinstance(distribution.low, int)
        step = None if integer and distribution.step == 1 else distribution.step
        for bound in (distribution.low, distribution.high):
            if not math.isfinite(bound):
                raise ValueError(f"the range of {name!r} must be finite, but got {bound}")
        domain = Range(distribution.low, distribution.high, distribution.log, integer, step)
        value = self._value(name, domain, lambda: distribution)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"the code asks for a number {name!r}, but the sweep file's 'parameters' have {value!r}")
        return int(value) if integer else float(value)

    def choice(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of several choices, the very object that was given."""
        choices = list(choices)
        if not choices:
            raise ValueError(f"suggest_categorical({name!r}, ...) needs at least one choice")
        faults: list[Fault] = []
        values = plain(choices, (), faults)
        if faults:
            place = faults[0].path[0] if faults[0].path else 0
            remedy = f" ({faults[0].remedy})" if faults[0].remedy else ""
            raise ValueError(f"choice {place} of {name!r} can't be recorded: it {faults[0].message}{remedy}")
        own: dict[str, tuple[Any, Any]] = {}
        for value, choice in zip(values, choices, strict=True):
            own.setdefault(identity_of(value), (value, choice))
        if len(own) < len(choices):
            self._note("repeated", f"choices of {name!r} that are the same are one choice, whatever their number")
        domain = Categorical(tuple(value for value, _ in own.values()))
        value = self._value(name, domain, lambda: _categorical([choice for _, choice in own.values()]))
        _, choice = own.get(identity_of(value), (value, value))
        return choice

    def _value(self, name: str, domain: Domain, distribution: Callable[[], BaseDistribution]) -> Any:
        if not isinstance(name, str):
            raise TypeError(f"a parameter's name must be text, but got {shown(name)}")
        if fault := name_fault(name):
            raise ValueError(f"no parameter can go by this name: {fault}")
        if name in self.known:
            return self._again(name, domain)
        if self._by_run:
            answer = self._channel.ask(AskedParameter(self._number, name, entry_in_records(Parameter(name, domain))))
            if answer.refusal:
                raise ValueError(answer.refusal)
            dict.__setitem__(self._params, name, answer.value)
            value = answer.value
        elif name not in self._params:
            raise ValueError(
                f"the code asks for {name!r}, which the sweep file's 'parameters' don't have for this trial: add it "
                f"there, or leave 'parameters' out, so that the code says all of them"
            )
        else:
            value = self._params[name]
            if not domain.holds(value):
                where = f"{name}: the file's {value!r} is not what the code asks for ({domain}); the file decides"
                self._note("outside", where)
        self.known[name] = domain, value
        self._distributions[name] = distribution
        return value

    def _again(self, name: str, domain: Domain) -> Any:
        """Return what was asked for before. As Optuna has it: the first time counts."""
        first, value = self.known[name]
        if type(first) is not type(domain) or (isinstance(first, Categorical) and not _same_choices(first, domain)):
            raise ValueError(f"{name!r} was {first} in this trial before, and is {domain} now: give it another name")
        if first != domain:
            self._note("twice", f"{name!r} is asked for twice in a trial, with other bounds: the first ones count")
        return value

    def _note(self, kind: str, text: str) -> None:
        self._scale.notes.setdefault(f"suggest {kind}", text)


def _same_choices(first: Categorical, other: Domain) -> bool:
    return isinstance(other, Categorical) and same(first.values, other.values)


def _categorical(choices: Sequence[Any]) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that storages may not keep tuples: what is kept of them is text
        return CategoricalDistribution(choices)


def as_optunas(kind: type) -> None:
    """Have objects of a class pass for Optuna's trials, where code asks whether they are, once it has loaded Optuna."""

    def register() -> None:
        from optuna.trial import Trial

        Trial.register(kind)

    when_loaded("optuna", "trials", register)
