"""Files that are there whole, or not at all."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from hpo.files import extract_plain, write_whole


def test_what_was_there_stays_until_the_new_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trials.csv"
    write_whole(path, b"first")
    write_whole(path, b"second")
    assert path.read_bytes() == b"second"

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"third")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def archive_of(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    path = folder / "some.tar"
    with tarfile.open(path, "w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def link_to(target: str) -> tarfile.TarInfo:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, target
    return link


@pytest.fixture(params=["this Python's own filter", "a Python before 3.11.4"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param.startswith("a Python"):
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("python")
def test_an_archive_is_extracted(tmp_path: Path) -> None:
    inner = tarfile.TarInfo("a/b.txt")
    inner.mode, inner.uid = 0o4777, 12345
    with tarfile.open(archive_of(tmp_path, (inner, b"text"))) as archive:
        extract_plain(archive, tmp_path / "here")
    found = tmp_path / "here/a/b.txt"
    assert found.read_bytes() == b"text"
    assert found.stat().st_mode & 0o7022 == 0 and found.stat().st_uid == os.getuid()


@pytest.mark.usefixtures("python")
@pytest.mark.parametrize(
    "member", [tarfile.TarInfo("../b.txt"), tarfile.TarInfo("a/../../b.txt"), link_to("/etc/passwd"), link_to("../x")]
)
def test_an_archive_that_reaches_out_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with tarfile.open(archive_of(tmp_path, (member, b""))) as archive, pytest.raises(tarfile.TarError):
        extract_plain(archive, tmp_path / "here")
    assert not (tmp_path / "b.txt").exists()
