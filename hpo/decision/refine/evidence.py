"""Which trials of a study are good, and what all of them say of one parameter."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpo.ledger.study.records import TrialRecord, record_of, reported
from hpo.ledger.study.settling import as_told
from hpo.ledger.study.space_change import fits
from hpo.review.certainty import certainty_of
from hpo.review.studies import RecordedStudy, confirmation_of
from hpo.spec.faults import UserError
from hpo.spec.space import show

SHARE = 0.15  # of the trials that are good at least
FEWEST_GOOD = 10  # with fewer, chance alone makes narrow regions
LATE = 0.5  # of the steps of the longest trial: one that was stopped later counts with its last value
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
    good: tuple[TrialRecord, ...]  # the best first: a confirmation's winner, complete ones, those stopped late
    rest: tuple[TrialRecord, ...]  # complete or pruned, by number
    failed: tuple[TrialRecord, ...]
    worst_good: float  # the value of the last of the good
    within_noise: int | None  # how many of the good lie within the noise of the best, itself included; None: not known
    noise: float | None
    foreign: int  # trials with a result that the study's space could not have proposed
    running: int
    confirmed: bool  # the best is the winner of a confirmation

    @property
    def best(self) -> TrialRecord:
        return self.good[0]

    @property
    def trials(self) -> int:
        """How many trials have a result that counts."""
        return len(self.good) + len(self.rest)

    @property
    def complete(self) -> int:
        return sum(record.state == "complete" for record in (*self.good, *self.rest))

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
    tie with the last of them, and all that lie within the noise of the best (hpo.review.certainty). A trial that was
    stopped late counts with its value, and so does the best one whenever it was stopped: a stopping rule leaves few
    complete ones, and among them baselines, however bad. Diverged trials are among the others. The winner of the
    study's confirmation, which was measured over several seeds, comes first. Raises UserError if there are too few
    trials to tell anything.
    """
    space, goal = study.sweep.space, study.sweep.metric.goal
    records = [record_of(trial, history=False) for trial in study.trials]
    results = [record for record in records if record.counts and not (record.state == "pruned" and record.stopped_by)]
    counted = {record.number: record for record in results if fits(space, record.params)}
    complete = [record for record in study.complete if record.number in counted and record.value is not None]
    first = study.ranking[:1]  # it may have been stopped early
    values = {r.number: r.value for r in (*complete, *first) if r.value is not None and r.number in counted}
    values |= _of_late_ones(
        study, [counted[number] for number in sorted(counted)], values.keys() if complete else counted
    )
    if len(counted) < FEWEST_TRIALS or len(values) < FEWEST_GOOD:
        raise UserError(_too_few(study, len(counted), len(values)))
    most = min(max(FEWEST_GOOD, math.ceil(SHARE * len(counted))), len(counted) // 2, len(values))
    ranked = sorted(values, key=lambda number: (-values[number] if goal == "maximize" else values[number], number))
    certainty, confirmation = certainty_of(study), confirmation_of(study)
    best = first[0].number
    near = {best, *(certainty.within or ())}
    winner = None if confirmation is None else confirmation.winner.number
    tied = {number for number in ranked if values[number] == values[ranked[most - 1]]}
    numbers = {*ranked[:most], *tied, *(near & values.keys()), *({winner} & values.keys())}
    in_order = [number for number in ranked if number in numbers]
    good = [counted[number] for number in in_order]
    # Else they keep their order.
    good.sort(key=lambda record: (record.number != winner, record.number != best, record.state != "complete"))
    return TrialEvidence(
        study=study,
        good=tuple(good),
        rest=tuple(record for number, record in sorted(counted.items()) if number not in numbers),
        failed=tuple(record for record in records if record.state == "failed" and not record.interrupted),
        worst_good=values[in_order[-1]],
        within_noise=None if certainty.within is None else len(near & numbers),
        noise=certainty.noise,
        foreign=len(results) - len(counted),
        running=sum(as_told(record, study.live).state == "running" for record in records),
        confirmed=good[0].number == winner,
    )


def _of_late_ones(study: RecordedStudy, counted: Sequence[TrialRecord], complete: Collection[int]) -> dict[int, float]:
    """Return the values of trials that were stopped late: after half of the steps of the longest complete one, or of
    the longest of all where none is complete (`complete` then has all of them)."""
    trials, metric = {trial.number: trial for trial in study.trials}, study.sweep.metric.name
    longest = max((max(reported(trials[number])[0], default=0) for number in complete), default=0)
    found = {}
    for record in counted:
        steps, columns = reported(trials[record.number])
        if record.state != "pruned" or record.diverged is not None or not steps or not longest:
            continue
        last = [value for value in columns.get(metric, ()) if value is not None]
        if steps[-1] >= LATE * longest and last:
            found[record.number] = last[-1] if record.value is None else record.value  # of older studies: its last
    return found


def _too_few(study: RecordedStudy, counted: int, late: int) -> str:
    have = f"the study {study.name!r} has {_count(counted, 'trial')} with a result"
    have += f", {late} of them complete or stopped late"
    need = (
        f"where the good ones lie can be told from {FEWEST_TRIALS} on, {FEWEST_GOOD} of them complete or stopped late"
    )
    # If as many of them are as of those before.
    lacking = math.ceil((FEWEST_GOOD - late) * counted / late) if late else FEWEST_GOOD
    remedy = f"hpo sweep {study.sweep.source.name or 'FILE'} --extend {max(FEWEST_TRIALS - counted, lacking, 1)}"
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
    late = sum(record.state == "pruned" for record in evidence.good)
    stopped = f" ({late} of them stopped late: their last value counts)" if late else ""
    good = f"good are the best {len(evidence.good)}: {metric.name} of {least} {show(evidence.worst_good)}{stopped}"
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
