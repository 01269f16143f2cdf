"""A trial's own folder (`trial.folder`, a program's HPO_FOLDER): handed over as one archive, and gone then."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hpo.events import AFTER_NUMBER, FILES_ARCHIVE, Channel, Diverged, Event, Failed, FilesOrder, Finished, Stopped
from hpo.files import remove_all
from hpo.objective.program_leftovers import open_in_folder, sweep_up

_HELD = "folder.log"  # locked while the trial runs, so that nobody takes its temporary folder for a dead worker's


class TrialFolder:
    """The folder of one trial on the machine that trains it: made when it is asked for, fresh and empty each time that
    the trial is run.

    Of no run before it has the path: what that one has started may still be writing.
    """

    def __init__(self, number: int, order: FilesOrder | None, spare: Path | None = None) -> None:
        """order: where it is to be, and what becomes of its files; None: they are not kept. spare: where the folder is
        made if not on the driver's disk; None: in a temporary folder of its own."""
        self._number = number
        self._order = order
        self._spare = spare
        self._path: Path | None = None
        self._held: BinaryIO | None = None

    @property
    def path(self) -> Path:
        """The folder. Raises OSError if it can't be made."""
        if self._path is None:
            root = self._root()
            self._path = self._spare_folder() if root is None else self._folder_in(root)
        return self._path

    def _folder_in(self, root: Path) -> Path:
        def made() -> Path:
            root.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=f"{self._number}{AFTER_NUMBER}", dir=root))

        with contextlib.suppress(FileNotFoundError):  # the root was empty, and is removed at this moment
            return made()
        return made()

    def _spare_folder(self) -> Path:
        if self._spare is not None:
            self._spare.mkdir()
            return self._spare
        sweep_up()
        held, self._held = open_in_folder(self._number, _HELD)
        folder = held.with_name("files")
        folder.mkdir()
        return folder

    def _root(self) -> Path | None:
        """Return the folder for those of all trials; None where the driver's disk is not this machine's."""
        root = Path(self._order.root) if self._order is not None else None
        return root if root is not None and root.parent.parent.is_dir() else None

    def hand_over(self, end: Event, channel: Channel, last: float | None) -> str:
        """Give the driver the files, before it is told of the trial's end, if they may be wanted.

        last: the last report of the sweep's metric; None: there is none. Returns why files could not be kept; "": they
        are, or needn't be.
        """
        order = self._order
        if order is None or self._path is None or not _may_be_wanted(order, end, last):
            return ""
        try:
            archive = self._packed(self._path) if any(self._path.iterdir()) else None
        except OSError as error:
            return f"the files in its folder could not be kept: {error}"
        if archive is not None:
            channel.attach(self._number, FILES_ARCHIVE, str(archive))
        return ""

    def _packed(self, files: Path) -> Path:
        folder = tempfile.mkdtemp(prefix="packed-", dir=self._root())
        archive = Path(folder, FILES_ARCHIVE)
        try:
            with tarfile.open(archive, "w", dereference=True) as tar:  # what links lead to, not links
                for path in _files_below(files):
                    tar.add(path, arcname=str(path.relative_to(files)), recursive=False)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # on a full disk, say
            raise
        return archive

    def remove(self) -> None:
        """Remove the folder, whatever is in it."""
        if self._path is not None:
            remove_all(self._path)
        if self._held is not None:
            shutil.rmtree(Path(self._held.name).parent, ignore_errors=True)
            self._held.close()
        self._path = self._held = None


def _may_be_wanted(order: FilesOrder, end: Event, last: float | None) -> bool:
    """Whether the files of a trial that ends so may be kept."""
    if order.keep != "best":
        return order.keep == "all"
    if isinstance(end, Failed | Diverged) or (isinstance(end, Stopped) and end.by_itself):
        return False
    value = end.value if isinstance(end, Finished) and end.value is not None else last
    return value is None or order.bar is None or order.sign * value >= order.sign * order.bar


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
