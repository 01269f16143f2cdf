"""The region of the good trials in a range of numbers: narrowed to it, or widened where they lie at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpo.decision.refine.bounds import bound_beyond, bound_within, with_bounds
from hpo.decision.refine.chance import SIGNIFICANT, CellCounts, chance_of_prior
from hpo.decision.refine.evidence import Sighting
from hpo.decision.refine.limits import NaturalEnds
from hpo.decision.refine.outcome import RefinedParameter
from hpo.decision.refine.positions import cell_of, position, value_at
from hpo.spec.space import Parameter, Range, show

_TRIMMED = 0.1  # of the good trials on each side: single ones may be good by luck
_MARGIN = 0.2  # of the region's width, on each side of it
_LEAST_MARGIN = 0.05  # of the range
_NARROWEST = 0.25  # of the range: a noisy metric does not tell more from some dozen trials
_WORTHWHILE = 0.8  # of the range: what is hardly narrower stays as it was
_PILED = 1 / 3  # of the good trials in the last cell: they lie at that end ...
_SURELY = 0.01  # ... unless that many would be there by chance with this probability
DANGEROUS = 3  # trials in the last cell that failed or diverged: it is not widened there


@dataclass(frozen=True)
class RangeView:
    """What is known of a range. best: the best trial's value. troubles: values of trials that failed or diverged."""

    parameter: Parameter
    domain: Range
    sightings: Sequence[Sighting]
    counts: CellCounts
    best: Any
    troubles: Sequence[Any]
    ends: NaturalEnds


def refined_range(view: RangeView) -> RefinedParameter:
    """Return a range narrowed to the region of the good trials, widened, or as it was."""
    domain = view.domain
    good = sorted(position(domain, sighting.value) for sighting in view.sightings if sighting.good)
    low = float(np.quantile(good, _TRIMMED, method="lower"))
    high = float(np.quantile(good, 1 - _TRIMMED, method="higher"))
    below, said_below = _beyond(view, at_top=False)
    above, said_above = _beyond(view, at_top=True)
    widened = below is not None or above is not None
    reasons = [_region(view, low, high), *said_below, *said_above]
    if not widened and chance_of_prior(view.counts) >= SIGNIFICANT:
        reasons.append("that is as even as chance would spread them over the range")
        return RefinedParameter(view.parameter, "kept", domain, reasons)
    best = position(domain, view.best)
    left, right = _padded(min(low, best), max(high, best))
    if not widened and right - left > _WORTHWHILE:
        reasons.append("that is nearly all of the range")
        return RefinedParameter(view.parameter, "kept", domain, reasons)
    refined = with_bounds(
        domain,
        bound_within(domain, left, at_top=False) if below is None else below,
        bound_within(domain, right, at_top=True) if above is None else above,
    )
    if refined == domain:
        return RefinedParameter(view.parameter, "kept", domain, reasons)
    reasons.append(f"searched before: {domain}")
    if refined.step != domain.step:
        reasons.append(f"in finer steps, {show(refined.step or 1)} in place of {show(domain.step)}")
    return RefinedParameter(view.parameter, "widened" if widened else "narrowed", refined, reasons)


def _region(view: RangeView, low: float, high: float) -> str:
    """Return in words where the good trials lie, and how many of all lie there."""
    places = [(position(view.domain, sighting.value), sighting.good) for sighting in view.sightings]
    inside = [good for place, good in places if low - 1e-12 <= place <= high + 1e-12]
    total = sum(good for _, good in places)
    first, last = (_short(view.domain, value_at(view.domain, place)) for place in (low, high))
    region = f"at {first}" if first == last else f"in {first} to {last}"
    return f"{sum(inside)} of the {total} good trials lie {region} (of all {len(places)} trials {len(inside)} do)"


def _short(domain: Range, value: float) -> str:
    if domain.count() is None:
        return f"{value:.3g}"
    return show(domain.own(domain.snap(value)))


def _padded(low: float, high: float) -> tuple[float, float]:
    """Return a region with margins, and at least _NARROWEST wide, as positions; cut off at the ends of the range."""
    margin = max(_MARGIN * (high - low), _LEAST_MARGIN, (_NARROWEST - (high - low)) / 2)
    left, right = low - margin, high + margin
    return max(0.0, min(left, 1 - _NARROWEST)), min(1.0, max(right, _NARROWEST))


def _beyond(view: RangeView, at_top: bool) -> tuple[float | None, list[str]]:
    """Return the new bound where the good trials lie at this end of the range, None if it stays; and what there is to
    say of it."""
    domain, counts = view.domain, view.counts
    cell = len(counts.prior) - 1 if at_top else 0
    good, total = int(counts.good[:, cell].sum()), int(counts.good.sum())
    if good < _PILED * total:
        return None, []
    from scipy.stats import binomtest  # deferred: its import loads Torch (hpo.lazy.hidden_while_unused)

    if binomtest(good, total, min(1.0, float(counts.prior[cell])), alternative="greater").pvalue >= _SURELY:
        return None, []
    side, bound = ("upper", domain.high) if at_top else ("lower", domain.low)
    piled = f"{good} of the {total} good trials lie at the {side} end, near {show(bound)}"
    troubles = sum(cell_of(domain, value) == cell for value in view.troubles)
    if troubles >= DANGEROUS:
        return None, [f"{piled}; it is not widened there, where {troubles} trials failed or diverged"]
    end = view.ends.high if at_top else view.ends.low
    widened = bound_beyond(domain, end, at_top)
    if widened is None:
        return None, [f"{piled}, and it can't be widened there ({end.why})"] if end.why else []
    return widened, [f"{piled}, so it is widened there from {show(bound)} to {show(widened)}"]
