"""Where a parameter's values stand on an axis: 0 at its lower end, 1 at its upper; and what is written there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hpo.decision.refine.positions import position, value_at
from hpo.spec.space import Categorical, Parameter, Range, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_TICKS = 12
_LONGEST = 16  # letters of a choice
_LONGEST_NAME = 40


@dataclass(frozen=True)
class ParameterAxis:
    """A searched parameter as an axis from 0 to 1, on the scale on which it is searched."""

    parameter: Parameter

    @property
    def name(self) -> str:
        return brief(self.parameter.name, _LONGEST_NAME)

    @property
    def is_range(self) -> bool:
        return isinstance(self.parameter.domain, Range)

    @property
    def is_log(self) -> bool:
        return isinstance(self.parameter.domain, Range) and self.parameter.domain.log

    @cached_property
    def choices(self) -> int:
        """How many choices there are; 0 of a range."""
        domain = self.parameter.domain
        return len(domain.values) if isinstance(domain, Categorical) else 0

    def place(self, value: Any) -> float | None:
        """Return where a value stands; None if the domain does not hold it (a trial of another space)."""
        domain = self.parameter.domain
        if isinstance(domain, Categorical):
            found = domain.place_of(value)
            return None if found is None else (found + 0.5) / len(domain.values)
        if not isinstance(domain, Range) or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return position(domain, value) if domain.low <= value <= domain.high else None

    def ticks(self, most: int = _MOST_TICKS) -> tuple[list[float], list[str]]:
        """Return where marks stand, and what they say."""
        domain = self.parameter.domain
        if isinstance(domain, Categorical):
            step = math.ceil(len(domain.values) / most)
            shown = range(0, len(domain.values), step)
            return [(place + 0.5) / len(domain.values) for place in shown], [
                brief(show(domain.values[place]), _LONGEST) for place in shown
            ]
        assert isinstance(domain, Range)
        values = _decades(domain, most) if domain.log else _even(domain, most)
        return [position(domain, value) for value in values], [f"{value:.4g}" for value in values]

    def mark(self, axes: Axes, which: Literal["x", "y"], most: int = _MOST_TICKS, room: int = 90) -> None:
        """Let an axis of a plot be this parameter's. room: letters that have place beside one another."""
        places, texts = self.ticks(most)
        crowded = sum(map(len, texts)) + 2 * len(texts) > room
        if which == "x":
            axes.set_xlim(-0.02, 1.02)
            axes.set_xticks(places, texts)
            axes.tick_params("x", rotation=30 if crowded else 0)
            for label in axes.get_xticklabels() if crowded else ():
                label.set_horizontalalignment("right")
            axes.set_xlabel(f"{self.name}{', log scale' if self.is_log else ''}")
        else:
            axes.set_ylim(-0.02, 1.02)
            axes.set_yticks(places, texts)
            axes.set_ylabel(f"{self.name}{', log scale' if self.is_log else ''}")

    def spread(self, places: np.ndarray) -> np.ndarray:
        """Return places with those of one choice beside one another, so that all are seen; always the same."""
        if self.is_range:
            return places
        return places + np.random.default_rng(0).uniform(-0.25, 0.25, len(places)) / self.choices

    def value_text(self, place: float) -> str:
        """Return the number at a place of a range, short."""
        domain = self.parameter.domain
        assert isinstance(domain, Range)
        return f"{domain.snap(min(max(value_at(domain, place), domain.low), domain.high)):.3g}"


def brief(text: str, longest: int) -> str:
    """Return a text with an ellipsis in place of its middle if it is longer."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _decades(domain: Range, most: int) -> list[float]:
    """Return round numbers of a log scale: its powers of ten, or its ends where it has fewer than two."""
    first, last = math.ceil(math.log10(domain.low) - 1e-9), math.floor(math.log10(domain.high) + 1e-9)
    powers = [10.0**power for power in range(first, last + 1)]
    if len(powers) < 2:
        return [domain.low, domain.high]
    return powers[:: math.ceil(len(powers) / most)]


def _even(domain: Range, most: int) -> Sequence[float]:
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(min(most, 6), integer=domain.integer).tick_values(domain.low, domain.high)
    return [float(value) for value in found if domain.low <= value <= domain.high]
