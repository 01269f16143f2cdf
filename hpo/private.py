"""Folders with a name that anybody could guess, in a temporary folder that all users share.

Another user may have made something of that name before: a folder of theirs, a link to one of ours. So what is there is
used only if it is this user's, and no other user could have put anything in it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class NotPrivate(Exception):
    """What has the name of a private folder is none. The message names it, and the remedy."""


def private_folder(name: str) -> Path:
    """Return this user's own folder `<name>-<user id>` in the temporary folder; make it if it is not there.

    It has the mode 0700. One that others may only read is closed to them. Raises NotPrivate if it is a link, no folder,
    another user's, or one that others could write to; OSError if it can't be made.
    """
    path = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        # Nobody but this user can put another in its place afterwards: shared temporary folders are sticky.
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise NotPrivate(_described(path, _what(path) or str(error.strerror))) from None
    try:
        state = os.fstat(folder)
        if fault := _fault(state):
            raise NotPrivate(_described(path, fault))
        if state.st_mode & _OTHERS:
            os.fchmod(folder, 0o700)
    finally:
        os.close(folder)
    return path


def is_own_folder(path: Path) -> bool:
    """Whether a path is a folder of this user's, and no link to one."""
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid()


def open_lock(path: Path) -> int:
    """Return a descriptor of a file to lock (flock), in a private folder; it is made if it is not there."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file in a private folder; it dies with this process."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fault(state: os.stat_result) -> str:
    if state.st_uid != os.getuid():
        return f"it belongs to the user {state.st_uid}"
    return "other users may write to it" if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""


def _what(path: Path) -> str:
    try:
        state = path.lstat()
    except OSError:
        return ""
    if stat.S_ISLNK(state.st_mode):
        return "it is a link"
    return "it is no folder" if not stat.S_ISDIR(state.st_mode) else _fault(state)


def _described(path: Path, fault: str) -> str:
    return f"{path} is not used, since {fault} (have it removed, or let TMPDIR name a folder of your own)"
