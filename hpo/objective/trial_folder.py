"""A trial's own folder (`trial.folder`): made when it is asked for, handed over as one archive, and gone then."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hpo.events import FILES_ARCHIVE, Channel, Diverged, Event, Failed, FilesOrder, Finished, Stopped


class TrialFolder:
    """The folder of one trial on the machine that trains it: fresh and empty each time that the trial is run."""

    def __init__(self, number: int, order: FilesOrder | None) -> None:
        """order: where it is to be, and what becomes of its files; None: in the folder for temporary files, and nothing
        is kept."""
        self._number = number
        self._order = order
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The folder. Raises OSError if it can't be made."""
        if self._path is None:
            root = self._root()
            if root is None:
                self._path = Path(tempfile.mkdtemp(prefix=f"hpo-trial-{self._number}-"))
            else:
                self._path = root / str(self._number)
                shutil.rmtree(self._path, ignore_errors=True)  # of the run before, whose worker died
                with contextlib.suppress(FileNotFoundError):  # the root was empty, and is removed at this moment
                    self._path.mkdir(parents=True)
                self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def _root(self) -> Path | None:
        """Return the folder for those of all trials; None where the driver's disk is not this machine's."""
        root = Path(self._order.root) if self._order is not None else None
        return root if root is not None and root.parent.parent.is_dir() else None

    def hand_over(self, end: Event, channel: Channel) -> None:
        """Give the driver the files, before it is told of the trial's end, if they may be wanted. Raises OSError."""
        order = self._order
        if order is None or order.keep == "none" or self._path is None or not any(self._path.iterdir()):
            return
        if order.keep == "best":
            if isinstance(end, Failed | Diverged) or (isinstance(end, Stopped) and end.by_itself):
                return
            value = end.value if isinstance(end, Finished) else None
            if value is not None and order.bar is not None and order.sign * value < order.sign * order.bar:
                return
        folder = tempfile.mkdtemp(prefix="packed-", dir=self._root())
        archive = Path(folder, FILES_ARCHIVE)
        try:
            with tarfile.open(archive, "w", dereference=True) as tar:  # what links lead to, not links
                for path in _files_below(self._path):
                    tar.add(path, arcname=str(path.relative_to(self._path)), recursive=False)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # on a full disk, say
            raise
        channel.attach(self._number, FILES_ARCHIVE, str(archive))

    def remove(self) -> None:
        """Remove the folder, whatever is in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the files in a folder and below, in order, also behind links to folders, each folder once: no sockets and
    pipes, and nothing that is gone."""
    seen = set()
    for place, folders, names in os.walk(root, followlinks=True):
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(place, name)).is_file())
