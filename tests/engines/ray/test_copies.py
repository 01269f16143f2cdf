"""Data of the driver's on a worker's machine: whatever lies there under the right name, the right content is used."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hpo.engines.ray.copies import Copies, SentContent, digests_of

FOLDER = {"a.csv": b"x,y\n1,2\n", "deep/er/b.bin": b"\0\xff"}
FILE = {"": b"x\n1\n"}


class Machine:
    """A folder for copies; what is fetched from the driver is counted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched = 0
        self.users: list[Copies] = []

    def take(self, contents: Mapping[str, bytes], name: str = "table") -> Path:
        """Return a copy as a new worker gets it, which then uses it."""

        def fetch() -> Mapping[str, bytes]:
            self.fetched += 1
            return contents

        user = Copies(self.folder)
        self.users.append(user)
        return user.take(SentContent(digests_of(contents), []), name, fetch)

    def all_done(self) -> None:
        for user in self.users:
            user.release()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path / "copies")
    machine.folder.mkdir()
    yield machine
    machine.all_done()


def content(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("sent", [FOLDER, FILE, {}])
def test_one_copy_for_all(machine: Machine, sent: dict[str, bytes]) -> None:
    first, second = machine.take(sent), machine.take(sent)
    assert first == second and content(first) == sent and first.name == "table"
    machine.all_done()
    assert machine.take(sent) == first
    assert machine.fetched == 1
    assert machine.take({"": b"other"}) != first


def other_bytes(copy: Path) -> None:
    (copy / "a.csv").write_bytes(b"x,y\n1,3\n")  # of the same length


def one_more(copy: Path) -> None:
    (copy / "deep" / "c.csv").write_bytes(b"")


def one_less(copy: Path) -> None:
    (copy / "deep" / "er" / "b.bin").unlink()


def link_to_the_same(copy: Path) -> None:
    copy.with_name("elsewhere").write_bytes(FOLDER["a.csv"])
    (copy / "a.csv").unlink()
    (copy / "a.csv").symlink_to("../elsewhere")


def linked_folder(copy: Path) -> None:
    (copy / "deep").rename(copy.parents[1] / "elsewhere")
    (copy / "deep").symlink_to(copy.parents[1] / "elsewhere")


def pipe(copy: Path) -> None:
    (copy / "a.csv").unlink()
    os.mkfifo(copy / "a.csv")


def file_for_folder(copy: Path) -> None:
    shutil.rmtree(copy)
    copy.write_bytes(b"")


def gone(copy: Path) -> None:
    shutil.rmtree(copy.parent)


def planted_link(copy: Path) -> None:
    copy.parent.rename(copy.parents[1] / "elsewhere")
    copy.parent.symlink_to(copy.parents[1] / "elsewhere")


def of_another(copy: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(copy / "a.csv", 12345, 12345)  # who can change it whenever they like


CHANGES = [
    other_bytes, one_more, one_less, link_to_the_same, linked_folder, pipe, file_for_folder, gone, planted_link,
    of_another,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_was_changed_is_written_anew(machine: Machine, change: Callable[[Path], None]) -> None:
    copy = machine.take(FOLDER)
    machine.all_done()
    change(copy)
    again = machine.take(FOLDER)
    assert again == copy and content(again) == FOLDER and machine.fetched == 2
    assert not again.parent.is_symlink() and not (again / "a.csv").is_symlink()
    assert (again / "a.csv").stat().st_uid == os.getuid()


@pytest.mark.parametrize("change", [other_bytes, one_more, gone])
def test_one_that_is_in_use_is_left_alone(machine: Machine, change: Callable[[Path], None]) -> None:
    copy = machine.take(FOLDER)
    change(copy)
    before = content(copy)
    again, third = machine.take(FOLDER), machine.take(FOLDER)
    assert again == third != copy and content(again) == FOLDER and machine.fetched == 2
    assert content(copy) == before


def test_nothing_is_left_of_what_cannot_be_written(machine: Machine) -> None:
    def fetch() -> Mapping[str, bytes]:
        return {"a": b"", "a/b": b""}

    with pytest.raises(OSError, match="exists"):
        Copies(machine.folder).take(SentContent({"a": "", "a/b": ""}, []), "x", fetch)
    assert [path.suffix for path in machine.folder.iterdir()] == [".lock"]
