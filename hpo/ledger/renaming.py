"""A study gets another name: in the storage, in the studies that name it, on the disk, and in MLflow.

A database changes the name in place. A journal has no word for that: there the study is copied and the old one deleted,
in one write. Until all is done the study bears the attribute `renaming`; whoever renames it again, or repairs it,
finishes it. What it was called stays in `former_names`, since trials that were copied from it name it for good.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from hpo.ledger.belongings import by_name
from hpo.ledger.mirror.health import ailment_of, lacks_run
from hpo.ledger.sharing import rows
from hpo.ledger.sharing.look import is_run
from hpo.ledger.sharing.owner_file import FileOwnership, remove_lock
from hpo.ledger.sharing.ownership import Ownership, own_study
from hpo.ledger.study.compat import JournalStudies, study_id_of
from hpo.ledger.study.confirmations import CONFIRMATIONS, CONFIRMS
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import is_ours, is_surplus, record_of
from hpo.ledger.study.relations import renamed_in
from hpo.ledger.study.restored import find_study, sweep_of, sweep_record_of
from hpo.ledger.study.unfinished import (
    FORMER,
    RENAMING,
    Renaming,
    Studies,
    half_copied_from,
    refuse_half_copied,
    refuse_half_removed,
    renaming_of,
)
from hpo.ledger.study.urls import masked
from hpo.spec.faults import UserError
from hpo.spec.names import study_name_fault

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.storages._rdb.storage import RDBStorage


def rename_study(home: Home, renaming: Renaming, without_mlflow: bool = False) -> tuple[list[str], bool]:
    """Give a study another name; return what there is to say, and whether MLflow says the same by now. Finishes what
    was begun before and cut off.

    without_mlflow: the MLflow that has its runs is lost; else one that lacks the run which the study names is another
    one, and the renaming is not finished.
    Raises UserError with the reason if it can't be renamed: there is no such study, the new name is taken or none,
    somebody runs it, or a study that names it.
    """
    old, new = renaming
    if fault := study_name_fault(new):
        raise UserError(f"{new[:40]!r} can't be a study's name: it {fault}")
    storage = open_storage(home) if home.exists() else None
    studies = _attributes(storage) if storage is not None else {}
    if old not in studies and storage is not None and renaming_of(studies.get(new, {})) == renaming:
        with ExitStack() as held:
            ownership = _own(home, storage, new, held)
            return _finished(home, storage, renaming, ownership.renew, without_mlflow)
    storage, found = find_study(home, old, storage)
    sweep_of(old, found.user_attrs)  # raises, if it is not hpo's
    refuse_half_removed(old, found.user_attrs)
    refuse_half_copied(old, studies)
    begun = renaming_of(found.user_attrs)
    if begun is not None and begun.old != old:
        raise UserError(f"renaming {begun.old!r} to {old!r} was not finished ({begun.command} does it)")
    if old == new or (new in studies and half_copied_from(new, studies) != renaming):
        raise UserError(f"there is a study {new!r} already")
    _refuse_running(home, old, studies, storage)
    with ExitStack() as held:
        ownership = _own(home, storage, old, held)
        if home.database is None:
            lock = FileOwnership(home.owner_file(new), new)
            lock.take()
            held.callback(lock.give_up)
        drop_renaming(storage, old)
        storage.set_study_user_attr(study_id_of(found), RENAMING, renaming._asdict())
        _rename(storage, renaming)
        if home.database is None:
            remove_lock(home.owner_file(old))
        return _finished(home, storage, renaming, ownership.renew, without_mlflow)


def settle_renaming(home: Home, storage: BaseStorage, name: str, alive: Callable[[], object]) -> list[str]:
    """Finish the renaming of a study, or drop it if nothing of it was done; return what was done. Whoever calls it owns
    the study."""
    renaming = renaming_of(_attributes(storage)[name])
    if renaming is None:
        return []
    if renaming.old == name:
        drop_renaming(storage, name)
        return [f"renaming it to {renaming.new!r}, of which nothing was done, was dropped"]
    return _finished(home, storage, renaming, alive, without_mlflow=True)[0]  # the doctor writes what MLflow lacks


def drop_renaming(storage: BaseStorage, name: str) -> None:
    """Let a study keep its name: what was copied of it so far goes."""
    studies = _attributes(storage)
    for other in studies:
        if (half := half_copied_from(other, studies)) is not None and half.old == name:
            storage.delete_study(storage.get_study_id_from_name(other))
    if renaming_of(studies[name]):
        storage.set_study_user_attr(storage.get_study_id_from_name(name), RENAMING, {})


def _attributes(storage: BaseStorage) -> dict[str, Mapping[str, Any]]:
    return {study.study_name: study.user_attrs for study in storage.get_all_studies()}


def _own(home: Home, storage: BaseStorage, name: str, held: ExitStack) -> Ownership:
    sweep = sweep_of(name, _attributes(storage)[name])
    ownership, _ = own_study(sweep, home, storage=storage)
    held.callback(ownership.give_up)
    return ownership


def _refuse_running(home: Home, name: str, studies: Studies, storage: BaseStorage) -> None:
    """Raise UserError if somebody runs a study that names this one."""
    for other, attributes in studies.items():
        if other != name and renamed_in(attributes, name, "") and is_run(home, other, attributes, storage):
            raise UserError(f"the study {other!r}, which names {name!r}, is being run (wait for it, or stop it)")


def _rename(storage: BaseStorage, renaming: Renaming) -> None:
    old, new = renaming
    study_id = storage.get_study_id_from_name(old)
    if isinstance(storage, JournalStudies):
        import optuna

        logging.getLogger("optuna").setLevel(logging.WARNING)
        with storage.journal.together():
            optuna.copy_study(from_study_name=old, from_storage=storage, to_storage=storage, to_study_name=new)
            storage.delete_study(study_id)
        return
    _rename_in_database(storage, study_id, new)  # type: ignore[arg-type]


def _rename_in_database(storage: RDBStorage, study_id: int, new: str) -> None:
    from sqlalchemy.exc import IntegrityError

    try:
        with storage.engine.connect() as connection:
            if rows.lock(connection, study_id):
                rows.rename(connection, study_id, new)
                connection.commit()
    except IntegrityError:
        storage.set_study_user_attr(study_id, RENAMING, {})
        raise UserError(f"there is a study {new!r} already") from None


def _finished(
    home: Home, storage: BaseStorage, renaming: Renaming, alive: Callable[[], object], without_mlflow: bool
) -> tuple[list[str], bool]:
    """Do all that follows once the storage has the new name; return what there is to say, and whether MLflow has it."""
    changed = _change_attributes(storage, renaming)
    notes = _move_files(home, renaming)
    why = ""
    parent = str(_attributes(storage)[renaming.new].get("mlflow_run_id", ""))
    ailment = ailment_of(home, thorough=False)
    if ailment is None:
        try:
            told = _rename_runs(home, storage, renaming, changed, alive)
            if told is None and parent and not without_mlflow:
                return [*notes, *_not_told(home, renaming, parent)], False
            notes += told or ()
        except UserError:
            raise
        except Exception as error:  # a server that is down, say: the doctor finishes it
            why = masked(" ".join(str(error).split()))[:300]
    elif ailment.kind != "missing":
        why = ailment.text
    elif parent and not without_mlflow:
        return [*notes, *_not_told(home, renaming, parent)], False
    if why:
        return [
            *notes,
            f"MLflow does not say it yet: {why} (hpo doctor {shlex.quote(renaming.new)} --fix does it)",
        ], False
    storage.set_study_user_attr(storage.get_study_id_from_name(renaming.new), RENAMING, {})
    return [*notes, f"study {renaming.old!r} is now called {renaming.new!r}"], True


def _not_told(home: Home, renaming: Renaming, parent: str) -> list[str]:
    lacks = lacks_run(home, renaming.new, parent)
    return [f"MLflow does not say it yet: {lacks} ({renaming.command} finishes it)"]


def _change_attributes(storage: BaseStorage, renaming: Renaming) -> list[str]:
    """Change what this study and others say of it; return the others that confirm it or are confirmed by it."""
    told = []
    for name, attributes in _attributes(storage).items():
        if not is_ours(attributes):
            continue
        changed = renamed_in(attributes, *renaming)
        if name == renaming.new:
            changed |= _of_itself(attributes, renaming)
        elif changed.keys() & {CONFIRMS, CONFIRMATIONS}:
            told.append(name)
        for key, value in changed.items():
            storage.set_study_user_attr(storage.get_study_id_from_name(name), key, value)
    return told


def _of_itself(attributes: Mapping[str, Any], renaming: Renaming) -> dict[str, Any]:
    """Return the attributes that change of the study itself. Given as they are then, they stay."""
    former = [name for name in attributes.get(FORMER, ()) if name not in renaming]
    origin = attributes.get("origin", {})
    if overrides := origin.get("overrides"):  # how it was called on the command line leads elsewhere by now
        origin = {**origin, "overrides": [each for each in overrides if not each.startswith("name=")]}
    changed = {"sweep": {**attributes["sweep"], "name": renaming.new}, FORMER: [*former, renaming.old]}
    return changed | ({"origin": origin} if "origin" in attributes else {})


def _move_files(home: Home, renaming: Renaming) -> list[str]:
    notes = []
    for what, source in by_name(home, renaming.old).items():
        target = by_name(home, renaming.new)[what]  # a name that can't be one has been refused
        if not source.exists():
            continue
        if target.exists():
            notes.append(f"{source} stays where it is: {target} is there already")
        else:
            source.rename(target)
    return notes


def _rename_runs(
    home: Home, storage: BaseStorage, renaming: Renaming, others: list[str], alive: Callable[[], object]
) -> list[str] | None:
    """Return notes; None if MLflow has nothing of the study."""
    from hpo.ledger.mirror.renamed import rename_in_mlflow, tell_again

    studies, study_id = _attributes(storage), storage.get_study_id_from_name(renaming.new)
    trials = [t for t in storage.get_all_trials(study_id, deepcopy=False) if not is_surplus(t)]
    began = min((trial.datetime_start.timestamp() for trial in trials if trial.datetime_start), default=0.0)
    sweep = sweep_record_of(renaming.new, studies[renaming.new], began)
    notes = rename_in_mlflow(home, sweep, renaming.old, map(record_of, trials), alive)
    tell_again(home, [sweep_record_of(name, studies[name], 0.0) for name in others])
    return notes
