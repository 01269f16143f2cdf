"""Where trials keep how far they are, and which of these files are still of use. Workers write them."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path


class Checkpoints:
    """The checkpoint files of one study: at most one a trial, gone when the trial has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, number: int) -> Path:
        """Return a trial's file, whether it is there or not."""
        return self._folder / f"{number}.pt"

    def remove(self, number: int) -> None:
        """Remove a trial's file, and the folder with the last one."""
        if not self._folder.exists():  # as in most sweeps: no trial took long enough to keep anything
            return
        for leftover in (self.of(number), *self._folder.glob(f"{number}.pt.*")):  # .*: one that was being written
            leftover.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there is none, or it holds others
            self._folder.rmdir()

    def keep(self, numbers: Container[int]) -> None:
        """Remove the files of all other trials, which a dead driver left."""
        for path in self.leftovers(numbers):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def leftovers(self, numbers: Container[int]) -> list[Path]:
        """Return the files of all other trials than these."""
        return [path for path in sorted(self._folder.glob("*.pt*")) if not _is_of(path, numbers)]


def _is_of(path: Path, numbers: Container[int]) -> bool:
    number = path.name.split(".")[0]
    return number.isdigit() and int(number) in numbers
