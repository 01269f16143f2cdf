"""Registries of named choices (optimizers, losses, ...): one entry says everything about a choice.

A registry derives the contract of its kind, so a new choice is one entry in one file, and every test of its kind
runs over the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from hpo.spec.contract import Known
from hpo.spec.faults import did_you_mean


class Choice(Protocol):
    """What every entry has: its name, other names for it, and the hyperparameters it takes."""

    @property
    def name(self) -> str: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def takes(self) -> tuple[str, ...]: ...


C = TypeVar("C", bound=Choice)


class Registry(Generic[C]):
    """The choices of one hyperparameter `kind`, and the hyperparameters that they take."""

    def __init__(
        self,
        kind: str,
        default: str,
        choices: Iterable[C],
        parameters: Mapping[str, Known] | None = None,
        defaults: Callable[[C], Mapping[str, Any]] = lambda choice: {},
        requires: Mapping[str, tuple[Any, ...]] | None = None,
    ) -> None:
        """default: the name of the choice that an absent hyperparameter means.

        defaults: a choice's own, where they differ from those in `parameters`.
        requires: values of hyperparameters of other kinds, without which this one means nothing; None: it always does.
        """
        self.kind = kind
        self.default = default
        self._choices = {choice.name: choice for choice in choices}
        self._parameters = dict(parameters or {})
        self._requires = dict(requires or {})
        self._own_defaults = {choice.name: dict(defaults(choice)) for choice in self}
        self.aliases = {alias: choice.name for choice in self for alias in choice.aliases}
        taken = {name for choice in self for name in choice.takes}
        if taken != set(self._parameters):
            raise ValueError(f"{kind}: taken {sorted(taken)} and described {sorted(self._parameters)} must agree")
        for choice in self:
            if foreign := self._own_defaults[choice.name].keys() - set(choice.takes):
                raise ValueError(f"{kind} {choice.name!r}: a default for {sorted(foreign)}, which it does not take")
        if default not in self._choices:
            raise ValueError(f"{kind}: the default {default!r} is not registered")

    def __getitem__(self, name: str) -> C:
        """Return the choice of this name or alias. Raises ValueError with a suggestion for an unknown one."""
        choice = self._choices.get(self.aliases.get(name, name))
        if choice is None:
            raise ValueError(f"unknown {self.kind} {name!r} ({did_you_mean(name, self._choices)})")
        return choice

    def __iter__(self) -> Iterator[C]:
        return iter(self._choices.values())

    def names(self) -> tuple[str, ...]:
        return tuple(self._choices)

    def known(self) -> dict[str, Known]:
        """Return the contract of this kind: the choice itself, and each parameter with the choices that take it."""
        one_of = f"one of {', '.join(self._choices)}"
        facts = {self.kind: Known("choice", self.default, one_of, choices=self.names(), requires=self._requires)}
        for name, known in self._parameters.items():
            takers = tuple(choice.name for choice in self if name in choice.takes)
            known = replace(known, requires={**known.requires, **self._requires})
            if len(takers) < len(self._choices):
                known = replace(known, requires={**known.requires, self.kind: takers})
            own = {choice: defaults[name] for choice, defaults in self._own_defaults.items() if name in defaults}
            facts[name] = replace(known, default_where={self.kind: own}) if own else known
        return facts
