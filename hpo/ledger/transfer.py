"""A study in one file, for another machine: its journal, the files of its MLflow runs, and what its models need.

MLflow itself is rebuilt from the study where it arrives.
"""

from __future__ import annotations

import copy
import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo.ledger.archive import FILES, JOURNAL, damaged, unpacked, written
from hpo.ledger.belongings import artifacts_folder, by_id, of_runs
from hpo.ledger.mirror.rows import DATA_NOTES, RESOLVED
from hpo.ledger.sharing.ownership import own_study
from hpo.ledger.study.compat import FrozenStudy, JournalStudies, study_id_of
from hpo.ledger.study.confirmations import CONFIRMS
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.models import MODELS
from hpo.ledger.study.relations import of_a_copy
from hpo.ledger.study.restored import find_study, sweep_of
from hpo.ledger.study.unfinished import FORMER, refuse_half_removed, renaming_of
from hpo.ledger.study.urls import masked
from hpo.spec.faults import UserError
from hpo.spec.names import study_name_fault
from hpo.spec.space import counted

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_WRITTEN_ANEW = (RESOLVED, DATA_NOTES)  # files with absolute paths: who takes the study over writes them
_ALONG = ("kept weights", "outputs of test rows")  # of belongings.by_id


def export_study(home: Home, name: str, file: Path) -> list[str]:
    """Write a study into a file (.tar.gz); return what there is to say.

    What it says of paths is as its sweep file has it: nothing of this machine's folders is in it, but for what trials
    and reports said of them. Raises UserError if there is no such study, if somebody runs it, if it is being removed or
    renamed, or if the file exists or can't be written.
    """
    if file.exists():
        raise UserError(f"{file} exists already; choose another name")
    storage, study = find_study(home, name)
    refuse_half_removed(name, study.user_attrs)
    if renaming := renaming_of(study.user_attrs):
        raise UserError(f"renaming {renaming.old!r} was begun, and not finished ({renaming.command} finishes it)")
    ownership, storage_of_owner = own_study(sweep_of(name, study.user_attrs), home, storage=storage, to_look=True)
    draft = file.with_name(f"{file.name}.part")
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole = Home(Path(folder))
            source = storage_of_owner or storage
            _copy(source, name, open_storage(whole), _portable)
            study_id = source.get_study_id_from_name(name)
            attributes = source.get_study_user_attrs(study_id)
            runs = of_runs(home, _run_ids(source, name))
            with written(draft, len(source.get_all_trials(study_id, deepcopy=False))) as archive:
                archive.add(whole.journal, JOURNAL)
                for path in runs:
                    archive.add(path, f"{FILES}/{path.name}", _WRITTEN_ANEW)
                for path in filter(Path.is_dir, _kept(home, str(attributes["id"]))):
                    archive.add(path, path.relative_to(home.path.resolve()).as_posix())
        draft.rename(file)
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
        ownership.give_up()
    without = "" if home.artifacts else "; the files of its runs are with the MLflow server, and not in it"
    return [f"study {name!r} is in {file}, with the files of {counted(len(runs), 'run')}{without}"]


class Imported(NamedTuple):
    """A study that was taken over: what it is called, and what there is to say."""

    name: str
    notes: tuple[str, ...] = ()


def import_study(home: Home, file: Path, name: str = "") -> Imported:
    """Take a study over from a file that `export_study` wrote. MLflow has nothing of it then.

    name: under which it is taken over, as a copy with an identity of its own; "": its own.
    Raises UserError if the file is none of that kind or damaged, or if there is a study of the same name.
    """
    if name and (fault := study_name_fault(name)):
        raise UserError(f"--name {name[:40]!r}: it {fault}")
    with unpacked(file) as (folder, trials):
        theirs = open_storage(Home(folder))
        studies = theirs.get_all_studies()
        if len(studies) != 1:
            raise UserError(f"{file} holds {len(studies)} studies, not one: hpo study export did not write it")
        (study,) = studies
        found = len(theirs.get_all_trials(study_id_of(study), deepcopy=False))
        if trials not in (None, found):
            raise damaged(file, f"it has {counted(found, 'trial')}, not {trials}")
        sweep_of(study.study_name, study.user_attrs)  # was it made by hpo?
        new = name or study.study_name
        if fault := study_name_fault(new):
            raise UserError(f"{new[:40]!r} can't be a study's name: it {fault} (--name gives it another one)")
        home.prepare()
        ours = open_storage(home)
        _delete_half_imported(new, ours)
        _refuse_taken(new, study.user_attrs, ours.get_all_studies(), bool(name))
        if name and (confirms := study.user_attrs.get(CONFIRMS)):
            raise UserError(
                f"--name: {study.study_name!r} confirms {confirms['study']!r}, which would know of no copy of it "
                "(import it by its own name, into another home if need be)"
            )
        ids = _other_ids(theirs, study.study_name) if name else {}
        study_id = str(study.user_attrs["id"])
        along: dict[Path, Path] = {}  # where folders come from, and go to
        if (place := artifacts_folder(home)) is not None and (folder / FILES).is_dir():
            along |= {path: place / ids.get(path.name, path.name) for path in (folder / FILES).iterdir()}
        targets = _kept(home, ids.get(study_id, study_id))
        along |= {old: to for old, to in zip(_kept(Home(folder), study_id), targets, strict=True) if old.is_dir()}
        fresh = [to for to in along.values() if not to.exists()]
        try:
            for old, to in along.items():
                shutil.copytree(old, to, dirs_exist_ok=True)
            _copy(theirs, study.study_name, ours, partial(_of_its_own, name, ids), new, ids)
        except BaseException as error:
            for to in fresh:
                shutil.rmtree(to, ignore_errors=True)
            if not isinstance(ours, JournalStudies):  # which is written at once, or not at all
                for half in (each for each in ours.get_all_studies() if each.study_name == new):
                    ours.delete_study(study_id_of(half))
            if isinstance(error, OSError):
                raise UserError(f"{file} is not taken over: {home.path}: {_reason(error)}") from None
            raise
        here = list((folder / FILES).iterdir()) if place is None and (folder / FILES).is_dir() else []
    notes = []
    if here:
        elsewhere = f"the MLflow at {masked(home.tracking_uri)} decides itself where files lie"
        notes.append(f"the files of {counted(len(here), 'run')} in {file} are not taken over: {elsewhere}")
    if trials is None:
        notes.append(f"an earlier release wrote {file}: nothing in it says whether all of it is there")
    return Imported(new, tuple(notes))


def _delete_half_imported(name: str, storage: BaseStorage) -> None:
    """Delete what an import that was killed has left in a database: it has all of a study's marks but the last one."""
    for study in storage.get_all_studies():
        marks = study.user_attrs
        if study.study_name == name and marks.get("identity") and marks.get("sweep") and not marks.get("id"):
            storage.delete_study(study_id_of(study))


def _reason(error: OSError) -> str:
    """Return why files could not be copied: shutil collects what it met, in words."""
    return str(error.args[0][0][-1]) if isinstance(error, shutil.Error) else error.strerror or str(error)


def _refuse_taken(name: str, attributes: Mapping[str, Any], studies: Sequence[FrozenStudy], renamed: bool) -> None:
    if name in {study.study_name for study in studies}:
        raise UserError(f"there is a study {name!r} already (choose another name with --name, or another home)")
    twin = next((s.study_name for s in studies if s.user_attrs.get("id", "") == attributes.get("id")), "")
    if twin and not renamed:
        raise UserError(
            f"{name!r} is here already, and is called {twin!r} by now (--name takes it over as another study)"
        )


def _kept(home: Home, study_id: str) -> list[Path]:
    """Return the folders of a study that go along besides the files of its runs, there or not."""
    folders = by_id(home, study_id)
    return [folders[what] for what in _ALONG if what in folders]


def _portable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a study as they are in a file for another machine: paths as its sweep file has them, and
    no driver that runs it."""
    identity, origin = attributes["identity"], attributes.get("origin", {})
    written = {key: identity[key] for key in ("objective", "program", "data")}
    changed: dict[str, Any] = {"sweep": {**attributes["sweep"], **written}}
    if origin:
        data = origin.get("data", {})
        if data.get("type") == "local":
            origin = {**origin, "data": {**data, "source": {"uri": str(identity["data"].get("csv", ""))}}}
        changed["origin"] = {**origin, "source": Path(str(origin.get("source", ""))).name}
    if notes := attributes.get("data_notes"):
        changed["data_notes"] = [_as_written(note, attributes["sweep"]["data"], identity["data"]) for note in notes]
    if owners := attributes.get("owners"):
        changed["owners"] = {**owners, "drivers": []}
    return changed


def _as_written(text: str, data: Mapping[str, Any], written: Mapping[str, Any]) -> str:
    """Return a text in which the paths of a `data` section are as they were written."""
    for key, value in data.items():
        if isinstance(value, str) and value.startswith("/"):
            text = text.replace(value, str(written.get(key, value)))
    return text


def _other_ids(storage: BaseStorage, name: str) -> dict[str, str]:
    """Return new ids in place of a study's own and of its runs'."""
    study_id = str(storage.get_study_user_attrs(storage.get_study_id_from_name(name))["id"])
    return {each: uuid.uuid4().hex for each in (study_id, *_run_ids(storage, name))}


def _of_its_own(name: str, ids: Mapping[str, str], attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a copy by another name that differ from the first study's."""
    if not name:
        return {}
    changed = {"id": ids[attributes["id"]], "sweep": {**attributes["sweep"], "name": name}, FORMER: []}
    changed |= of_a_copy(attributes)
    if run_id := attributes.get("mlflow_run_id"):
        changed["mlflow_run_id"] = ids[run_id]
    return changed | ({MODELS: []} if MODELS in attributes else {})  # these are registered for the first one's trials


def _copy(
    source: BaseStorage,
    name: str,
    target: BaseStorage,
    changed: Callable[[Mapping[str, Any]], dict[str, Any]],
    new: str = "",
    ids: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Copy a study. changed: returns the attributes that differ then. new: its name there. ids: its runs' new ones."""
    logging.getLogger("optuna").setLevel(logging.WARNING)
    (study,) = (study for study in source.get_all_studies() if study.study_name == name)
    with target.journal.together() if isinstance(target, JournalStudies) else nullcontext():
        study_id = target.create_new_study(study.directions, new or name)
        for key, value in study.system_attrs.items():
            target.set_study_system_attr(study_id, key, value)
        attributes = study.user_attrs | changed(study.user_attrs)
        identifier = attributes.pop("id")  # written last: what lacks it is not whole, and refused (sweep_of)
        for key, value in attributes.items():
            target.set_study_user_attr(study_id, key, value)
        for trial in source.get_all_trials(study_id_of(study), deepcopy=False):
            if (run_id := str(trial.user_attrs.get("mlflow_run_id", ""))) in ids:
                trial = copy.copy(trial)
                trial.user_attrs = {**trial.user_attrs, "mlflow_run_id": ids[run_id]}
            target.create_new_trial(study_id, template_trial=trial)
        target.set_study_user_attr(study_id, "id", identifier)


def _run_ids(storage: BaseStorage, name: str) -> list[str]:
    """Return the ids of a study's runs in MLflow, as far as it knows them."""
    (study,) = (study for study in storage.get_all_studies() if study.study_name == name)
    ids = [study.user_attrs.get("mlflow_run_id")]
    ids += [t.user_attrs.get("mlflow_run_id") for t in storage.get_all_trials(study_id_of(study), deepcopy=False)]
    return [str(each) for each in dict.fromkeys(ids) if each]
