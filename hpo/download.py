"""Data sets from the network: download, check the digest, extract, move into place. All or nothing."""

from __future__ import annotations

import errno
import hashlib
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.files import extract_plain
from hpo.places import CIFAR10_FILES, CIFAR10_FOLDER, default_root
from hpo.spec.faults import UserError

if TYPE_CHECKING:
    import tarfile

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all (None: the server does not say)

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_DIGEST = "md5:c32a1d4ab5d03f1284b67883e8d87530"  # as published on https://www.cs.toronto.edu/~kriz/cifar.html
_CHUNK = 1 << 20


def download_cifar10(
    root: str | Path | None = None, archive: str | Path | None = None, progress: Progress | None = None
) -> Path:
    """Put CIFAR-10's binary version (Krizhevsky 2009, `CIFAR10_SIZE`) under `root`; return its folder.

    root: default `default_root()`. archive: the official archive if it is on this machine already.
    Returns at once if the files are there. Raises UserError; see `fetch`.
    """
    target = default_root() if root is None else Path(root)
    return fetch(CIFAR10_URL, target, CIFAR10_DIGEST, CIFAR10_FOLDER, CIFAR10_FILES, archive=archive, progress=progress)


def fetch(
    url: str,
    target_dir: str | Path,
    digest: str,
    folder: str,
    files: Iterable[str] = (),
    *,
    archive: str | Path | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
) -> Path:
    """Download a tar archive that holds one folder, and put that folder into `target_dir`; return its path.

    digest: "md5:..." or "sha256:..." of the archive, checked before anything is read from it.
    folder: name of the archive's folder. files: what must be in it.
    archive: a local copy of the archive, used in place of the network; so is one that lies in `target_dir` under the
        name it has in `url`. Neither is removed.
    timeout: seconds of silence after which the server counts as gone.
    Work is done in a temporary folder inside `target_dir`, renamed at the end, so that another process sees all or
    nothing. Returns at once if the folder is there. Raises UserError with a remedy for everything that goes wrong.
    """
    target_dir = Path(target_dir).expanduser()
    final = target_dir / folder
    if final.exists():
        _require_files(final, files, f"remove {final} and run again")
        return final
    copy = target_dir / url.rsplit("/", 1)[-1]
    local = Path(archive).expanduser() if archive is not None else copy if copy.is_file() else None
    try:
        target_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target_dir) as scratch:
            source = local or _download(url, Path(scratch) / "archive", copy, progress, timeout)
            _check_digest(source, digest, url if local is None else str(local))
            _extract(source, Path(scratch) / "content", folder)
            _require_files(Path(scratch) / "content" / folder, files, "is this the right archive?")
            _move(Path(scratch) / "content" / folder, final)
    except OSError as error:
        raise UserError(_disk_message(error, target_dir)) from error
    return final


def _require_files(folder: Path, files: Iterable[str], remedy: str) -> None:
    lacking = [name for name in files if not (folder / name).is_file()]
    if lacking:
        raise UserError(f"{folder} must hold {', '.join(lacking)}, but does not ({remedy})")


def _download(url: str, path: Path, copy: Path, progress: Progress | None, timeout: float) -> Path:
    """Stream `url` to `path`. What the network does wrong becomes a UserError; what the disk does, an OSError."""
    import http.client
    import urllib.error
    import urllib.request

    if not url.startswith(("https://", "http://")):
        raise UserError(f"a download needs an http(s) address, but got {url!r}")
    remedy = f"without a network, download {url} elsewhere, put it at {copy} and run again"
    try:
        with path.open("wb") as file, _network(lambda: urllib.request.urlopen(url, timeout=timeout)) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            done = 0
            while chunk := _network(lambda: response.read(_CHUNK)):
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    except urllib.error.HTTPError as error:
        raise UserError(f"{url}: the server answered {error.code} {error.reason} ({remedy})") from error
    except urllib.error.URLError as error:
        raise UserError(f"{url}: no connection: {error.reason} ({remedy})") from error
    except (http.client.HTTPException, _ConnectionLost) as error:
        raise UserError(f"{url}: the connection broke: {error} (run again; {remedy})") from error
    if total is not None and done != total:
        raise UserError(f"{url}: the connection ended after {done} of {total} bytes (run again; {remedy})")
    return path


class _ConnectionLost(Exception):
    """The network's own kind of OSError (reset, timeout); every other OSError is the disk's."""


def _network(step: Callable[[], Any]) -> Any:
    import urllib.error

    try:
        return step()
    except urllib.error.URLError:
        raise  # urllib's own, which says more
    except OSError as error:
        raise _ConnectionLost(str(error)) from error


def _check_digest(path: Path, digest: str, source: str) -> None:
    algorithm, _, expected = digest.partition(":")
    if not path.is_file():
        raise UserError(f"the archive {path} does not exist (check the path)")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if found != expected:
        told = f"{source}: the archive's {algorithm} must be {expected}, but is {found}; nothing was extracted"
        raise UserError(f"{told} (it is damaged or not the official file: download it again)")


def _extract(source: Path, target: Path, folder: str) -> None:
    """Extract regular files and folders below `folder`; refuse an archive with anything else in it."""
    import tarfile

    try:
        with tarfile.open(source) as archive:
            for member in archive.getmembers():
                _require_harmless(member, folder)
            extract_plain(archive, target)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{source.name} is no complete tar archive: {error} (download it again)") from error
    if not (target / folder).is_dir():
        raise UserError(f"the archive must hold the folder {folder!r}, but does not (is this the right archive?)")


def _require_harmless(member: tarfile.TarInfo, folder: str) -> None:
    parts = Path(member.name).parts
    inside = bool(parts) and parts[0] == folder and ".." not in parts
    if not inside or not (member.isreg() or member.isdir()):
        what = "" if inside else f" outside {folder!r}"
        kind = "a file" if member.isreg() else "a folder" if member.isdir() else "a link or device"
        told = f"an archive may hold regular files in {folder!r} only, but {member.name!r} is {kind}{what}"
        raise UserError(f"{told} (nothing was kept; is this the official archive?)")


def _move(source: Path, final: Path) -> None:
    try:
        source.rename(final)
    except OSError as error:
        # Another process was quicker: its folder is as complete as this one, since it too came by a rename.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not final.is_dir():
            raise


def _disk_message(error: OSError, target_dir: Path) -> str:
    remedy = "choose another folder"
    if error.errno == errno.ENOSPC:
        remedy = "free some space, or choose another folder"
    return f"cannot write to {target_dir}: {error.strerror or error} ({remedy})"
