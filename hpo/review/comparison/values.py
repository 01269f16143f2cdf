"""What a comparison comes to: plain values, which the terminal, `--json`, a report and scripts show alike."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hpo.spec.contract import Goal

Interval = tuple[float | None, float | None]  # None: no bound on this side
Pairing = Literal["configuration and seed", "configuration", "none"]
Finding = Literal["better", "not shown", "too few trials"]


@dataclass(frozen=True)
class SpreadCurve:
    """A choice's learning curves together. Each is a list with an entry a step, in the metric's units.

    trials: that reported this step or a later one. Where fewer than at the first step are left, the rest was stopped:
    those that went on were the better ones, and the curve is theirs.
    """

    steps: tuple[int, ...]
    trials: tuple[int, ...]
    low: tuple[float, ...]  # the lower quartile
    median: tuple[float, ...]
    high: tuple[float, ...]  # the upper quartile


@dataclass(frozen=True)
class Reached:
    """How soon a choice's trials came to the target. A trial that did not come there counts as later than any."""

    trials: int
    of: int  # trials that began: complete, stopped, diverged and failed
    first_steps: int | None
    first_seconds: float | None
    half_steps: int | None  # by then half of all trials were there; None: less than half ever were
    half_seconds: float | None


@dataclass(frozen=True)
class TrialCounts:
    """How many trials of a choice came to which end."""

    complete: int
    stopped: int  # ended early by the stopping rule or a limit
    diverged: int
    failed: int
    running: int

    @property
    def ended(self) -> int:
        return self.complete + self.stopped + self.diverged + self.failed


@dataclass(frozen=True)
class ComparedChoice:
    """One choice: a value of the parameter, a part of its range, or a study."""

    label: str
    value: Any  # of a part of a range [lowest, highest] of the values that were tried
    trials: TrialCounts
    lost: Interval  # the 95 % interval of the share that diverges or fails
    best: float | None  # of complete and stopped trials, by the sweep's rule
    best_trial: int | None
    best_study: str | None
    median: float | None  # of complete trials, as the next two
    quartiles: tuple[float, float] | None
    seconds: float | None  # the median
    curve: SpreadCurve
    reached: Reached | None


@dataclass(frozen=True)
class ChoiceDifference:
    """How two choices differ. `left` is the one that does better in the trials at hand.

    wins: the probability that a trial of `left` beats one of `right`, a tie counting half. shift: by how much, in the
    metric's units, positive. Both with 95 % intervals, each for itself. p: two-sided; p_holm: corrected for all
    differences of the comparison; None where there are too few trials. finding: `better` where p_holm is at most 0.05.
    pairs: blocks of trials that are equal but for the choice; 0 where trials are compared all with all. trials: of
    left and right that were used.
    """

    left: str
    right: str
    finding: Finding
    wins: float | None
    wins_interval: Interval
    shift: float | None
    shift_interval: Interval
    p: float | None
    p_holm: float | None
    pairing: Pairing
    pairs: int
    trials: tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """Choices of one parameter, or studies, compared."""

    by: str | None  # None: studies
    studies: tuple[str, ...]
    metric: str
    goal: Goal
    target: float | None  # None: there is nothing that it could be
    target_from: str  # where it comes from, in words
    choices: tuple[ComparedChoice, ...]
    differences: tuple[ChoiceDifference, ...]
    remarks: tuple[str, ...]  # what must be known to read it, a sentence each

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON types; a number that is not finite is None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
