"""Studies in a real journal, written by the one that writes every study, without training anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo.ledger.sharing.owner_file import FileOwnership
from hpo.ledger.study.book import StudyBook, facts_of
from hpo.ledger.study.diagnosed import diagnosed
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection
from hpo.spec.sweep import Sweep, Target
from hpo.spec.yaml_text import dump_source

BEGAN = 1_700_000_000.0


@dataclass
class Trial:
    """A trial to record. series: {metric: values at steps 1, 2, ...}."""

    params: dict[str, Any]
    outcome: Outcome | None = None  # None: it still runs
    series: dict[str, Sequence[float]] = field(default_factory=dict)
    seed: int = 7
    seconds: float = 2.0
    info: dict[str, Any] = field(default_factory=dict)


def complete(value: float, **params: Any) -> Trial:
    return Trial(params, Outcome("complete", value=value))


def sweep_of(
    folder: Path, parameters: dict[str, Any], metric: str = "score", goal: str = "maximize", at: str = "", **keys: Any
) -> Sweep:
    path = folder / f"{keys.get('name', 'small')}.yaml"
    given = {
        "objective": "thing",
        "metric": {"name": metric, "goal": goal} | ({"at": at} if at else {}),
        "budget": {"trials": 5},
    }
    path.write_text(dump_source(given | {"parameters": parameters} | keys))
    return load_sweep(path, lambda named: Inspection(None), ())


def recorded(home: Home, sweep: Sweep, trials: Iterable[Trial]) -> Home:
    """Record a study of these trials."""
    home.prepare()
    book = StudyBook(sweep, home)
    book.create(facts_of(sweep, "an id"))
    with book.together():
        for trial in trials:
            _record(book, trial, sweep.metric)
    return home


def _record(book: StudyBook, trial: Trial, metric: Target) -> None:
    record = TrialRecord(-1, trial.params, trial.seed, started=BEGAN, info=trial.info)
    record.number = book.begin(record)
    for name, values in trial.series.items():
        for step, value in enumerate(values, start=1):
            record.steps.setdefault(step, {})[name] = value
            record.times[step] = BEGAN + step
            if name == metric.name:
                book.report(record.number, step, value)
    if trial.outcome is not None:
        record.outcome, record.ended = trial.outcome, BEGAN + trial.seconds
        record.diagnoses = diagnosed(record, metric.name, metric.goal)
        record.run_id = f"run {record.number}"
        book.note_end(record)
        book.end(record)


@contextlib.contextmanager
def driven(home: Home, study: str) -> Iterator[None]:
    """Run a study meanwhile, as far as others can tell."""
    driver = FileOwnership(home.owner_file(study), study)
    driver.take()
    try:
        yield
    finally:
        driver.give_up()
