"""Studies are removed: from the storage, from MLflow, and from the disk.

The study goes last. Until then it bears the attribute `removing`, nobody goes on with it, and whoever removes it again
finds all that is left of it; so a process that is killed leaves nothing that no record tells of.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.belongings import Belonging, belongings_of, by_name, sizes_of
from hpo.ledger.doctor.audit import reader_of
from hpo.ledger.doctor.readers import Reader
from hpo.ledger.mirror.health import ailment_in, ailment_of, lacks_run
from hpo.ledger.sharing.look import is_run, who_runs
from hpo.ledger.sharing.owner_file import remove_lock
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.compat import study_id_of
from hpo.ledger.study.confirmations import CONFIRMATIONS, CONFIRMS, LOOKS
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import ModelRecord, models_of
from hpo.ledger.study.records import is_ours, is_surplus
from hpo.ledger.study.relations import rests_on, without
from hpo.ledger.study.restored import find_study, sweep_of, sweep_record_of
from hpo.ledger.study.unfinished import REMOVING, Studies, refuse_half_copied, renaming_of
from hpo.ledger.study.urls import masked
from hpo.spec.faults import UserError
from hpo.spec.space import enumerated

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@dataclass(frozen=True)
class InMlflow:
    """What MLflow has of a study. runs: in the order in which they may go: the sweep's own last."""

    experiment: str = ""  # its id; "": there is none
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Removal:
    """What goes with a study.

    verdicts: the studies that are no more confirmed by it, with its verdict on them. twin: another study with the same
    id, whose runs and files stay ("": there is none).
    """

    study: str
    attributes: Mapping[str, Any]
    trials: int
    mlflow: InMlflow
    files: tuple[Belonging, ...]
    sizes: Mapping[str, int]  # bytes
    for_good: bool  # whether its runs are gone from MLflow then; else a server keeps them as deleted
    looks: int  # at test rows, which nobody counts any more then
    verdicts: Mapping[str, str] = field(default_factory=dict)
    twin: str = ""


def plan_removal(home: Home, names: Sequence[str], without_mlflow: bool = False) -> list[Removal]:
    """Return what goes with these studies, in the order in which they go. Changes nothing.

    without_mlflow: the MLflow that has their runs is lost.
    Raises UserError with the reason if one of them can't be removed: there is no such study, or it was not made by hpo,
    somebody runs it, another study rests on it, a model of it is registered, MLflow can't be read, or it lacks the run
    that the study names, so that it is another one than that which has them.
    """
    storage, _ = find_study(home, names[0])
    studies = _attributes(storage)
    for name in names:
        find_study(home, name, storage)
        sweep_of(name, studies[name])  # raises, if it is not hpo's
        refuse_half_copied(name, studies)
        _refuse_half_renamed(name, studies)
        _refuse_running(home, name, studies, storage)
    _refuse_needed(names, studies)
    found = [_look(home, name, storage, without_mlflow) for name in dict.fromkeys(names)]
    return sorted(found, key=lambda each: len(_needed_by(each.study, studies)))


def _attributes(storage: BaseStorage) -> dict[str, Mapping[str, Any]]:
    return {study.study_name: study.user_attrs for study in storage.get_all_studies()}


def _refuse_running(home: Home, name: str, studies: Studies, storage: BaseStorage) -> None:
    for each in (name, *_changed_in_others(name, studies)):
        if is_run(home, each, studies[each], storage):
            who = enumerated(who_runs(home, each, studies[each], storage), " and ") or "a driver"
            which = repr(each) if each == name else f"{each!r}, which names {name!r},"
            raise UserError(f"the study {which} is being run by {who} (wait for it, or stop it)")


def _refuse_half_renamed(name: str, studies: Studies) -> None:
    if renaming := renaming_of(studies[name]):
        raise UserError(
            f"renaming {renaming.old!r} to {renaming.new!r} was begun, and not finished "
            f"({renaming.command} finishes it)"
        )


def _needed_by(name: str, studies: Studies) -> set[str]:
    """Return the studies that rest on this one: they confirm it, or go on from it; and those that rest on these."""
    found: set[str] = set()
    new = {name}
    while new:
        found |= new
        new = {other for other, theirs in studies.items() if is_ours(theirs) and rests_on(theirs) & found} - found
    return found - {name}


def _refuse_needed(names: Sequence[str], studies: Studies) -> None:
    for name in names:
        if others := sorted(_needed_by(name, studies) - {*names}):
            what = f"{enumerated(others, ' and ')} {'confirms it or goes' if len(others) == 1 else 'confirm it or go'}"
            raise UserError(
                f"the study {name!r} is not removed alone: {what} on from it (name all of them: "
                f"hpo study rm {shlex.join([*names, *others])})"
            )


def _look(home: Home, name: str, storage: BaseStorage, without_mlflow: bool) -> Removal:
    """Return what there is of a study. Raises UserError if MLflow can't be read, has models of it registered, or is not
    that of the study."""
    ailment = ailment_of(home, thorough=False)
    if ailment is not None and ailment.kind != "missing":
        raise UserError(f"MLflow's runs of {name!r} can't be removed: {ailment.text} (hpo doctor says what to do)")
    try:
        found = _looked(home, name, storage, has_mlflow=ailment is None)
    except UserError:
        raise
    except Exception as error:  # a server that is down, a database that turns out to be broken
        raise UserError(f"the study {name!r} is not removed: {ailment_in(home, error).text}") from None
    parent = str(found.attributes.get("mlflow_run_id", ""))
    begun = found.attributes.get(REMOVING) == _begun_at(home)  # then it may be gone already
    if parent and parent not in found.mlflow.runs and not (found.twin or begun or without_mlflow):
        raise UserError(f"the study {name!r} is not removed: {lacks_run(home, name, parent)}")
    return found


def _begun_at(home: Home) -> dict[str, str]:
    """Return what a study keeps whose removal was begun: which MLflow its runs are taken from."""
    return {"mlflow": masked(home.tracking_uri)}


def _looked(home: Home, name: str, storage: BaseStorage, has_mlflow: bool) -> Removal:
    studies = _attributes(storage)
    attributes = studies[name]
    twin = next((o for o, a in studies.items() if o != name and a.get("id", name) == attributes["id"]), "")
    trials = storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
    named = [str(t.user_attrs.get("mlflow_run_id", "")) for t in trials] + [str(attributes.get("mlflow_run_id", ""))]
    in_mlflow, for_good = InMlflow(), True
    if has_mlflow and not twin:
        from hpo.ledger.mirror.erasing import Eraser

        eraser = Eraser(home)
        for_good = eraser.for_good
        _refuse_registered(name, eraser.registered(models_of(attributes)))
        in_mlflow = _found(reader_of(home), name, attributes, named)
    files = belongings_of(home, name, attributes, [*named, *in_mlflow.runs])
    if twin:
        own = by_name(home, name).values()
        files = [each for each in files if each.path in own]
    return Removal(
        study=name,
        attributes=attributes,
        trials=sum(not is_surplus(trial) for trial in trials),
        mlflow=in_mlflow,
        files=tuple(files),
        sizes=sizes_of(files),
        for_good=for_good,
        looks=len(attributes.get(LOOKS, ())),
        verdicts={
            other: next(each["result"]["verdict"] for each in studies[other][CONFIRMATIONS] if each["study"] == name)
            for other, changed in _changed_in_others(name, studies).items()
            if CONFIRMATIONS in changed
        },
        twin=twin,
    )


def _refuse_registered(name: str, models: Sequence[ModelRecord]) -> None:
    if models:
        which = ", ".join(f"{model.name} version {model.version}" for model in models)
        raise UserError(
            f"the study {name!r} is not removed: MLflow has models of its trials registered ({which}); "
            "delete these versions in MLflow first (hpo ui, its page Models)"
        )


def _found(reader: Reader, name: str, attributes: Mapping[str, Any], named: Sequence[str]) -> InMlflow:
    """Return what MLflow has of a study. named: the ids of runs that the study knows."""
    parent, study_id = str(attributes.get("mlflow_run_id", "")), str(attributes["id"])
    found = reader.experiment_of(parent, study_id) or reader.experiment(name)
    if found is None:
        return InMlflow()
    runs = reader.runs(found[0])
    parents = [run.run_id for run in runs if run.kind == "sweep" and run.study_id == study_id]
    own = [run.run_id for run in runs if run.run_id not in parents and (run.parent in parents or run.run_id in named)]
    return InMlflow(found[0], (*own, *parents))


def remove(home: Home, names: Sequence[str], without_mlflow: bool = False) -> Iterator[str]:
    """Remove studies, in this order; yield what was done. Can be called again after a crash.

    without_mlflow: as `plan_removal` has it.
    Raises UserError as that does, OSError, and what MLflow's client raises.
    """
    for name in names:
        storage, study = find_study(home, name)
        with owned(home, sweep_of(name, study.user_attrs), storage) as ownership:
            going = _look(home, name, storage, without_mlflow)  # anew: it may have been run since it was shown
            storage.set_study_user_attr(study_id_of(study), REMOVING, _begun_at(home))
            if going.mlflow.experiment:
                from hpo.ledger.mirror.erasing import Eraser

                eraser = Eraser(home, ownership.renew)
                eraser.erase_models(models_of(going.attributes))
                eraser.erase_runs(going.mlflow.runs)
                eraser.erase_experiment(going.mlflow.experiment, str(going.attributes["id"]))
            for belonging in going.files:
                _remove(belonging.path)
            _forget(home, storage, name, without_mlflow)
            storage.delete_study(study_id_of(study))
            if home.database is None:
                remove_lock(home.owner_file(name))
        yield f"study {name!r} was removed"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _forget(home: Home, storage: BaseStorage, name: str, without_mlflow: bool) -> None:
    """Let other studies, and MLflow's runs of theirs, say nothing that rests on this one. Can be called again."""
    studies = _attributes(storage)
    for other, changed in _changed_in_others(name, studies).items():
        for key, value in changed.items():
            storage.set_study_user_attr(storage.get_study_id_from_name(other), key, value)
    confirms = studies[name].get(CONFIRMS, {})
    told = _attributes(storage).get(confirms.get("study", ""), {})
    is_here = confirms and told.get("id") == confirms["study_id"]
    if is_here and not without_mlflow and ailment_of(home, thorough=False) is None:
        from hpo.ledger.mirror.renamed import tell_again

        tell_again(home, [sweep_record_of(confirms["study"], told, 0.0)])


def _changed_in_others(name: str, studies: Studies) -> dict[str, dict[str, Any]]:
    """Return which attributes of other studies change when this one is removed."""
    found = {
        other: without(theirs, other, name, studies[name])
        for other, theirs in studies.items()
        if other != name and is_ours(theirs)
    }
    return {other: changed for other, changed in found.items() if changed}
