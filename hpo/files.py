"""Files that are there whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile


def write_whole(path: Path, content: bytes) -> None:
    """Put content in the place of a file. Raises OSError, and leaves what was there as it was."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_all(folder: Path) -> None:
    """Remove a folder as far as this user may, also where folders in it are read-only."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        for place, folders, _ in os.walk(folder):
            for path in (Path(place), *(Path(place, name) for name in folders)):
                if not path.is_symlink():
                    with contextlib.suppress(OSError):  # another user's, or gone
                        path.chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)


def extract_plain(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract an archive's files and folders below a folder: nothing outside it, no devices, no links out of it.

    Raises tarfile.TarError for an archive that has such, and OSError.
    """
    import tarfile  # few commands need it

    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, filter="data")
        return
    members = archive.getmembers()  # Python before 3.11.4, such as Debian 12's own
    for member in members:
        inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
        if not inside or not (member.isreg() or member.isdir()):
            raise tarfile.ReadError(f"{member.name!r} is no plain file or folder inside it")
        member.mode = 0o755 if member.isdir() else 0o644
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
    archive.extractall(folder, members)
