"""What becomes of trials that a dead driver left: the same whoever finds them, the next sweep or `hpo doctor`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpo.ledger.study.records import INTERRUPTED, Outcome, TrialRecord, record_of
from hpo.ledger.study.shown_space import shown_space
from hpo.search.distributions import decode_params
from hpo.spec.space import Space
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpo.ledger.study.book import StudyBook


def settle(book: StudyBook, sweep: Sweep, trial: FrozenTrial, now: float) -> TrialRecord:
    """Note the end of a trial that a dead driver left running, before the sampler takes it for one that runs for ever.

    If its outcome was noted, only its state is missing; else it is interrupted, and is run again.
    """
    book.adopt(trial)
    record = record_of(trial)
    if record.state == "running" and "seed" not in trial.user_attrs:
        error = "somebody else added it to the study; hpo trains only what it proposes itself"
        record.outcome, record.ended = Outcome("failed", error=error, failure="error"), now
        record.seed = trial_seed(sweep, record.number, record.params)
        book.set_trial_attribute(record.number, "seed", record.seed)
        book.note_end(record)
    elif record.state == "running":
        record.outcome, record.ended = Outcome("failed", error=INTERRUPTED, interrupted=True), now
        record.params = decode_params(_space(book, sweep), trial.params)
        if record.retry_of is None:  # its driver may have died before it had written the seed
            record.seed = trial_seed(sweep, record.number, record.params)
        book.note_end(record)
    return record


def _space(book: StudyBook, sweep: Sweep) -> Space:
    return shown_space(book.attributes) if sweep.traits.define_by_run else sweep.space


def as_told(record: TrialRecord, live: bool) -> TrialRecord:
    """Return a record as people are told it: one that says `running`, but that nobody trains any more, is interrupted,
    as whoever settles it will write.

    live: whether a driver runs the study.
    """
    if live or record.state != "running":
        return record
    return replace(record, outcome=Outcome("failed", error=INTERRUPTED, interrupted=True))


def to_be_repeated(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the interrupted trials that no other trial repeats yet."""
    listed = list(records)
    retried = {record.retry_of for record in listed}
    return [record for record in listed if record.interrupted and record.number not in retried]


def origins(records: Sequence[TrialRecord]) -> dict[int, int]:
    """Return {trial: the first of the trials that it repeats}. records: in the order of their numbers."""
    found: dict[int, int] = {}
    for record in records:
        if record.retry_of is not None:
            found[record.number] = found.get(record.retry_of, record.retry_of)
    return found


def trial_seed(sweep: Sweep, number: int, params: Mapping[str, Any]) -> int:
    """Return a trial's own seed: its hyperparameter `seed`, else the file's `trial_seed`, else one drawn from the
    sweep's seed and the trial's number."""
    if "seed" in params and not sweep.traits.define_by_run:  # which asks for it when it runs
        return int(params["seed"])
    if sweep.trial_seed is not None:
        return sweep.trial_seed
    digest = hashlib.sha256(f"{sweep.seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # 31 bits: what every library takes
