"""The trials that train in one stack with another, from the sweep file's `stack`."""

from __future__ import annotations

from hpo.events import Beside, TrialSpec
from hpo.spec.grammar import Stack


def beside_of(stack: Stack) -> Beside:
    """Return who trains in one stack with a trial, and for how long."""
    trials = [TrialSpec(index, each.params, each.seed, each.epochs) for index, each in enumerate(stack.others)]
    until = {index: each.until for index, each in enumerate(stack.others) if each.until is not None}
    return Beside(stack.place, tuple(trials), until)
