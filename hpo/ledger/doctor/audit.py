"""The audit behind `hpo doctor`: do the study, MLflow and the disk agree? It changes nothing.

One exception: half a line at the journal's end is cut off, as always when the journal is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.checkpoints import Checkpoints
from hpo.ledger.doctor.audit_mlflow import MlflowState, audit_mlflow
from hpo.ledger.doctor.audit_study import audit_study
from hpo.ledger.doctor.findings import Findings
from hpo.ledger.doctor.readers import Reader
from hpo.ledger.kept import useless
from hpo.ledger.mirror.health import Ailment, ailment_in, ailment_of, drafts, is_database, uri_to_read
from hpo.ledger.mirror.moved import described, old_locations
from hpo.ledger.outputs import KeptOutputs
from hpo.ledger.study.compat import JournalStudies, study_id_of
from hpo.ledger.study.confirmations import CONFIRMATION, is_given_up
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import models_of
from hpo.ledger.study.records import SweepRecord, TrialRecord, driver_of, is_surplus, record_of
from hpo.ledger.study.restored import sweep_of, sweep_record_of
from hpo.ledger.study.settling import origins, to_be_repeated
from hpo.ledger.study.unfinished import FORMER, REMOVING, renaming_of
from hpo.model.folder import abandoned
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


@dataclass
class Audit:
    """What was found, and what a repair has to do."""

    sweep: Sweep
    sweep_record: SweepRecord
    attributes: dict[str, Any]  # of the study
    trials: list[FrozenTrial]  # but for surplus ones
    records: list[TrialRecord]  # of these trials, without their steps
    findings: Findings = field(default_factory=Findings)
    mlflow: MlflowState | None = None  # None: it can't be used
    ailment: Ailment | None = None  # why
    leftovers: list[Path] = field(default_factory=list)  # files that are of no use
    notes: list[str] = field(default_factory=list)  # what is no disagreement

    @property
    def left(self) -> list[FrozenTrial]:
        """Return the trials that a dead driver left running."""
        return [trial for trial in self.trials if not trial.state.is_finished()]

    @property
    def again(self) -> list[TrialRecord]:
        """Return the interrupted trials that the next sweep runs again; none, of a confirmation that was given up."""
        return [] if is_given_up(self.attributes) else to_be_repeated(self.records)


def audit(home: Home, name: str, storage: BaseStorage) -> Audit:
    """Compare everything of a study that nobody runs meanwhile. storage: that in which `find_study` found it."""
    (study,) = (study for study in storage.get_all_studies() if study.study_name == name)
    trials = [t for t in storage.get_all_trials(study_id_of(study), deepcopy=False) if not is_surplus(t)]
    records = [record_of(trial, history=False) for trial in trials]
    began = min((record.started for record in records), default=0.0)
    shared = any(driver_of(trial) for trial in trials)
    sweep_record = replace(sweep_record_of(name, study.user_attrs, began), shared=shared)
    found = Audit(sweep_of(name, study.user_attrs), sweep_record, dict(study.user_attrs), trials, records)
    if isinstance(storage, JournalStudies) and storage.journal.mended:
        found.notes.append("the journal ended in half a line, which was cut off")
    if study.user_attrs.get(REMOVING):
        found.findings.add("study.removal", "its removal was begun, and not finished: part of it may be gone")
        return found
    if renaming := renaming_of(study.user_attrs):
        what = f"renaming {renaming.old!r} to {renaming.new!r} was begun, and not finished"
        found.findings.add("study.renaming", what)
    foreign = audit_study(found.sweep, trials, found.findings)
    _look_into_mlflow(home, found, foreign)
    _look_at_the_disk(home, found)
    return found


def _look_into_mlflow(home: Home, found: Audit, foreign: Sequence[int]) -> None:
    found.ailment = ailment_of(home)
    if found.ailment is None:
        findings = Findings()
        by_number = {trial.number: trial for trial in found.trials}
        known = [record for record in found.records if record.number not in set(foreign)]
        parent = str(found.attributes.get("mlflow_run_id", ""))
        try:
            reader = reader_of(home)
            found.mlflow = audit_mlflow(
                reader,
                found.sweep_record,
                parent,
                known,
                lambda n: record_of(by_number[n]),
                foreign,
                findings,
                found.attributes.get(FORMER, ()),
            )
            if models := models_of(found.attributes):
                from hpo.ledger.doctor.audit_models import audit_models  # MLflow, which no other study needs here

                audit_models(home, models, findings)
            for place in old_locations(home):
                findings.add("mlflow.moved", f"the home was moved or copied, but {described(place)}, are noted")
            found.findings.extend(findings)
            found.notes += found.mlflow.notes
        except Exception as error:  # a server that is down, a database that turns out to be broken
            found.ailment = ailment_in(home, error)
    if found.ailment is not None:
        kind, text = found.ailment
        replaceable = home.mlflow_database is not None or kind not in ("broken", "unfinished")
        found.findings.add(f"mlflow.{kind if replaceable else 'elsewhere'}", text)


def reader_of(home: Home) -> Reader:
    """Return what reads the MLflow of a home."""
    if is_database(home.tracking_uri):
        from hpo.ledger.doctor.tables import TablesReader
        from hpo.ledger.mirror.bulk import untested

        return TablesReader(uri_to_read(home), takes_ids=not untested())
    from hpo.ledger.doctor.remote import RemoteReader

    return RemoteReader(home.tracking_uri)


def _look_at_the_disk(home: Home, found: Audit) -> None:
    first = origins(found.records)
    open_ones = {record.number for record in found.again} | {
        record.number for record in found.records if record.state == "running"
    }
    checkpoints = Checkpoints(home.checkpoints / str(found.attributes["id"]))
    for path in checkpoints.leftovers({first.get(number, number) for number in open_ones}):
        found.findings.add("disk.checkpoint", f"{path} is of no trial that can go on")
        found.leftovers.append(path)
    for path, why in useless(home.kept / str(found.attributes["id"]), found.records, found.attributes["sweep"]):
        found.findings.add("disk.kept", f"{path} {why}")
        found.leftovers.append(path)
    for path in abandoned(home.models / found.sweep.name):
        found.findings.add("disk.model", f"{path} is a model that was never finished")
        found.leftovers.append(path)
    complete = {record.number for record in found.records if record.state == "complete"}
    kept = KeptOutputs(home.outputs / str(found.attributes["id"]))
    needed = found.sweep.leaves_outputs and CONFIRMATION not in found.attributes
    for path in kept.leftovers(complete if needed else ()):
        found.findings.add("disk.outputs", f"{path} is of no trial that is still to be judged")
        found.leftovers.append(path)
    for number in sorted(complete) if needed else ():
        if not kept.of(number).is_file():
            found.findings.add("disk.lost_outputs", "what its model said of the test rows is gone", number)
    for path in drafts(home):
        found.findings.add("disk.draft", f"{path} is a database of MLflow's that was never finished")
        found.leftovers.append(path)
