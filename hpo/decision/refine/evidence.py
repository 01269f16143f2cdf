"""Which trials of a study are good, and what all of them say of one parameter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpo.ledger.study.records import TrialRecord, record_of
from hpo.ledger.study.space_change import fits
from hpo.review.certainty import certainty_of
from hpo.review.studies import RecordedStudy, confirmation_of
from hpo.spec.faults import UserError
from hpo.spec.space import show

SHARE = 0.15  # of the trials that are good at least
FEWEST_GOOD = 10  # with fewer, chance alone makes narrow regions
FEWEST_TRIALS = 2 * FEWEST_GOOD  # with a result
FEWEST_WITH = 5  # good trials with a parameter, before anything is said of it
BLOCKS = 4  # parts of a sweep within which trials are compared (hpo.decision.refine.chance)


@dataclass(frozen=True)
class Sighting:
    """One trial's value of one parameter."""

    value: Any
    good: bool
    block: int  # the part of the sweep that the trial is of, 0 to BLOCKS - 1
    diverged: bool = False


@dataclass(frozen=True)
class TrialEvidence:
    """The trials of a study that tell where its good ones lie."""

    study: RecordedStudy
    good: tuple[TrialRecord, ...]  # the best first; before all others the winner of a confirmation
    rest: tuple[TrialRecord, ...]  # complete or pruned, by number
    failed: tuple[TrialRecord, ...]
    within_noise: int | None  # how many of the good lie within the noise of the best, itself included; None: not known
    noise: float | None
    foreign: int  # trials with a result that the study's space could not have proposed
    running: int
    confirmed: bool  # the best is the winner of a confirmation

    @property
    def best(self) -> TrialRecord:
        return self.good[0]

    @property
    def worst_good(self) -> float:
        values = [record.value or 0.0 for record in self.good]
        return min(values) if self.study.sweep.metric.goal == "maximize" else max(values)

    @property
    def trials(self) -> int:
        """How many trials have a result that counts."""
        return len(self.good) + len(self.rest)

    @property
    def complete(self) -> int:
        return len(self.good) + sum(record.state == "complete" for record in self.rest)

    @property
    def diverged(self) -> int:
        return sum(record.diverged is not None for record in self.rest)

    @cached_property
    def _in_order(self) -> list[tuple[TrialRecord, bool]]:
        pairs = [*((record, True) for record in self.good), *((record, False) for record in self.rest)]
        return sorted(pairs, key=lambda pair: pair[0].number)

    def sightings(self, name: str) -> list[Sighting]:
        """Return what the trials in which a parameter is active had as its value."""
        count = len(self._in_order)
        return [
            Sighting(record.params[name], good, index * BLOCKS // count, record.diverged is not None)
            for index, (record, good) in enumerate(self._in_order)
            if name in record.params
        ]

    def best_with(self, name: str) -> TrialRecord | None:
        """Return the best of the good trials in which a parameter is active; None if it is in none of them."""
        return next((record for record in self.good if name in record.params), None)

    def good_with(self, name: str) -> int:
        """Return in how many of the good trials a parameter is active."""
        return sum(name in record.params for record in self.good)

    def failures(self, name: str) -> Iterator[Any]:
        """Yield a parameter's values in trials that failed or diverged."""
        for record in self.failed:
            if name in record.params:
                yield record.params[name]
        for record in self.rest:
            if record.diverged is not None and name in record.params:
                yield record.params[name]


def gather(study: RecordedStudy) -> TrialEvidence:
    """Sort a study's trials into good ones and others.

    Good are the best SHARE of all that are complete or pruned by the stopping rule, at least FEWEST_GOOD, those that
    tie with the last of them, and all that lie within the noise of the best (hpo.review.certainty). Diverged trials
    are among the others. The winner of the study's confirmation, which was measured over several seeds, comes first.
    Raises UserError if there are too few trials to tell anything.
    """
    space = study.sweep.space
    records = [record_of(trial, history=False) for trial in study.trials]
    results = [record for record in records if record.counts and not (record.state == "pruned" and record.stopped_by)]
    counted = {record.number: record for record in results if fits(space, record.params)}
    complete = [record for record in study.complete if record.number in counted and record.value is not None]
    if len(counted) < FEWEST_TRIALS or len(complete) < FEWEST_GOOD:
        raise UserError(_too_few(study, len(counted), len(complete)))
    most = min(max(FEWEST_GOOD, math.ceil(SHARE * len(counted))), len(counted) // 2, len(complete))
    certainty = certainty_of(study)
    near = {complete[0].number, *(certainty.within or ())}
    confirmation = confirmation_of(study)
    winner = None if confirmation is None else confirmation.winner.number
    cut = complete[most - 1].value
    good = [
        record
        for index, record in enumerate(complete)
        if index < most or record.value == cut or record.number in near or record.number == winner
    ]  # fmt: skip
    numbers = {record.number for record in good}
    good.sort(key=lambda record: record.number != winner)  # all others stay in their order
    return TrialEvidence(
        study=study,
        good=tuple(good),
        rest=tuple(record for number, record in sorted(counted.items()) if number not in numbers),
        failed=tuple(record for record in records if record.state == "failed" and not record.interrupted),
        within_noise=None if certainty.within is None else len(near & numbers),
        noise=certainty.noise,
        foreign=len(results) - len(counted),
        running=sum(record.state == "running" for record in records),
        confirmed=good[0].number == winner,
    )


def _too_few(study: RecordedStudy, counted: int, complete: int) -> str:
    have = f"the study {study.name!r} has {_count(counted, 'trial')} with a result, {complete} of them complete"
    need = f"where the good ones lie can be told from {FEWEST_TRIALS} on, {FEWEST_GOOD} of them complete"
    # If as many of them are complete as of those before.
    lacking = math.ceil((FEWEST_GOOD - complete) * counted / complete) if complete else FEWEST_GOOD
    remedy = f"hpo sweep {study.sweep.source.name or 'FILE'} --extend {max(FEWEST_TRIALS - counted, lacking)}"
    return f"{have}: {need} (about {remedy})"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def told(evidence: TrialEvidence) -> list[str]:
    """Return in words which trials there are, and which of them are good."""
    study, metric = evidence.study, evidence.study.sweep.metric
    pruned = evidence.trials - evidence.complete
    diverged = f", {evidence.diverged} of these diverged" if evidence.diverged else ""
    confirmed = " (the winner of its confirmation)" if evidence.confirmed else ""
    least = "at least" if metric.goal == "maximize" else "at most"
    good = f"good are the best {len(evidence.good)}: {metric.name} of {least} {show(evidence.worst_good)}"
    if evidence.noise is None or evidence.within_noise is None:
        reason = "the noise of the metric is not known"
    else:
        reason = f"{evidence.within_noise} of them lie within the noise of the best ({evidence.noise:.3g})"
    lines = [
        f"study {study.name!r}: {evidence.trials} trials with a result ({evidence.complete} complete, {pruned} pruned"
        f"{diverged}); the best is trial {evidence.best.number}{confirmed}, {metric.name} {show(evidence.best.value)}",
        f"{good}; {reason}",
    ]
    if evidence.foreign:
        lines.append(f"{_count(evidence.foreign, 'trial')} outside of the study's own space are left out")
    if evidence.running:
        lines.append(f"{_count(evidence.running, 'trial')} that still run are left out")
    return lines
