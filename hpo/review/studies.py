"""Reading studies back: which there are, and the best configuration of one as a sweep file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hpo.ledger.study.compat import study_id_of
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import TrialRecord, is_surplus, record_of
from hpo.ledger.study.references import References, references_of
from hpo.ledger.study.restored import find_study
from hpo.spec.faults import UserError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from hpo.ledger.study.compat import FrozenStudy


@dataclass(frozen=True)
class StudyLine:
    """One study in a list."""

    name: str
    metric: str
    complete: int
    pruned: int
    failed: int
    running: int
    best: float | None
    latest: datetime | None


def list_studies(home: Home) -> list[StudyLine]:
    """Return the studies of a home, the latest first. A home that does not exist has none."""
    if not home.exists():
        return []
    storage = open_storage(home)
    lines = []
    for study in storage.get_all_studies():
        trials = [t for t in storage.get_all_trials(study_id_of(study), deepcopy=False) if not is_surplus(t)]
        records = [record_of(trial) for trial in trials]
        states = Counter(record.state for record in records if not record.interrupted)
        best = _best(study, trials)
        moments = [trial.datetime_complete or trial.datetime_start for trial in trials]
        lines.append(
            StudyLine(
                name=study.study_name,
                metric=_config(study).get("metric", {}).get("name", "value"),
                complete=states["complete"],
                pruned=states["pruned"],
                failed=states["failed"],
                running=states["running"],
                best=best.value if best else None,
                latest=max((moment for moment in moments if moment), default=None),
            )
        )
    return sorted(lines, key=lambda line: line.latest or datetime.min, reverse=True)


def best_trial(home: Home, name: str) -> tuple[dict[str, Any], TrialRecord, References | None]:
    """Return a study's resolved sweep, its best trial, and its references if there are any. Raises UserError if there
    is no such study or trial."""
    storage, study = find_study(home, name)
    best = _best(study, storage.get_all_trials(study_id_of(study), deepcopy=False))
    if best is None:
        raise UserError(f"the study {name!r} has no complete trial yet")
    return _config(study), record_of(best), references_of(study.user_attrs)


def successor_of(home: Home, name: str) -> str:
    """Return the study in which another goes on with another space, "" if there is none."""
    _, study = find_study(home, name)
    return str(study.user_attrs.get("successor", ""))


def _config(study: FrozenStudy) -> dict[str, Any]:
    return dict(study.user_attrs.get("sweep", {}))


def _best(study: FrozenStudy, trials: list[FrozenTrial]) -> FrozenTrial | None:
    complete = [trial for trial in trials if trial.state.name == "COMPLETE" and trial.value is not None]
    if not complete:
        return None
    sign = 1.0 if study.direction.name == "MAXIMIZE" else -1.0
    return max(complete, key=lambda trial: (sign * (trial.value or 0.0), -trial.number))
