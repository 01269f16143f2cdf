"""The weights that a sweep has kept of a trial (`keep`), as far as they are the trial's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpo.ledger.kept import is_own, kept_file
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.unfinished import name_now
from hpo.review.studies import RecordedStudy


def kept_weights(home: Home, study: RecordedStudy, trial: TrialRecord) -> tuple[Path | None, str]:
    """Return the file with a trial's weights, None if there is none that can be used; and why not, "" if none was kept.

    A trial that was copied from another study has its weights with that one.
    """
    for study_id, number in _names(study, trial.number):
        file = kept_file(home.kept / study_id, number)
        if file is not None:
            own = is_own(file, trial)
            return (file, "") if own else (None, f"{file} is not what the trial left: its digest is another")
    return None, ""


def _names(study: RecordedStudy, number: int) -> Iterator[tuple[str, int]]:
    """Yield the ids of the studies that have had a trial, the latest first, with its number there."""
    yield str(study.attributes["id"]), number
    attributes = next(trial.user_attrs for trial in study.trials if trial.number == number)
    while origin := attributes.get("copied_from"):
        found = {each.study_name: each.user_attrs for each in study.storage.get_all_studies()}
        if (name := name_now(origin["study"], found)) not in found:
            return
        yield str(found[name]["id"]), origin["number"]
        study_id = study.storage.get_study_id_from_name(name)
        attributes = study.storage.get_all_trials(study_id, deepcopy=False)[origin["number"]].user_attrs
