"""A trial's steps: one scale for all of its reports, chosen by the first that names a step, and kept."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from hpo.spec.names import MOST_STEPS

STEP_KEYS = ("epoch", "step")  # what a report may name; the first that is a whole number is the scale


class StepScale:
    """Says at which step each report of a trial is recorded.

    - What is reported for one step is one step's, in however many lines. A metric that comes twice for a step has the
      value that came last; a stopping rule has judged by the first, and does so after a resume as well.
    - A metric whose steps go back (folds that count from 0 again) goes on behind the last step: no value is lost, and
      the last report is the last that came.
    - A fraction of an epoch counts as that epoch. If the first report has a fraction and no whole step beside it, the
      reports are counted.
    - A first step below 0 (an evaluation before training) is step 0, and the others move with it.
    - A report that names no step comes a step after the one before.

    notes: what the user should know of that, by kind, each said for its first case.
    """

    def __init__(self, metric: str) -> None:
        """metric: the sweep's."""
        self.notes: dict[str, str] = {}
        self._metric = metric
        self._key = ""  # of the scale; "": no report has named a step yet
        self._counted: dict[float, int] | None = None  # the steps of positions that are counted; None: they are steps
        self._offset = 0  # of the scale's positions
        self._current = 0  # the step of the last report
        self._here: set[str] = set()  # the metrics of that step, as far as they came one after the other
        self._highest = 0
        self._last: dict[str, int] = {}  # each metric's last step, of reports that named theirs
        self._unnamed = -1  # the sweep's metric's, of reports that did not

    def place(self, positions: Mapping[str, float], metrics: Collection[str]) -> int:
        """Return the step of a report. positions: what it names, by key, finite; metrics: the names of its metrics."""
        if positions and not self._key:
            self._choose(positions)
        position = positions.get(self._key)
        if position is not None:
            step = self._counted_step(position, metrics) if self._counted is not None else self._step(position, metrics)
        elif positions and self._fits(metrics):
            step = self._current
        else:
            step = self._current + 1
            step = self._highest + 1 if self._goes_back(step, metrics) else step
        step = min(step, MOST_STEPS - 1)
        if position is not None or step == self._current:
            self._last |= dict.fromkeys(metrics, step)
        elif self._metric in metrics:
            self._unnamed = step
        self._here = self._here.union(metrics) if step == self._current else set(metrics)
        self._current, self._highest = step, max(self._highest, step)
        return step

    def _choose(self, positions: Mapping[str, float]) -> None:
        named = [key for key in STEP_KEYS if key in positions]
        whole = [key for key in named if positions[key] == math.floor(positions[key])]
        self._key = (whole or named)[0]
        first = positions[self._key]
        if not whole:
            self._counted = {}
            self._note("counted", f"{self._key} {first:g} is no whole number: reports count as steps 1, 2, 3 ...")
        elif first < 0:
            self._offset = -math.floor(first)
            self._note("negative", f"{self._key} {first:g} is recorded as step 0, and the others {self._offset} later")

    def _fits(self, metrics: Collection[str]) -> bool:
        """Whether a report that names a step of another scale belongs to the step before it, which has none of its
        metrics."""
        self._note("scale", f"steps are those of {self._key!r}, which the first report named, where a report has it")
        return bool(self._here) and self._here.isdisjoint(metrics) and not self._goes_back(self._current, metrics)

    def _step(self, position: float, metrics: Collection[str]) -> int:
        whole = math.floor(position)
        if whole != position:
            self._note("fraction", f"{self._key} {position:g} is recorded as {whole}: steps are whole numbers")
        step = whole + self._offset
        if step < 0 or self._goes_back(step, metrics):
            self._offset, step = self._highest + 1 - whole, self._highest + 1
            self._note(
                "again",
                f"{self._key} goes back to {position:g}, as folds do that count anew: recorded as step {step}, and what"
                " follows behind it",
            )
        elif whole == position:
            self._tell_repeated(position, step, metrics)
        return step

    def _counted_step(self, position: float, metrics: Collection[str]) -> int:
        assert self._counted is not None
        step = self._counted.get(position, self._highest + 1)
        if self._goes_back(step, metrics):
            self._counted, step = {}, self._highest + 1
        self._counted[position] = step
        self._tell_repeated(position, step, metrics)
        return step

    def _goes_back(self, step: int, metrics: Collection[str]) -> bool:
        """Whether one of the metrics is ahead of a step."""
        ahead = self._metric in metrics and self._unnamed >= step
        return ahead or any(self._last.get(name, -1) > step for name in metrics)

    def _tell_repeated(self, position: float, step: int, metrics: Collection[str]) -> None:
        again = next((name for name in metrics if self._last.get(name) == step), None)
        if again is not None:
            self._note(
                "repeated", f"{again!r} came twice for {self._key} {position:g}: of one step, the last value counts"
            )

    def _note(self, kind: str, text: str) -> None:
        self.notes.setdefault(kind, text)
