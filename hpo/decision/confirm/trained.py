"""What the trials of a confirming study came to: which are missing, and how the contenders rank."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from hpo.decision.confirm.contenders import without_seed
from hpo.ledger.study.confirmations import Confirming, Ranked
from hpo.ledger.study.records import TrialRecord
from hpo.spec.conditions import identity_of

Cells = Mapping[tuple[int, int], TrialRecord]  # by contender and seed, both as their places


def cells_of(what: Confirming, records: Sequence[TrialRecord]) -> Cells:
    """Return the trial of each contender with each seed, as far as there is one that has ended and is not to be
    repeated. records: of the confirming study, by number."""
    places = {identity_of(each.params): place for place, each in enumerate(what.contenders)}
    found: dict[tuple[int, int], TrialRecord] = {}
    for record in records:
        place = places.get(identity_of(without_seed(record.params)))
        ended = record.state != "running" and not record.interrupted
        if ended and place is not None and record.seed in what.seeds:
            found[place, what.seeds.index(record.seed)] = record
    return found


def are_all_there(what: Confirming, cells: Cells) -> bool:
    """Whether every contender was trained with every seed, however that ended."""
    return len(cells) == len(what.contenders) * len(what.seeds)


def rank(what: Confirming, cells: Cells, goal: str) -> tuple[Ranked, ...]:
    """Return the contenders, the best by the mean of the sweep's metric first, those that are out last.

    One that did not come through with every seed is out: a mean over the seeds that went well would flatter it. Only
    the baseline is ranked by the seeds that it came through with, if there are two of them: that is to its favour.
    """
    found = [_ranked(what, cells, place) for place in range(len(what.contenders))]
    sign = -1.0 if goal == "maximize" else 1.0
    return tuple(sorted(found, key=lambda each: (each.validation is None, sign * (each.validation or 0.0))))


def _ranked(what: Confirming, cells: Cells, place: int) -> Ranked:
    contender = what.contenders[place]
    trials = [cells[place, index] for index in range(len(what.seeds)) if (place, index) in cells]
    values = [trial.value for trial in trials if trial.state == "complete" and trial.value is not None]
    numbers = tuple(trial.number for trial in trials)
    facts = (contender.name, contender.number, contender.params, contender.baseline)
    out = _fault(trials, len(what.seeds))
    if len(values) < 2 or (out and not contender.baseline):
        return Ranked(*facts, numbers, None, None, out)
    return Ranked(*facts, numbers, statistics.fmean(values), statistics.stdev(values), out)


def _fault(trials: Sequence[TrialRecord], seeds: int) -> str:
    """Return why a contender did not come through with every seed; "" if it did."""
    bad = [trial for trial in trials if trial.state != "complete"]
    parts = []
    if diverged := sum(trial.diverged is not None for trial in bad):
        parts.append(f"diverged with {diverged} of {seeds} seeds")
    if failed := [trial for trial in bad if trial.diverged is None]:
        said = failed[0].error or failed[0].stopped_by or "it was pruned"
        parts.append(f"failed with {len(failed)} of {seeds} seeds ({said})")
    if missing := seeds - len(trials):
        parts.append(f"was not trained with {missing} of {seeds} seeds")
    return "; ".join(parts)


def shared_seeds(what: Confirming, cells: Cells, winner: Ranked, baseline: Ranked) -> list[int]:
    """Return the places of the seeds that both came through with."""
    names = [contender.name for contender in what.contenders]
    places = names.index(winner.name), names.index(baseline.name)

    def came_through(place: int, index: int) -> bool:
        return (place, index) in cells and cells[place, index].state == "complete"

    return [index for index in range(len(what.seeds)) if all(came_through(place, index) for place in places)]
