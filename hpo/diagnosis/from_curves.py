"""Diagnoses that the recorded curves allow, whatever was trained. Each function returns its evidence in words, "" if
there is none: too few reports are none."""

from __future__ import annotations

import statistics
from itertools import pairwise

from hpo.diagnosis.from_layers import LARGE_UPDATE, SMALL_UPDATE, USUAL_UPDATE, update_ratio
from hpo.diagnosis.training import Curve, Training, late, late_loss

FEWEST = 5
"""Reports from which a course can be told from noise. Of a trial that was stopped before, and not looked into, nothing
is said: that its few reports show nothing does not make it healthy."""
BLOWN_UP = 2.0
"""A training loss that ends at so many times what it began with went up, not down: chance moves it by per cents."""
CHANCE = {"roc_auc": 0.6, "r2": 0.1}
"""What hardly more than guessing reaches: a model without knowledge has 0.5 and 0 whatever the data. The margin is what
noise in small splits makes of it."""
HALF, SAME = 0.5, 0.05  # balanced accuracy of a model that says the same of every row; how nearly all are meant
RISEN = 0.1
"""Share by which the validation loss has risen above its lowest point, and of what was won until then. Prechelt (1998)
stops at 5 per cent of generalization loss; twice that is no noise."""
LOST = 0.25
"""Share of the training loss's progress that is lost again at the end, or bounced by the curve over and over. A
training loss is what steps are to lower: it goes up where they are too long."""
WAVES = 0.05  # of the loss's level: rises of less, in the mean, are the noise of batches
STRAIGHT = 0.4
"""Share of the training loss's fall that comes in the second half of the epochs. A straight line has 0.5; a curve that
has found the valley's floor has far less, and one that decays by half in each fifth of the epochs has 0.15."""
SLIGHT = 0.01  # of the metric itself: a gain of less is nothing to wait for
UNFINISHED = 0.1
"""Share of the metric's progress that the last quarter of the epochs has added, over the quarter before. Going on like
that, a next one would add about as much."""
NOISY = 2.0  # standard errors that a gain must be above the ups and downs of its own curve


def diverged(training: Training) -> str:
    """A value was not finite, or the training loss went up for good."""
    if training.diverged is not None:
        return f"a value was not finite at step {training.diverged}"
    losses = training.train_loss
    if len(losses) < 2 or losses[0] <= 0 or late_loss(losses) <= BLOWN_UP * losses[0]:
        return ""
    return (
        f"the training loss ended at {late_loss(losses):.3g}, {late_loss(losses) / losses[0]:.1f} times its first value"
    )


def underfit(training: Training) -> str:
    """The model explains not even the rows that it was trained on."""
    if not training.complete:
        return ""  # it had no time
    for name, bound in CHANCE.items():
        train, val = (training.curves.get(f"{split}_{name}", ()) for split in ("train", "val"))
        if train and val and max(late(train), late(val)) < bound:  # outliers may spoil either
            return f"train_{name} is {late(train):.3g} at the end and val_{name} {late(val):.3g}: little above guessing"
    both, recall = (training.curves.get(f"train_{name}", ()) for name in ("balanced_accuracy", "recall"))
    if both and recall and late(both) < HALF + SAME and not SAME < late(recall) < 1 - SAME:
        return f"it says the same of nearly every training row: its recall is {late(recall):.3g}"
    return ""


def overfit(training: Training) -> str:
    """The validation loss rises while the training loss falls."""
    val, train = training.val_loss, training.train_loss
    if len(val) < FEWEST or len(train) != len(val):
        return ""
    best = min(range(len(val)), key=val.__getitem__)
    rise, won = late_loss(val) - val[best], val[0] - val[best]
    if rise <= RISEN * max(abs(val[best]), won) or late(train) >= train[best]:
        return ""
    return (
        f"val_loss was lowest after {best + 1} of {len(val)} epochs, {val[best]:.3g}, and ended at "
        f"{late_loss(val):.3g}, while train_loss fell on from {train[best]:.3g} to {late(train):.3g}"
    )


def rate_too_high(training: Training) -> str:
    """Steps are so long that they jump over what they look for."""
    ratio = update_ratio(training)
    if ratio is not None and ratio > LARGE_UPDATE:
        return f"a step changes weights by {ratio:.0%} of their size, in the median; about 0.1 % is usual"
    losses = training.train_loss
    if len(losses) < FEWEST or (ratio is not None and ratio < USUAL_UPDATE):
        return ""  # what goes up and down there is dropout, or other noise
    lowest = min(losses)
    progress, lost = losses[0] - lowest, late_loss(losses) - lowest
    if lost > LOST * progress and lost > 2 * WAVES * abs(lowest):
        return f"the training loss ended at {late_loss(losses):.3g}, after it had been at {lowest:.3g}"
    rises = [after - before for before, after in pairwise(losses) if after > before]
    falls = losses[0] - losses[-1] + sum(rises)
    if rises and sum(rises) > LOST * falls and sum(rises) > WAVES * len(losses) * abs(statistics.median(losses)):
        return f"the training loss rose in {len(rises)} of {len(losses) - 1} epochs, in all by {sum(rises):.3g}"
    return ""


def rate_too_low(training: Training) -> str:
    """Steps are so short that the training is still on its way."""
    ratio = update_ratio(training)
    if ratio is not None:  # better evidence than the course of a curve
        losses = training.train_loss
        if len(losses) >= FEWEST and 0 <= late_loss(losses) < RISEN * losses[0]:
            return ""  # it has arrived: gradients are small where the loss is
        tells = f"a step changes weights by {ratio:.1e} of their size, in the median; about 1e-3 is usual"
        return tells if ratio < SMALL_UPDATE else ""
    losses = training.train_loss
    if len(losses) < FEWEST or not training.complete:
        return ""
    middle, fall = losses[len(losses) // 2], losses[0] - losses[-1]
    rises = sum(after - before for before, after in pairwise(losses) if after > before)
    steady = rises < 0.1 * fall  # all the way down
    if not steady or (share := (middle - losses[-1]) / fall) < STRAIGHT:
        return ""
    return f"the training loss falls almost in a straight line: {share:.0%} of its fall is in the second half"


def still_improving(training: Training) -> str:
    """More epochs would have made it better."""
    gains = training.gains
    quarter = len(gains) // 4
    if not training.complete or len(gains) < FEWEST or max(gains) == min(gains):
        return ""
    quarter = max(1, quarter)
    now, before = gains[-quarter:], gains[-2 * quarter : -quarter]
    gain = statistics.fmean(now) - statistics.fmean(before)
    progress = statistics.fmean(now) - gains[0]
    noise = _noise(gains) * (2 / quarter) ** 0.5
    least = max(UNFINISHED * progress, NOISY * noise, SLIGHT * abs(statistics.fmean(now)))
    if progress <= 0 or gain <= least:
        return ""
    return (
        f"in the last quarter of its epochs {training.metric} got better by {gain:.3g}, {gain / progress:.0%} of all "
        "that it was improved by"
    )


def _noise(curve: Curve) -> float:
    """Return the standard deviation of a smooth curve's noise, from its second differences (their variance is six times
    the noise's), the second half only, where it bends least."""
    half = curve[len(curve) // 2 :]
    bends = [a - 2 * b + c for a, b, c in zip(half, half[1:], half[2:], strict=False)]
    return (statistics.fmean(bend * bend for bend in bends) / 6) ** 0.5 if bends else 0.0
