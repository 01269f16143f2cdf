"""What a confirmation's models say of the test rows: files that nobody opens before the winner is chosen.

They hold no targets. They are gone once the confirmation is recorded.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Container
from pathlib import Path

from hpo.files import write_whole


class KeptOutputs:
    """The files of one confirming study: one a trial."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, number: int) -> Path:
        """Return a trial's file, whether it is there or not."""
        return self._folder / f"{number}.npz"

    def attach(self, number: int, name: str, path: str) -> None:
        """Move what a worker has left into a trial's file, whole or not at all. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.of(number), Path(path).read_bytes())
        shutil.rmtree(Path(path).parent, ignore_errors=True)  # its own temporary folder

    def leftovers(self, numbers: Container[int]) -> list[Path]:
        """Return the files of all other trials than these, and drafts that were never finished."""
        found = [path for path in sorted(self._folder.glob("*")) if path.is_file()]
        return [path for path in found if path.suffix != ".npz" or not _is_of(path, numbers)]

    def remove(self) -> None:
        """Remove all of them."""
        for path in self.leftovers(()):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is none, or those of other studies lie beside it
            self._folder.rmdir()
            self._folder.parent.rmdir()


def _is_of(path: Path, numbers: Container[int]) -> bool:
    return path.stem.isdigit() and int(path.stem) in numbers
