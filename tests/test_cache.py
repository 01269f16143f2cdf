"""What is kept in the user's cache: whole, or as if it had never been there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpo.cache import Cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hpo" / "things"


def test_it_is_found_by_all_that_it_depends_on(folder: Path) -> None:
    cache = Cache("things", 1000)
    assert cache.find({"a": 1, "b": 2}) is None
    cache.keep({"a": 1, "b": 2}, b"\x00one")
    assert cache.find({"b": 2, "a": 1}) == b"\x00one"
    assert cache.has({"b": 2, "a": 1})
    for other in ({"a": 1}, {"a": 1, "b": "2"}, {"a": 1, "b": 2, "c": None}, {"a": True, "b": 2.0}):
        assert cache.find(other) is None
        assert not cache.has(other)
    assert len(list(folder.iterdir())) == 1  # and no draft is left


@pytest.mark.parametrize("place", ["first", "middle", "end", "cut", "empty"])
def test_a_damaged_file_is_as_none(folder: Path, place: str) -> None:
    cache = Cache("things", 1000)
    cache.keep({"a": 1}, bytes(100))
    (path,) = folder.iterdir()
    content = bytearray(path.read_bytes())
    if place in ("cut", "empty"):
        content = content[:-1] if place == "cut" else bytearray()
    else:
        content[{"first": 0, "middle": 70, "end": -1}[place]] ^= 1
    path.write_bytes(content)
    assert cache.find({"a": 1}) is None
    assert not cache.has({"a": 1})  # so it is made anew
    cache.keep({"a": 1}, b"again")
    assert cache.find({"a": 1}) == b"again"


def test_what_was_not_used_for_longest_makes_room(folder: Path) -> None:
    cache = Cache("things", 300)
    for number in range(2):
        cache.keep({"n": number}, bytes(100))
        (path,) = [path for path in folder.iterdir() if path.stat().st_mtime > 1000]  # the one just written
        os.utime(path, (number, number))
    assert cache.find({"n": 0}) == bytes(100)  # used: now the other one is the older
    cache.keep({"n": 2}, bytes(100))
    assert [cache.has({"n": number}) for number in range(3)] == [True, False, True]
    cache.keep({"n": 3}, bytes(301))  # has no room at all
    assert [cache.has({"n": number}) for number in range(4)] == [True, False, True, False]


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # also for root, whom permissions don't stop
    cache = Cache("things", 1000)
    cache.keep({"a": 1}, b"one")
    assert cache.find({"a": 1}) is None
    assert not cache.has({"a": 1})
