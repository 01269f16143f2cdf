"""What every rule of early stopping is to the searcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field


@dataclass
class Course:
    """A trial's way through training: its number in the study of record, and the metric at each step reported."""

    number: int
    values: dict[int, float] = field(default_factory=dict)


class Stopper(ABC):
    """Decides which trials stop early.

    Reports come first and decisions after them: when the metrics of a whole cohort arrive together, all are reported
    before any is decided, so that no member has an advantage by its place in the cohort. Values are negated where the
    metric is maximized: lower is better. They are the same whether trials are reported live or from the record.
    """

    @abstractmethod
    def report(self, course: Course, step: int, value: float) -> None:
        """Take in a value, which `course` holds already. Called once for a trial and step, in order of the steps."""

    @abstractmethod
    def stops(self, course: Course) -> bool:
        """Whether a trial should stop at the last step that it reported."""

    def end(self, course: Course, complete: bool) -> None:  # noqa: B027 (not every rule needs it)
        """Take in that a trial has ended, `complete` or stopped."""

    def withdraw(self, course: Course) -> None:  # noqa: B027
        """Take in that a trial has failed: what it reported counts no more, as it won't when the sweep goes on."""


class NeverStop(Stopper):
    """Lets every trial train to its end."""

    def report(self, course: Course, step: int, value: float) -> None:
        pass

    def stops(self, course: Course) -> bool:
        return False
