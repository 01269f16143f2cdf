"""Several rules at once: one between trials, and patience inside each trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from hpo.events import DecisionSteps
from hpo.stopping.base import Course, StoppingKeys, StoppingRule


class SeveralKeys(StoppingKeys):
    """A list of rules, each of which may stop a trial. At most one compares trials, and at most one looks at a trial by
    itself: `joined` makes it so."""

    type: str
    rules: tuple[StoppingKeys, ...]

    def rule(self, study: str, max_epochs: int | None) -> StoppingRule:
        return SeveralRules([each.rule(study, max_epochs) for each in self.rules])

    def decision_steps(self, max_epochs: int | None) -> DecisionSteps:
        found = [each.decision_steps(max_epochs) for each in self.rules]
        every = any(each.every for each in found)
        return DecisionSteps(every, frozenset() if every else frozenset().union(*(each.steps for each in found)))

    def lasting(self, max_epochs: int) -> list[tuple[int, float]]:
        return [each for keys in self.rules for each in keys.lasting(max_epochs)]  # of the one that compares trials

    def remarks(self, max_epochs: int | None) -> list[str]:
        return [each for keys in self.rules for each in keys.remarks(max_epochs)]

    def in_words(self, max_epochs: int | None) -> str:
        return "; ".join(keys.in_words(max_epochs) for keys in self.rules)

    def plain(self) -> list[dict[str, Any]]:
        return [keys.model_dump(exclude_none=True) for keys in self.rules]


def joined(rules: Sequence[StoppingKeys]) -> StoppingKeys:
    """Return the rule that a list of rules is. Raises ValueError if they do not go together."""
    if len(rules) == 1:
        return rules[0]
    if any(keys.type == "none" for keys in rules):
        raise ValueError("'none' stops no trial, so it stands alone (leave it out of the list)")
    for alone, what, remedy in (
        (False, "compare trials", "keep one of them; patience may stand beside it"),
        (True, "look at a trial by itself", "keep one of them"),
    ):
        of_a_kind = [keys.type for keys in rules if keys.within_trial is alone]
        if len(of_a_kind) > 1:
            raise ValueError(
                f"at most one rule may {what}, but {' and '.join(of_a_kind)} do: each would stop what the other counts "
                f"on ({remedy})"
            )
    return SeveralKeys(type=" and ".join(keys.type for keys in rules), rules=tuple(rules))


class SeveralRules(StoppingRule):
    """Stops a trial as soon as one of its rules does. Each takes in all reports, and is asked at each of them: what it
    answers does not depend on the others."""

    def __init__(self, rules: Sequence[StoppingRule]) -> None:
        self._rules = rules

    def report(self, course: Course, step: int, value: float) -> None:
        for rule in self._rules:
            rule.report(course, step, value)

    def stops(self, course: Course) -> bool:
        answers = [rule.stops(course) for rule in self._rules]  # each is asked: a rule may note that it was
        return any(answers)

    def end(self, course: Course, complete: bool) -> None:
        for rule in self._rules:
            rule.end(course, complete)

    def withdraw(self, course: Course) -> None:
        for rule in self._rules:
            rule.withdraw(course)

    @property
    def awaited(self) -> int:
        """Of the rule that needs none, trials may be stopped at any time."""
        return min(rule.awaited for rule in self._rules)

    @contextmanager
    def _without(self, course: Course, complete: bool) -> Iterator[None]:
        with ExitStack() as stack:
            for rule in self._rules:
                stack.enter_context(rule._without(course, complete))
            yield
