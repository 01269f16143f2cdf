"""What an objective understands: its hyperparameters and its metrics, as plain facts that need no Torch to read.

A sweep file is checked against its objective's contract before any compute. Plain functions and programs have none:
any parameter and any metric is allowed for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hpo.spec.conditions import same
from hpo.spec.faults import Fault
from hpo.spec.plain import plain

Goal = Literal["minimize", "maximize"]
RESAMPLED = ("kfold", "reshuffle")
"""What `data.resample` says where trials, or their members, have rows of their own; else all have one split."""


@dataclass(frozen=True)
class Interval:
    """A range of numbers in the usual notation: `[0, 1)` holds 0 but not 1."""

    text: str

    def _bounds(self) -> tuple[str, float, float, str]:
        match = re.fullmatch(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])", self.text)
        if match is None:
            raise ValueError(f"an interval is written like '[0, 1)', but got {self.text!r}")
        left, low, high, right = match.groups()
        return left, float(low), float(high), right

    @property
    def low(self) -> tuple[float, bool]:
        """The lower end, and whether it belongs to the interval."""
        left, low, _, _ = self._bounds()
        return low, left == "["

    @property
    def high(self) -> tuple[float, bool]:
        """The upper end, and whether it belongs to the interval."""
        _, _, high, right = self._bounds()
        return high, right == "]"

    def __contains__(self, number: float) -> bool:
        left, low, high, right = self._bounds()
        above = number > low if left == "(" else number >= low
        below = number < high if right == ")" else number <= high
        return above and below and not math.isnan(number)


@dataclass(frozen=True)
class Known:
    """A hyperparameter that an objective understands.

    kind: `float`, `int`, `bool`, `choice` (one of `choices`), or `layers` (a list of widths, or a count of layers).
    default: the value when the sweep file does not name it; it never has to lie in the file's range.
    default_where: other defaults, which hold beside some values of other hyperparameters,
        e.g. {"optimizer": {"lion": 0.99}}.
    within: the interval that numbers must lie in, e.g. "(0, inf)".
    requires: other hyperparameters' values for which this one means something,
        e.g. {"optimizer": ("sgd", "rmsprop")}; empty: always. A value outside is a fault, never ignored.
    excludes: values of other hyperparameters beside which this one can't be true, and why; e.g.
        {"batch_size": {1: "batch norm needs two rows"}}.
    hints: what to write in place of words that people may try and that are no values of this one.
    also: words under which people may look for this hyperparameter; they are no names of it.
    part_of: a hyperparameter of the model without which this one means nothing: a task that drops it drops both.
    """

    kind: Literal["float", "int", "bool", "choice", "layers"]
    default: Any
    help: str = ""
    choices: tuple[str, ...] = ()
    within: str = "(-inf, inf)"
    requires: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    excludes: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)
    nullable: bool = False  # None is allowed and means "off"
    mixes: bool = False  # trials that differ in it can train in one cohort; it changes no tensor's shape
    default_where: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    part_of: str = ""

    def __post_init__(self) -> None:
        """Have defaults as a sweep file would: they are recorded. Raises TypeError for what none could have."""
        faults: list[Fault] = []
        default = plain(self.default, (), faults)
        beside = {
            name: {choice: plain(value, (), faults) for choice, value in found.items()}
            for name, found in self.default_where.items()
        }
        for fault in faults:
            raise TypeError(f"a default {fault.message} ({fault.remedy})")
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "default_where", beside)

    def default_beside(self, others: Mapping[str, Any]) -> Any:
        """Return the default where other hyperparameters have these values, aliases resolved."""
        for name, defaults in self.default_where.items():
            if name in others:
                for choice, default in defaults.items():
                    if same(choice, others[name]):  # which may be a list, by mistake
                        return default
        return self.default

    def objection(self, value: Any) -> str:
        """Return why `value` is no value of this hyperparameter, as "must be ..., but got ..."; "" if it is one."""
        if value is None and self.nullable:
            return ""
        rule = {
            "choice": f"must be one of {', '.join(self.choices)}",
            "bool": "must be true or false",
            "int": f"must be a whole number in {self.within}",
            "float": f"must be a number in {self.within}",
            "layers": "must be a list of layer widths like [64, 32], or a count of layers" + self._how_many(),
        }[self.kind]
        return "" if self._holds(value) else f"{rule}, but got {value!r}"

    def _how_many(self) -> str:
        return f", in {self.within}" if self.within != "(-inf, inf)" else ""

    def _holds(self, value: Any) -> bool:
        if self.kind == "choice":
            return value in self.choices
        if self.kind == "bool":
            return isinstance(value, bool)
        if isinstance(value, bool):
            return False
        if self.kind == "layers":
            if isinstance(value, list | tuple):
                widths = all(isinstance(width, int) and not isinstance(width, bool) and width > 0 for width in value)
                return widths and len(value) in Interval(self.within)
            return isinstance(value, int) and value >= 0 and value in Interval(self.within)
        if self.kind == "int" and not (isinstance(value, int) or (isinstance(value, float) and value.is_integer())):
            return False
        return isinstance(value, int | float) and value in Interval(self.within)


@dataclass(frozen=True)
class KnownMetric:
    """A metric that an objective reports.

    varies_with: hyperparameters that change the metric's own scale. While one of them is searched, values of different
        trials cannot be compared, and the metric is refused as the sweep's target.
    without_scale: values of hyperparameters beside which the metric has no scale at all, {"loss": ("perceptron",)}:
        what only makes weights smaller makes it better. It is refused as the target where one of them can be.
    absent_with: values of hyperparameters beside which the metric is not reported, and why: {"loss": {"hinge": "a
        margin is no probability"}}. It is refused likewise.
    """

    goal: Goal
    varies_with: frozenset[str] = frozenset()
    without_scale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    absent_with: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Contract:
    """The hyperparameters and metrics of one objective."""

    parameters: Mapping[str, Known]
    metrics: Mapping[str, KnownMetric]
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # {"activation": {"swish": "silu"}}
    default_epochs: int = 20
    kind_said: str = ""  # of a task whose data decided what kind it is: which, and why
    kind_found: str = ""  # that kind, as data.kind says it
    default_metric: str = ""  # what is optimized where a sweep file names no metric; "": it has to

    def canonical(self, name: str, value: Any) -> Any:
        """Return a value of a hyperparameter by the name that the objective has for it: silu for swish."""
        return self.aliases.get(name, {}).get(value, value) if isinstance(value, str) else value
