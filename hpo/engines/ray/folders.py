"""Where an actor keeps its files on its machine: in a folder of its own, which goes with it, and in one of its user's,
for what all workers there share."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from hpo.private import NotPrivate, is_own_folder, locked, private_folder

_WORKERS, _DATA = "hpo-ray", "hpo-data"


class ActorFolder:
    """An empty folder that exists until `remove`. Those of actors that were killed are removed when another is made.

    Where the user's common folder is somebody else's work, it stands by itself in the temporary folder, and `faults`
    says why; a killed actor's then stays.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        try:
            parent = private_folder(_WORKERS)
        except NotPrivate as error:
            self.faults.append(str(error))
            self.path = Path(tempfile.mkdtemp(prefix=f"{_WORKERS}-"))
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            return
        with locked(parent / "lock"):
            for left in parent.iterdir():
                if is_own_folder(left):
                    _remove_unless_locked(left)
            self.path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def shared_data(self) -> Path:
        """Return the folder for data that came from the driver: the user's common one, if that can be trusted."""
        try:
            return private_folder(_DATA)
        except NotPrivate as error:
            self.faults.append(str(error))
            return self.path

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_unless_locked(folder: Path) -> None:
    """Remove a folder whose actor is dead: its lock died with it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
