"""Temporary folders of programs' trials, and what becomes of those whose worker was killed.

A trial's folder holds a file that its worker has locked, until the worker is done with it or dead; so who can lock it
may remove the folder. A file that was handed over waits in a folder of another name for MLflow to take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import time
from pathlib import Path
from typing import BinaryIO

from hpo.private import is_own_folder

_WRITING, _WAITING = "hpo-trial-", "hpo-output-"
_OLD = 7 * 24 * 3600.0  # seconds after which nobody comes for a file any more


def open_in_folder(number: int, name: str) -> tuple[Path, BinaryIO]:
    """Make a folder with one locked file in it, by this name; return its path, and the file."""
    path = Path(tempfile.mkdtemp(prefix=f"{_WRITING}{number}-"), name)
    draft = path.with_name(f".{name}")
    file = draft.open("wb")
    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    draft.replace(path)  # now it may be found, and is locked
    return path, file


def hand_over(path: Path) -> Path:
    """Move a file's folder to where it waits; return the file's new path. To be called before it is closed."""
    folder = path.parent
    target = folder.with_name(_WAITING + folder.name.removeprefix(_WRITING))
    return folder.rename(target) / path.name


def sweep_up() -> None:
    """Remove folders of this user's that killed workers left."""
    now = time.time()
    for folder in Path(tempfile.gettempdir()).glob("hpo-*"):
        with contextlib.suppress(OSError):  # another's, or somebody else removes it
            if not is_own_folder(folder):
                continue
            age = now - folder.stat().st_mtime
            if folder.name.startswith((_WRITING, _WAITING)) and age > _OLD:
                shutil.rmtree(folder)
            elif folder.name.startswith(_WRITING):
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    for path in folder.glob("[!.]*.log"):
        with path.open("rb") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            shutil.rmtree(folder)
            return
