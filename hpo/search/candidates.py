"""The configurations that may be proposed, apart from what a sampler draws: what was tried, what goes first, a grid."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from hpo.search.distributions import decode_params
from hpo.spec.census import census_of
from hpo.spec.conditions import identity_of, same_params
from hpo.spec.sweep import Sweep

_DRAWS = 10_000  # random draws before the allowed configurations are gone through one by one


class Candidates:
    """Knows which configurations are allowed and not yet tried, and has some that are proposed whatever a sampler says:
    baselines, those that are run again, and a grid's."""

    def __init__(self, sweep: Sweep, history: Iterable[FrozenTrial], seed: int) -> None:
        """history: the finished trials of the study of record. seed: of the random draws."""
        self._space = sweep.space
        self._rng = random.Random(seed)
        pairs = [(decode_params(sweep.space, trial.params), trial) for trial in history]
        known = [params for params, _ in pairs]
        self._first = deque(dict(params) for params in sweep.baselines if not _among(params, known))
        # None: one configuration may be trained twice
        self._tried: set[str] | None = None if sweep.duplicates == "replicate" else set()
        self.note(params for params, trial in pairs if not trial.user_attrs.get("interrupted"))  # which is run again
        self._elsewhere: set[str] = set()  # configurations that other drivers train or have trained
        self._left: Iterator[dict[str, Any]] | None = None  # the allowed ones, once drawing has missed for long
        self._grid: Iterator[dict[str, Any]] | None = iter(()) if sweep.given_only else None
        if sweep.method == "grid":
            done = {identity_of(params) for params in (*known, *self._first)}
            census = census_of(sweep.space)
            assert census is not None and census.size is not None, "a grid is countable (hpo.spec.methods)"
            self._grid = (params for params in census.grid() if identity_of(params) not in done)

    def put_first(self, params: dict[str, Any]) -> None:
        """Have a configuration proposed before any other."""
        self._first.appendleft(params)

    def avoid(self, configurations: Iterable[dict[str, Any]]) -> None:
        """Take in what other drivers train."""
        listed = list(configurations)
        self.note(listed)
        self._elsewhere.update(map(identity_of, listed))
        self._first = deque(params for params in self._first if not _among(params, listed))

    def note(self, configurations: Iterable[dict[str, Any]]) -> None:
        """Take in that configurations have been proposed."""
        if self._tried is not None:
            self._tried.update(map(identity_of, configurations))

    @property
    def is_given(self) -> bool:
        """Whether nothing else is proposed than `given` returns."""
        return self._grid is not None

    def given(self) -> dict[str, Any] | None:
        """Return the next configuration that no sampler draws; None if there is none (now, or of a grid any more)."""
        if self._first:
            return self._first.popleft()
        return next((params for params in self._grid or () if identity_of(params) not in self._elsewhere), None)

    def wanted(self, params: dict[str, Any]) -> bool:
        """Whether a configuration is allowed, and none that was proposed before where that counts."""
        return self._space.allowed(params) and (self._tried is None or identity_of(params) not in self._tried)

    def draw(self) -> dict[str, Any] | None:
        """Draw a wanted configuration at random; None if there is none left, or none is found."""
        if self._left is None:
            for _ in range(_DRAWS):
                if self.wanted(params := self._space.draw(self._rng)):
                    return params
        census = census_of(self._space)
        if census is None or census.empty:
            return None
        if census.size is not None and self._tried is not None:  # what was passed over once is never wanted again
            self._left = self._left or census.scattered(self._rng)
            return next((params for params in self._left if self.wanted(params)), None)
        drawn = (census.draw(self._rng) for _ in range(_DRAWS))
        return next((params for params in drawn if params is not None and self.wanted(params)), None)


def _among(params: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a configuration is one of the others."""
    return any(same_params(params, other) for other in others)
