"""Where successive halving decides: its rungs, in epochs."""

from __future__ import annotations

from hpo.spec.grammar import Asha, Hyperband


def first_rung(rule: Asha | Hyperband) -> int:
    """Return the epochs at the first rung. W&B's `max_iter` with `s` means max_iter / eta^s."""
    if rule.min_iter is None and isinstance(rule, Hyperband) and rule.max_iter and rule.s:
        return max(1, int(rule.max_iter / rule.eta**rule.s))
    return rule.min_iter or 1


def rungs(rule: Asha | Hyperband, max_epochs: int) -> list[int]:
    """Return the steps at which successive halving decides: min_iter * eta^k below `max_epochs`."""
    steps = [first_rung(rule)]
    while steps[-1] * rule.eta < max_epochs:
        steps.append(steps[-1] * rule.eta)
    return [step for step in steps if step < max_epochs]
