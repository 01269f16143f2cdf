"""Copies of the driver's data on this machine, one for all workers that read it, known by what is in them.

A copy's folder has the digest of its content as its name, but a name proves nothing: each worker reads the files
through before it uses them. While it does use them it holds a lock, so that nobody mends a copy under its readers.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hpo.private import is_own_folder, open_lock


@dataclass(frozen=True)
class SentContent:
    """A file or a folder of the driver's in Ray's object store."""

    digests: Mapping[str, str]  # SHA-256 by the file's name in it; "" is a file itself
    reference: list[Any]  # in a list, so that Ray hands on the reference and not what it refers to

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()[:32]


def digests_of(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file, by name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


class Copies:
    """The copies that this process uses, in a folder; it holds them until `release`, or until it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: list[int] = []

    def take(self, sent: SentContent, name: str, fetch: Callable[[], Mapping[str, bytes]]) -> Path:
        """Return a copy of what was sent: a file or a folder of this name.

        One that is there is used if its content is right; fetch: returns the content if there is none. Raises OSError.
        """
        for number in count():
            place = self._folder / (f"{sent.digest}-{number}" if number else sent.digest)
            lock = open_lock(place.with_name(f"{place.name}.lock"))
            try:
                if self._is_right(lock, place, name, sent, fetch):
                    self._locks.append(lock)
                    return place / name
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)  # others use what is here, although it is not what was sent (any more)
        raise AssertionError

    def release(self) -> None:
        """Let others mend or replace the copies."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _is_right(
        self, lock: int, place: Path, name: str, sent: SentContent, fetch: Callable[[], Mapping[str, bytes]]
    ) -> bool:
        """Whether a place holds what was sent, after it was written there if nobody else uses the place. The lock is
        then shared."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)  # which waits while it is written
            return _holds(place, name, sent.digests)
        if not _holds(place, name, sent.digests):
            _write(place, name, fetch())
        fcntl.flock(lock, fcntl.LOCK_SH)
        return True


def _holds(place: Path, name: str, digests: Mapping[str, str]) -> bool:
    """Whether a copy consists of these files, neither more nor others, all of them this user's, and no links."""
    try:
        root = place / name
        if not is_own_folder(place) or list(place.iterdir()) != [root]:
            return False
        found = {"": root} if stat.S_ISREG(root.lstat().st_mode) else dict(_files_below(root))
        return found.keys() == digests.keys() and all(_digest(found[file]) == digests[file] for file in found)
    except OSError:
        return False


def _files_below(root: Path) -> Iterable[tuple[str, Path]]:
    for entry in os.scandir(root):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from ((f"{entry.name}/{name}", file) for name, file in _files_below(path))
        else:
            yield entry.name, path


def _digest(path: Path) -> str:
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # no link, and no waiting for a pipe's writer

    with open(path, "rb", opener=opener) as file:
        state = os.fstat(file.fileno())
        regular = stat.S_ISREG(state.st_mode) and state.st_uid == os.getuid()
        return hashlib.file_digest(file, "sha256").hexdigest() if regular else ""


def _write(place: Path, name: str, contents: Mapping[str, bytes]) -> None:
    draft = Path(tempfile.mkdtemp(dir=place.parent))
    try:
        if "" not in contents:
            (draft / name).mkdir()
        for inside, content in contents.items():
            file = draft / name / inside if inside else draft / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        if place.is_symlink() or place.is_file():
            place.unlink()
        elif place.exists():
            shutil.rmtree(place)
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
