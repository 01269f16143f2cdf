"""Carries out what a trial's end means (results.py): in the ledger first, then for the sampler and in the standing."""

from __future__ import annotations

from hpo.driver.tally import Tally
from hpo.ledger.ledger import Ledger
from hpo.ledger.study.records import Outcome, TrialRecord, optuna_state, value_in_study
from hpo.search.searcher import Searcher


def end_trial(
    number: int, key: int, outcome: Outcome, metric: str, ledger: Ledger, searcher: Searcher, tally: Tally
) -> TrialRecord:
    """End a running trial; return its record. key: the searcher's name for it."""
    record = ledger.end(number, outcome)
    by_rule = record.state == "pruned" and record.ranks and not record.stopped_by
    searcher.finish(key, optuna_state(record.state), value_in_study(record, record.last(metric)), by_rule)
    if tally.take(record):
        ledger.best(record)
    return record
