"""How many trials a study goes on to, agreed with the drivers that share it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from hpo.ledger.sharing import extension
from hpo.ledger.sharing.ownership import Ownership
from hpo.ledger.study.book import StudyBook
from hpo.spec.sweep import Sweep


class StudyBudget:
    """A sweep's budget: its file's, or what `--extend` made of it, noted in the study."""

    def __init__(self, sweep: Sweep, book: StudyBook, ownership: Ownership, shared: bool) -> None:
        """shared: whether other drivers may run the study at the same time."""
        self._in_file = sweep
        self._book = book
        self._ownership = ownership
        self._shared = shared
        self._extension: dict[str, Any] | None = book.attributes.get(extension.ATTRIBUTE)
        uncounted = int(book.attributes.get(extension.UNCOUNTED, 0))
        self.sweep = _with_trials(sweep, extension.extended(self._extension, sweep.budget.trials, uncounted))

    def extend(self, trials: int, done: int) -> bool:
        """Set the budget to so many trials more than the `done` ones. If the study was extended by as many before, and
        has not got there yet, that goes on; returns whether it does."""
        recorded = _trials_in(self._book.attributes.get("sweep"))

        def change(noted: dict[str, Any] | None, others: Collection[int]) -> dict[str, Any]:
            budget, number = self._in_file.budget.trials, self._ownership.number
            return extension.extend(noted, trials, budget, done, recorded, number, others).noted()

        before, extended = self._agree(extension.ATTRIBUTE, self._extension, change)
        self._extension = extended
        self.sweep = _with_trials(self.sweep, extended["to"])
        return bool(before == extended)

    def attributes(self, facts: Mapping[str, Any], done: int) -> dict[str, Any]:
        """Return the attributes of a study that is taken over. facts: those that say what it is (book.facts_of)."""
        # A study that has more trials than a budget that was lowered has not overspent it.
        config = _with_trials(self.sweep, max(self.sweep.budget.trials, done)).config()
        known = self._book.attributes.get("sweep")
        _, sweep = self._agree("sweep", known, lambda old, others: _larger(config, old, others))
        extended = {} if self._shared or self._extension is None else {extension.ATTRIBUTE: self._extension}
        return {**facts, "sweep": sweep, **extended}

    def close(self, done: int) -> None:
        """Note that a command has ended as it should, with so many trials done."""
        if self._extension is None:
            return
        _, noted = self._agree(extension.ATTRIBUTE, self._extension, lambda noted, others: extension.close(noted, done))
        self._book.set_attribute(extension.ATTRIBUTE, noted)

    def _agree(self, key: str, known: Any, change: Callable[[Any, Collection[int]], Any]) -> tuple[Any, Any]:
        before, value = self._ownership.agree(key, known, change)
        if self._shared:  # it is written
            self._book.attributes[key] = value
        return before, value


def _with_trials(sweep: Sweep, trials: int) -> Sweep:
    return replace(sweep, budget=replace(sweep.budget, trials=trials))


def _trials_in(config: Mapping[str, Any] | None) -> int:
    """Return the trials of a sweep as a study has it; 0 if it has none yet."""
    return int(config["budget"]["trials"]) if config else 0


def _larger(config: dict[str, Any], other: Mapping[str, Any] | None, others: Collection[int]) -> dict[str, Any]:
    """Return a sweep's definition with the budget of other drivers, if they bring the study further."""
    trials = max(_trials_in(config), _trials_in(other) if others else 0)
    return config | {"budget": config["budget"] | {"trials": trials}}
