"""What every stopping rule is: a section of the sweep file, and what it makes of the trials of a sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hpo.events import DecisionSteps
from hpo.section import Section


@dataclass
class Course:
    """A trial's way through training: its number in the study of record, and the metric at each step reported."""

    number: int
    values: dict[int, float] = field(default_factory=dict)
    repeats: int | None = None  # the first of the interrupted trials that it repeats

    @property
    def origin(self) -> int:
        """The number of the trial that it is at bottom, however often that was interrupted and begun again."""
        return self.number if self.repeats is None else self.repeats


class StoppingRule(ABC):
    """Decides which trials stop early.

    Reports come first and decisions after them: when the metrics of a whole cohort arrive together, all are reported
    before any is decided, so that no member has an advantage by its place in the cohort. Values are negated where the
    metric is maximized: lower is better.

    What counts for other trials is the same live and after a resume, when ended trials are reported from the record: it
    may depend on a trial's number, on its values, and on whether it is complete or was stopped, but not on the order in
    which trials began, reported or ended, nor on that of a trial's own steps. In a study that several drivers share,
    each counts the others' trials once it has seen that they ended: there, decisions depend on when news arrive.
    """

    @abstractmethod
    def report(self, course: Course, step: int, value: float) -> None:
        """Take in a value, which `course` holds already. Called once for a trial and step; steps may come in any
        order."""

    @abstractmethod
    def stops(self, course: Course) -> bool:
        """Whether a trial should stop at the last step that it reported."""

    def end(self, course: Course, complete: bool) -> None:  # noqa: B027 (not every rule needs it)
        """Take in that a trial has ended, `complete` or stopped."""

    def withdraw(self, course: Course) -> None:  # noqa: B027
        """Take in that a trial has failed: what it reported counts no more, as it won't when the sweep goes on."""

    @property
    def awaited(self) -> int:
        """How many more trials must be complete before any is stopped."""
        return 0

    def would_stop(self, course: Course, complete: bool) -> int | None:
        """Return the first step at which a trial that reports the same would be stopped as things stand now, None: at
        none. Changes nothing. `course`: a trial's that the rule knows, `complete` or not; it is not compared with
        itself."""
        again = Course(-1 - course.number, repeats=course.origin)
        with self._without(course, complete):
            try:
                for step, value in sorted(course.values.items()):
                    again.values[step] = value
                    self.report(again, step, value)
                    if self.stops(again):
                        return step
            finally:
                self.withdraw(again)
        return None

    @contextmanager
    def _without(self, course: Course, complete: bool) -> Iterator[None]:
        """Count a trial's values no more inside the block."""
        yield


def take_out(values: array[float], value: float) -> bool:
    """Take one of these out of sorted values; return whether it was there."""
    place = bisect_left(values, value)
    if place == len(values) or values[place] != value:
        return False
    del values[place]
    return True


class StoppingKeys(Section, ABC):
    """The section `early_terminate` of a sweep file: a stopping rule's keys, and how it is made of them.

    `max_epochs` is always the most epochs that any trial of the sweep trains; None if only its objective knows.
    """

    type: str
    within_trial: ClassVar[bool] = (
        False  # whether the rule looks at each trial by itself, and compares it with no other
    )

    @abstractmethod
    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        """Return the rule, for a new driver of a study of this name."""

    def decision_steps(self, max_epochs: int | None) -> DecisionSteps:
        """Return the steps at which a worker must wait for the rule's word.

        max_epochs: of a Torch task, which reports after each epoch; None for a function or a program, which counts
        steps as it likes and may leave some out.
        """
        return DecisionSteps(every=True)

    def lasting(self, max_epochs: int) -> list[tuple[int, float]]:
        """Return the epochs after which trials are stopped, each with the share of all trials that go on from there, as
        the rule means it; [] if it means none."""
        return []

    def remarks(self, max_epochs: int | None) -> list[str]:
        """Return what the user should know of keys that have less effect than they may expect."""
        return []

    def in_words(self, max_epochs: int | None) -> str:
        """Return what `hpo check` says of the rule."""
        return self.type

    def plain(self) -> Any:
        return self.model_dump(exclude_none=True)
