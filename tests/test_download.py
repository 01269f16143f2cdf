"""Downloads from a real server on loopback: the good archive, and every way in which one can be bad."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import os
import resource
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo import download
from hpo.download import CIFAR10_DIGEST, CIFAR10_URL, default_root, download_cifar10, fetch
from hpo.places import CIFAR10_FILES, CIFAR10_SIZE
from hpo.spec.faults import UserError
from hpo.training.data.cifar import RECORD

Edit = Callable[[tarfile.TarFile], None]


def archive(edit: Edit | None = None, folder: str = "things") -> bytes:
    """A tar.gz with two files in a folder, and whatever `edit` adds."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("one.bin", "two.bin"):
            add(tar, f"{folder}/{name}", os.urandom(50_000))
        if edit is not None:
            edit(tar)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **facts: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for fact, value in facts.items():
        setattr(info, fact, value)
    tar.addfile(info, io.BytesIO(content))


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    content = b""
    claimed: int | None = None  # Content-Length, if it lies
    requests = 0

    def url(self, name: str = "things.tar.gz") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.path != "/things.tar.gz":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.claimed or len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = archive()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server: Server, target: Path, **more: Any) -> Path:
    digest = more.pop("digest", md5(server.content))
    return fetch(server.url(), target, digest, "things", ("one.bin", "two.bin"), **more)


def left(target: Path) -> list[str]:
    """What lies in the target folder, hidden files included."""
    return sorted(str(path.relative_to(target)) for path in target.rglob("*"))


def test_download(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "new" / "data"
    seen: list[tuple[int, int | None]] = []
    folder = get(server, target, progress=lambda done, total: seen.append((done, total)))
    assert folder == target / "things"
    assert left(target) == ["things", "things/one.bin", "things/two.bin"]  # nothing temporary stays
    assert seen[-1] == (len(server.content), len(server.content))
    get(server, target)
    assert server.requests == 1  # there already


def test_a_strong_digest(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path, digest="sha256:" + hashlib.sha256(server.content).hexdigest()).is_dir()


def assert_refused(server: Server, target: Path, message: str, **more: Any) -> None:
    with pytest.raises(UserError, match=message):
        get(server, target, **more)
    assert left(target) == []


def test_wrong_digest(server: Server, tmp_path: Path) -> None:
    assert_refused(server, tmp_path, r"md5 must be 00, but is [0-9a-f]{32}; nothing was extracted", digest="md5:00")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda tar: add(tar, "../evil", b"x"), r"'\.\./evil' is a file outside 'things'"),
        (lambda tar: add(tar, "things/../../evil", b"x"), "is a file outside"),
        (lambda tar: add(tar, "/tmp/evil", b"x"), r"'/tmp/evil' is a file outside"),
        (lambda tar: add(tar, "other/file", b"x"), r"'other/file' is a file outside"),
        (lambda tar: add(tar, "things/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'things/link' is a link"),
        (lambda tar: add(tar, "things/hard", type=tarfile.LNKTYPE, linkname="things/one.bin"), "is a link"),
        (lambda tar: add(tar, "things/pipe", type=tarfile.FIFOTYPE), "is a link or device"),
    ],
)
def test_harmful_members(server: Server, tmp_path: Path, edit: Edit, message: str) -> None:
    server.content = archive(edit)
    assert_refused(server, tmp_path / "deep" / "data", message)
    assert left(tmp_path) == ["deep", "deep/data"]


def test_a_cut_off_archive(server: Server, tmp_path: Path) -> None:
    server.content = server.content[:60_000]
    assert_refused(server, tmp_path, "no complete tar archive")


def test_no_archive_at_all(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please log in</html>"
    assert_refused(server, tmp_path, "no complete tar archive")


def test_another_archive(server: Server, tmp_path: Path) -> None:
    server.content = archive(folder="things/deeper")
    assert_refused(server, tmp_path, r"must hold one\.bin, two\.bin, but does not")


def test_the_connection_ends_early(server: Server, tmp_path: Path) -> None:
    server.claimed = len(server.content) + 10
    assert_refused(server, tmp_path, rf"after {len(server.content)} of {len(server.content) + 10} bytes \(run again")


def test_not_found_says_how_to_do_it_by_hand(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"answered 404 .* put it at {tmp_path}/gone\.tar\.gz and run again"):
        fetch(server.url("gone.tar.gz"), tmp_path, "md5:00", "things")


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as nobody:  # bound, but not listening
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/things.tar.gz"
        with pytest.raises(UserError, match=r"no connection: .*\(without a network, download"):
            fetch(url, tmp_path, "md5:00", "things", timeout=5)
    assert left(tmp_path) == []


@pytest.mark.parametrize("silent", [True, False])
def test_a_server_that_hangs_up_or_says_nothing(tmp_path: Path, silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def answer() -> None:
            connection, _ = listener.accept()
            accepted.append(connection)
            if not silent:
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/things.tar.gz"
        with pytest.raises(UserError, match=r"the connection broke: .* without a network, download"):
            fetch(url, tmp_path, "md5:00", "things", timeout=0.3)
        thread.join()
        accepted[0].close()
    assert left(tmp_path) == []


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="http"):
        fetch("file:///etc/passwd", tmp_path, "md5:00", "things")


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_local_archive_needs_no_network_and_stays(server: Server, tmp_path: Path, by_hand: bool) -> None:
    place = tmp_path / "data" / "things.tar.gz" if by_hand else tmp_path / "downloads" / "copy.tgz"
    place.parent.mkdir()
    place.write_bytes(server.content)
    folder = get(server, tmp_path / "data", archive=None if by_hand else place)
    assert (folder / "one.bin").stat().st_size == 50_000
    assert server.requests == 0 and place.is_file()


def test_a_wrong_local_archive_is_named_and_stays(server: Server, tmp_path: Path) -> None:
    (tmp_path / "things.tar.gz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=rf"{tmp_path}/things\.tar\.gz: the archive's md5 must be"):
        get(server, tmp_path)
    assert left(tmp_path) == ["things.tar.gz"]


def test_a_missing_local_archive(server: Server, tmp_path: Path) -> None:
    assert_refused(server, tmp_path, r"nowhere\.tgz does not exist", archive="nowhere.tgz")


def test_an_incomplete_folder_is_not_taken_for_the_data(server: Server, tmp_path: Path) -> None:
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "one.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"must hold two\.bin, but does not \(remove .*things and run again\)"):
        get(server, tmp_path)


def test_a_target_that_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot write to .*data.* \(choose another folder\)"):
        get(server, tmp_path / "data")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk(server: Server, tmp_path: Path) -> None:
    """The words for the real error of a full device."""
    with pytest.raises(OSError) as full, Path("/dev/full").open("wb", buffering=0) as device:
        device.write(b"x")
    assert full.value.errno == errno.ENOSPC
    assert "free some space" in download._disk_message(full.value, tmp_path)


def test_a_disk_that_takes_no_more(server: Server, tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the write really fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write to .*: File too large"):
            get(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left(tmp_path) == []


def test_two_at_once(server: Server, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            get(server, tmp_path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert left(tmp_path) == ["things", "things/one.bin", "things/two.bin"]


def test_cifar10s_official_address_and_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CIFAR10_URL.startswith("https://www.cs.toronto.edu/") and CIFAR10_DIGEST.startswith("md5:c32a1d4ab5d0")
    monkeypatch.delenv("HPO_DATA", raising=False)
    assert default_root() == Path("data")
    monkeypatch.setenv("HPO_DATA", str(tmp_path))
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"not the official one")
    with pytest.raises(UserError, match=r"cifar-10-binary\.tar\.gz: the archive's md5 must be c32a1d4ab5"):
        download_cifar10()


def test_one_size_of_cifar10_is_said() -> None:
    """What is on the disk is reckoned; what is downloaded is the published archive's, 170,052,171 bytes."""
    on_disk = len(CIFAR10_FILES) * 10_000 * RECORD
    assert f"{170_052_171 / 1e6:.0f} MB to download, {on_disk / 1e6:.0f} MB on the disk" == CIFAR10_SIZE
    assert CIFAR10_SIZE in (Path(hpo.__file__).parents[1] / "search_spaces" / "cifar10.yaml").read_text()
