"""A study in one file, for another machine: its journal, and the files of its MLflow runs.

MLflow itself is rebuilt from the study where it arrives.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hpo.files import extract_plain
from hpo.ledger.sharing.ownership import own_study
from hpo.ledger.study.compat import study_id_of
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study, sweep_of
from hpo.spec.faults import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_JOURNAL = "studies.journal"
_FILES = "artifacts"


def export_study(home: Home, name: str, file: Path) -> list[str]:
    """Write a study into a file (.tar.gz); return what there is to say.

    Raises UserError if there is no such study, if somebody runs it, or if the file exists or can't be written.
    """
    if file.exists():
        raise UserError(f"{file} exists already; choose another name")
    storage, study = find_study(home, name)
    ownership, storage_of_owner = own_study(sweep_of(name, study.user_attrs), home, storage=storage, to_look=True)
    draft = file.with_name(f"{file.name}.part")
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole = Home(Path(folder))
            _copy(storage_of_owner or storage, name, open_storage(whole))
            runs = [path for path in _run_folders(home, storage, name) if path.is_dir()]
            with tarfile.open(draft, "w:gz") as archive:
                archive.add(whole.journal, _JOURNAL)
                for path in runs:
                    archive.add(path, f"{_FILES}/{path.name}")
        draft.rename(file)
    except OSError as error:
        raise UserError(f"{file} can't be written: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
        ownership.give_up()
    without = "" if home.artifacts else "; the files of its runs are with the MLflow server, and not in it"
    return [f"study {name!r} is in {file}, with the files of {len(runs)} runs{without}"]


def import_study(home: Home, file: Path) -> str:
    """Take a study over from a file that `export_study` wrote; return its name. MLflow has nothing of it then.

    Raises UserError if the file is none of that kind, or if there is a study of the same name.
    """
    home.prepare()
    with _unpacked(file) as folder:
        theirs = open_storage(Home(folder))
        names = [study.study_name for study in theirs.get_all_studies()]
        if len(names) != 1:
            raise UserError(f"{file} holds {len(names)} studies, not one: hpo study export did not write it")
        ours = open_storage(home)
        if names[0] in {study.study_name for study in ours.get_all_studies()}:
            raise UserError(f"there is a study {names[0]!r} already (choose another home with --home DIR)")
        (study,) = theirs.get_all_studies()
        sweep_of(names[0], study.user_attrs)  # was it made by hpo?
        files = folder / _FILES
        if home.artifacts and files.is_dir():
            place = Path(unquote(urlsplit(home.artifacts).path))
            shutil.copytree(files, place, dirs_exist_ok=True)
        _copy(theirs, names[0], ours)
    return names[0]


def _copy(source: BaseStorage, name: str, target: BaseStorage) -> None:
    import optuna

    optuna.copy_study(from_study_name=name, from_storage=source, to_storage=target)


def _run_folders(home: Home, storage: BaseStorage, name: str) -> Iterator[Path]:
    """Yield where the files of a study's runs lie, if that is in the home."""
    if not home.artifacts:
        return
    place = Path(unquote(urlsplit(home.artifacts).path))
    (study,) = (study for study in storage.get_all_studies() if study.study_name == name)
    ids = [study.user_attrs.get("mlflow_run_id")]
    ids += [t.user_attrs.get("mlflow_run_id") for t in storage.get_all_trials(study_id_of(study), deepcopy=False)]
    yield from (place / str(run_id) for run_id in dict.fromkeys(ids) if run_id)


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with tarfile.open(file, "r:gz") as archive:
                extract_plain(archive, folder)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise UserError(f"{file} can't be read: {error}") from None
        if not (folder / _JOURNAL).is_file():
            raise UserError(f"{file} holds no study: hpo study export did not write it")
        yield folder
