"""How sure a study is of its best trial: how many others lie within the noise of it.

The noise is the best-founded measure that the record allows, in this order:

1. Where a trial is the mean of several members (`repeats`, folds): one standard error of that mean, the standard
   deviation between its members over the root of their number; the one-standard-error rule, as in 2. Between so few
   members it is itself uncertain, so what counts is the best trial's, or the median of all complete trials' where that
   is larger. (Members are taken for independent. Folds share training rows, so theirs is rather too small: Bengio and
   Grandvalet, JMLR 5, 2004. With `repeats` beside folds it is smaller still: the seeds of a fold share its rows.)
2. Where the metric is a share of the validation rows (accuracy), and their number is known: one binomial standard
   error, sqrt(p (1 - p) / rows), as in the one-standard-error rule of Breiman, Friedman, Olshen and Stone,
   Classification and Regression Trees (1984), section 3.4.3. At p = 0 and p = 1, where the formula gives 0, p is
   (hits + 1) / (rows + 2) (Laplace).
3. Where configurations were trained more than once, with different seeds: the standard deviation within a
   configuration, pooled over all of them.
4. Else it is not known, and said so. How much the best trial's own curve goes up and down is no evidence of it.

All trials are measured on the same rows (but with `resample: reshuffle`), so a small difference between two of them may
still be real; and the best of many is measured too well by chance. This says which trials can't be told from the best,
not which are as good.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from hpo.ledger.study.records import TrialRecord, record_of
from hpo.ledger.study.words import kind_of
from hpo.review.studies import RecordedStudy
from hpo.spec.conditions import identity_of
from hpo.spec.space import enumerated
from hpo.training.members import spread_name
from hpo.training.vocabulary.metrics import ROW_SHARES

Measure = Literal["members", "standard_error", "repeats", "unknown"]


@dataclass(frozen=True)
class Repeats:
    """Configurations that were trained with more than one seed."""

    configurations: int
    trials: int
    spread: float  # the standard deviation within a configuration, in the metric's units


@dataclass(frozen=True)
class Members:
    """What the members of the best trial say, and those of the others."""

    count: int  # of each trial
    spread: float  # the standard deviation between the best trial's
    noise: float  # one standard error of a trial's mean
    rows_error: float | None  # of a share of the rows that all members are measured on; None: no share, or other rows


@dataclass(frozen=True)
class Certainty:
    """How sure a study is of its best trial."""

    measure: Measure
    noise: float | None  # in the metric's units; None: not known
    validation_rows: int | None  # None: not recorded
    repeats: Repeats | None
    members: Members | None
    others: int  # trials besides the best that have a value
    within: tuple[int, ...] | None  # those of them that lie within the noise, the best first; None: not known
    words: str

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return asdict(self) | {"within": None if self.within is None else list(self.within)}


def certainty_of(study: RecordedStudy) -> Certainty:
    """Return how sure a study is of its best trial. It must have one."""
    best, *others = study.ranking
    metric, rows = study.sweep.metric.name, best.info.get("validation_rows")
    repeats = _repeats(study.complete)
    found, members = _Found(), _members(study, best)
    if members is not None:
        found = _within(best, others, "members", members.noise)
    elif rows and _is_share(metric):
        found = _within(best, others, "standard_error", standard_error(_value(best), rows))
    elif repeats is not None:
        found = _within(best, others, "repeats", repeats.spread)
    kind = kind_of(record.state for record in study.ranking)
    words = _words(metric, rows, repeats, members, len(others), found, kind)
    return Certainty(found.measure, found.noise, rows, repeats, members, len(others), found.within, words)


@dataclass(frozen=True)
class _Found:
    measure: Measure = "unknown"
    noise: float | None = None
    within: tuple[int, ...] | None = None


def _within(best: TrialRecord, others: Sequence[TrialRecord], measure: Measure, noise: float) -> _Found:
    limit = noise * (1 + 1e-9)  # a trial at the very limit is within it, however it is rounded
    near = (other.number for other in others if abs(_value(other) - _value(best)) <= limit)
    return _Found(measure, noise, tuple(near))


def _value(record: TrialRecord) -> float:
    assert record.value is not None  # a trial that ranks has one
    return record.value


def standard_error(share: float, rows: int) -> float:
    """Return the binomial standard error of a share of so many rows."""
    if share in (0, 1):
        share = (share * rows + 1) / (rows + 2)
    return math.sqrt(share * (1 - share) / rows)


def _is_share(metric: str) -> bool:
    split, _, name = metric.partition("_")
    return split == "val" and name in ROW_SHARES


def _members(study: RecordedStudy, best: TrialRecord) -> Members | None:
    """Return what the members of complete trials, and of the best one, say; None where its spread is not recorded."""
    count, name = best.info.get("members", 1), spread_name(study.sweep.metric.name)
    spreads: dict[int, float] = {}
    for trial in study.trials if count > 1 else ():
        if trial.state.name == "COMPLETE" or trial.number == best.number:
            spread = record_of(trial).beside_value(name)
            spreads |= {} if spread is None else {trial.number: spread}
    if count < 2 or best.number not in spreads:
        return None
    largest = max(spreads[best.number], statistics.median(spreads.values()))
    is_share = not study.sweep.resampled and _is_share(study.sweep.metric.name)
    rows = best.info.get("validation_rows") if is_share else None
    of_rows = standard_error(_value(best), rows) if rows else None
    return Members(count, spreads[best.number], largest / math.sqrt(count), of_rows)


def _repeats(complete: Sequence[TrialRecord]) -> Repeats | None:
    """Return what equal configurations say. One trained twice with the same seed is the same trial twice."""
    values: dict[tuple[str, int | None], dict[int, float]] = defaultdict(dict)
    for record in sorted(complete, key=lambda record: record.number):
        values[identity_of(record.params), record.epochs].setdefault(record.seed, _value(record))
    groups = [list(seeds.values()) for seeds in values.values() if len(seeds) > 1]
    if not groups:
        return None
    trials = sum(map(len, groups))
    squares = sum(sum((value - sum(group) / len(group)) ** 2 for value in group) for group in groups)
    return Repeats(len(groups), trials, math.sqrt(squares / (trials - len(groups))))


def _words(
    metric: str,
    rows: int | None,
    repeats: Repeats | None,
    members: Members | None,
    others: int,
    found: _Found,
    kind: str,
) -> str:
    if found.noise is None or found.within is None:
        reason = f"on how many rows {metric} was measured is not recorded"
        if not _is_share(metric):
            reason = f"{metric} is no share of the validation rows, so their number does not tell its noise"
        return f"not known: {reason}, and no configuration was trained with more than one seed"
    listed = f" ({enumerated([str(number) for number in found.within])})" if found.within else ""
    count = f"{len(found.within):,}" if found.within else "none"
    if others == 0:
        what = "no other trial has a value"
    elif others == 1:
        what = f"the only other {kind} trial is {'' if found.within else 'not '}within the noise of it{listed}"
    else:
        what = f"{count} of the {others:,} other {kind} trials are within the noise of it{listed}"
    facts = []
    if members is not None:
        facts.append(
            f"one standard error of the mean of {members.count} members is {members.noise:.3g}; the best trial's "
            f"spread by {members.spread:.3g} (standard deviation)"
        )
        if members.rows_error is not None:
            facts.append(f"the chance of the {rows:,} rows that all share comes on top ({members.rows_error:.3g})")
    if found.measure == "standard_error":
        facts.append(f"one standard error of {metric} on {rows:,} validation rows is {found.noise:.3g}")
    if repeats is not None:
        how_many = f"{repeats.configurations:,} configurations, {repeats.trials:,} trials"
        facts.append(
            f"configurations trained with more than one seed spread by {repeats.spread:.3g} (standard deviation; "
            f"{how_many})"
        )
    return f"{what}: {'; '.join(facts)}"
