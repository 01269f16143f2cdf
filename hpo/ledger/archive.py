"""The file in which a study travels: an archive that says of itself what is in it, so that damage is found.

tarfile stops at the archive's own end; gzip's checksum, which follows it, is compared only by who reads on.
"""

from __future__ import annotations

import gzip
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from hpo.files import digest_of, extract_plain
from hpo.spec.faults import UserError

JOURNAL = "studies.journal"
FILES = "artifacts"  # the folder with the files of the study's MLflow runs
_MANIFEST = "manifest.json"
_AT_ONCE = 1 << 20  # bytes


class Unpacked(NamedTuple):
    """What was in an archive. trials: how many its study has; None: an older release wrote it, and did not say."""

    folder: Path
    trials: int | None


class ArchiveWriter:
    """Writes files into such an archive, and keeps what is in it."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.digests: dict[str, str] = {}  # SHA-256, by the files' names in the archive

    def add(self, path: Path, name: str, without: tuple[str, ...] = ()) -> None:
        """Add a file, or a folder with all that is in it. Raises OSError.

        name: in the archive. without: names of files that stay out.
        """
        if path.is_dir():
            self._archive.add(path, name, recursive=False)
            for inner in sorted(path.iterdir()):
                if inner.name not in without:
                    self.add(inner, f"{name}/{inner.name}", without)
            return
        self.digests[name] = digest_of(path)
        self._archive.add(path.resolve(), name)


@contextmanager
def written(file: Path, trials: int) -> Iterator[ArchiveWriter]:
    """Write such a file inside the block; what it says of itself comes last. Raises OSError.

    trials: how many its study has.
    """
    with tarfile.open(file, "w:gz") as archive:
        writer = ArchiveWriter(archive)
        yield writer
        text = json.dumps({"trials": trials, "files": writer.digests}, indent=1).encode()
        entry = tarfile.TarInfo(_MANIFEST)
        entry.size = len(text)
        archive.addfile(entry, BytesIO(text))


@contextmanager
def unpacked(file: Path) -> Iterator[Unpacked]:
    """Unpack such a file into a folder that is there inside the block.

    Raises UserError if it can't be read, if it is damaged, or if it holds no study.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with gzip.open(file) as stream:  # to its end, where its checksum is
                while stream.read(_AT_ONCE):
                    pass
            with tarfile.open(file, "r:gz") as archive:
                extract_plain(archive, folder)
        except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
            raise UserError(f"{file} can't be read: {error}") from None
        if not (folder / JOURNAL).is_file():
            raise UserError(f"{file} holds no study: hpo study export did not write it")
        yield Unpacked(folder, _trials_of_whole(file, folder))


def _trials_of_whole(file: Path, folder: Path) -> int | None:
    """Compare what was unpacked with what the archive says of itself; return how many trials there have to be."""
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        return None
    try:
        said = json.loads(manifest.read_text(encoding="utf-8"))
        trials, digests = int(said["trials"]), dict(said["files"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise damaged(file, f"its {_MANIFEST} can't be read") from None
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    del found[_MANIFEST]
    if other := sorted(found.keys() ^ digests.keys()):
        raise damaged(file, f"{other[0]} is {'not in it' if other[0] in digests else 'in it, unknown to its manifest'}")
    for name, path in found.items():
        if digest_of(path) != digests[name]:
            raise damaged(file, f"{name} is not what was exported")
    return trials


def damaged(file: Path, what: str) -> UserError:
    """Return the error that an archive is not as it was written."""
    return UserError(f"{file} is damaged: {what} (export the study again, or copy the file again)")
