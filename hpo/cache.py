"""What took long to find out and can be found again at any time, kept in the user's cache for the next sweep.

Whoever keeps something names all that it depends on. A file that is damaged, or can't be written or read, is as none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpo.files import write_whole
from hpo.places import cache_folder

_DIGEST = 32  # bytes of a SHA-256


class Cache:
    """A folder in the user's cache, of bytes by what they depend on."""

    def __init__(self, name: str, room: int) -> None:
        """name: of the folder; room: bytes that it may hold. What was not used for longest makes room."""
        self._name = name
        self._room = room

    def has(self, depends_on: Mapping[str, Any]) -> bool:
        """Return whether something is kept, without looking whether it is whole. Arguments as `keep`."""
        path = self._path(depends_on)
        return path is not None and path.is_file()

    def find(self, depends_on: Mapping[str, Any]) -> bytes | None:
        """Return what was kept, as it was; None: nothing is. Arguments as `keep`."""
        path = self._path(depends_on)
        if path is None:
            return None
        with suppress(OSError):
            kept = path.read_bytes()
            content = kept[_DIGEST:]
            if hashlib.sha256(content).digest() == kept[:_DIGEST]:
                with suppress(OSError):  # another user's
                    os.utime(path)
                return content
            path.unlink()
        return None

    def keep(self, depends_on: Mapping[str, Any], content: bytes) -> None:
        """Keep content, unless it is larger than all the room, or there is no place for it.

        depends_on: all that would make it another one, in plain values.
        """
        path = self._path(depends_on)
        if path is None or len(content) + _DIGEST > self._room:
            return
        with suppress(OSError):  # a home that can't be written, a full disk: it is found again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, hashlib.sha256(content).digest() + content)
            self._make_room(path.parent)

    def _make_room(self, folder: Path) -> None:
        used = sorted(((found.st_mtime, found.st_size, path) for path, found in _files(folder)), reverse=True)
        room = self._room
        for _, size, path in used:
            room -= size
            if room < 0:
                path.unlink(missing_ok=True)

    def _path(self, depends_on: Mapping[str, Any]) -> Path | None:
        folder = cache_folder()
        key = json.dumps(depends_on, sort_keys=True, default=repr)
        return folder and folder / self._name / hashlib.sha256(key.encode()).hexdigest()


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process has just made room
            found.append((path, path.stat()))
    return found
