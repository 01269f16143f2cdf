"""A sweep as its study has it, for who has no sweep file: enough to settle its trials and to rebuild its MLflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.study import provenance
from hpo.ledger.study.confirmations import CONFIRMATION, CONFIRMS, latest_plain
from hpo.ledger.study.dataset import dataset_of
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Origin, SweepRecord
from hpo.ledger.study.references import REFERENCES
from hpo.ledger.study.shown_space import shown_space
from hpo.ledger.study.urls import masked
from hpo.spec.faults import UserError, did_you_mean
from hpo.spec.grammar import ReportKeys
from hpo.spec.space import Space
from hpo.spec.sweep import AsWritten, Limits, Sweep, Target, Traits
from hpo.spec.written import parameter_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from hpo.ledger.study.compat import FrozenStudy


_ABSOLUTE = ("csv", "root")  # of the data section, in what is recorded of a data set; other paths are as written


def find_study(home: Home, name: str, storage: BaseStorage | None = None) -> tuple[BaseStorage, FrozenStudy]:
    """Open the storage of a study, unless it is given. Raises UserError if there is no such study."""
    storage = storage or (open_storage(home) if home.exists() else None)
    studies = {study.study_name: study for study in storage.get_all_studies()} if storage else {}
    if storage is None or name not in studies:
        remedy = did_you_mean(name, studies) or "there is none yet: run hpo sweep"
        raise UserError(f"there is no study {name!r} in {masked(home.storage_url)} ({remedy})")
    return storage, studies[name]


def origin_of(sweep: Sweep, now: float = 0.0, earlier: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what MLflow's parent run says of a sweep and nothing else in the study tells.

    now: seconds since the Unix epoch. earlier: what the study has of it so far.
    """
    known, overrides = (earlier or {}).get("data", {}), sweep.written.overrides
    as_written = {key: value for key, value in sweep.written.data.items() if key not in _ABSOLUTE}
    data = dataset_of({**sweep.data, **as_written}, sweep.objective or sweep.program or "", now, known)
    return {
        "source": str(sweep.source),
        "description": sweep.description,
        "versions": provenance.versions(),
        "commit": provenance.git_commit(),
        "user": provenance.user(),
        **({"data": data} if data else {}),
        **({"overrides": overrides and list(overrides)} if overrides != () else {}),
    }


def sweep_record_of(name: str, attributes: Mapping[str, Any], began: float) -> SweepRecord:
    """Return what MLflow's parent run says of a sweep. attributes: the study's."""
    identity = attributes["identity"]
    return SweepRecord(
        study=name,
        study_id=attributes["id"],
        metric=identity["metric"]["name"],
        goal=identity["metric"]["goal"],
        objective=identity["objective"] or identity["program"] or "",
        text=attributes.get("sweep_file", ""),
        config=attributes["sweep"],
        origin=Origin(**attributes.get("origin", {}), notes=tuple(attributes.get("data_notes", ()))),
        began=began,
        parent=str(attributes.get("mlflow_run_id", "")),
        references=attributes.get(REFERENCES, {}),
        decision={CONFIRMS: attributes.get(CONFIRMS), CONFIRMATION: latest_plain(attributes)},
        quoted=tuple(attributes.get("quoted", ())),
    )


def sweep_of(name: str, attributes: Mapping[str, Any]) -> Sweep:
    """Return the sweep of a study: all that makes its trials what they are, not how they were searched or trained.

    attributes: the study's. Raises UserError if it was not made by hpo.
    """
    identity, config = attributes.get("identity"), attributes.get("sweep")
    if not identity or not config or not attributes.get("id"):
        raise UserError(
            f"the study {name!r} was not made by hpo, or is not whole: it lacks what all of hpo's have "
            "(if an import of it was cut off, the same 'hpo study import' does it anew)"
        )
    known = {field.name for field in dataclasses.fields(Limits)}
    metric = identity["metric"]
    by_run = not identity["parameters"]
    parameters = (parameter_of(key, entry) for key, entry in identity["parameters"].items())
    return Sweep(
        name=name,
        source=Path(attributes.get("origin", {}).get("source", "")),
        text=attributes.get("sweep_file", ""),
        metric=Target(metric["name"], metric["goal"], config.get("target")).going_on_from(metric),
        space=shown_space(attributes) if by_run else Space(tuple(parameters), tuple(identity["forbid"])),
        budget=Limits(**{key: value for key, value in config["budget"].items() if key in known}),
        objective=identity["objective"],
        program=identity["program"],
        command=tuple(identity["command"]),
        data=config["data"],
        written=AsWritten(identity["data"]),
        seed=config["seed"],
        trial_seed=config["trial_seed"],
        repeats=config.get("repeats", 1),
        report=ReportKeys(**identity.get("report", {})),
        baselines=tuple(config["baselines"]),
        confirms=attributes.get(CONFIRMS),
        traits=Traits(define_by_run=by_run),
    )
