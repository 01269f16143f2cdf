"""What a task's source gave is taken from the user's cache: the same numbers, and only where the task allows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import hpo
from hpo.training.data import kept_source
from objectives.binary import Binary
from objectives.multiclass import Multiclass
from objectives.regression import Regression


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"  # not the working directory: `import hpo` would find `hpo` in it
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


class Counted(hpo.TableTask):
    """A source that says how often it was asked."""

    kind = "regression"
    options: ClassVar[Mapping[str, hpo.Known]] = {"rows": hpo.Known("int", 50, within="[10, inf)")}
    source_is_fixed = True
    asked = 0

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        type(self).asked += 1
        rows = np.arange(2.0 * options["rows"]).reshape(-1, 2)
        return rows, rows[:, 0]


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Counted:
    monkeypatch.setattr(Counted, "asked", 0)
    return Counted()


SOURCES = [
    (Binary, "synthetic"),
    (Binary, "make_classification"),
    (Binary, "separable"),
    (Binary, "xor"),
    (Binary, "breast_cancer"),
    (Multiclass, "digits"),
    (Multiclass, "wine"),
    (Regression, "friedman"),
    (Regression, "diabetes"),
]


@pytest.mark.parametrize(("made", "source"), SOURCES)
def test_the_shipped_sources_are_the_same_to_the_last_bit(made: type[hpo.TableTask], source: str) -> None:
    task, data = made(), {"source": source}
    assert "sklearn.datasets" in task.libraries(data)
    first = task.splits(data)
    assert "sklearn.datasets" not in task.libraries(data)
    again = made().splits(data)
    for split in ("train", "validation", "test"):
        for part in ("x", "y"):
            one, other = (getattr(getattr(splits, split), part) for splits in (first, again))
            assert one.dtype == other.dtype
            assert one.equal(other)
    assert first.notes == again.notes


def test_every_source_of_the_shipped_tables_is_tried() -> None:
    for task in (Binary, Multiclass, Regression):
        assert {source for made, source in SOURCES if made is task} == set(task.options["source"].choices)


def test_it_is_asked_once_for_the_same_options(task: Counted) -> None:
    for _ in range(3):
        task.splits({})
    assert Counted.asked == 1
    task.splits({"split_seed": 3, "validation": 0.3})  # the same rows, split otherwise
    assert Counted.asked == 1
    task.splits({"rows": 60})
    assert Counted.asked == 2
    assert kept_source.is_kept(task, {"rows": 60})
    assert not kept_source.is_kept(task, {"rows": 61})


def test_another_release_of_a_library_is_asked_anew(task: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    task.splits({})
    monkeypatch.setattr(kept_source, "version", lambda name: f"99 of {name}")
    task.splits({})
    assert Counted.asked == 2


def test_a_changed_file_is_asked_anew(tmp_path: Path) -> None:
    text = (
        "import hpo, numpy as np\n"
        "class Own(hpo.TableTask):\n"
        "    kind, source_is_fixed = 'regression', True\n"
        "    options = {'rows': hpo.Known('int', 50)}\n"
        "    def load_source(self, options):\n"
        "        return np.full((50, 1), NUMBER), np.arange(50.0)\n"
    )
    for number in (1.0, 2.0):
        (tmp_path / "own_source.py").write_text(text.replace("NUMBER", str(number)))
        assert (loaded_from(tmp_path / "own_source.py", number) == number).all()


def loaded_from(path: Path, number: float) -> NDArray[Any]:
    """Return the features of the task in a file, in a process of its own."""
    import subprocess
    import sys

    code = (
        "from hpo.training.data import kept_source\n"
        "import own_source\n"
        "kept_source.load(own_source.Own(), {'rows': 50})[0].tofile('x.bin')\n"
    )
    subprocess.run([sys.executable, "-B", "-c", code], cwd=path.parent, check=True)
    found: NDArray[Any] = np.fromfile(path.parent / "x.bin")
    return found


def test_a_task_that_does_not_say_so_is_always_asked(monkeypatch: pytest.MonkeyPatch, task: Counted) -> None:
    monkeypatch.setattr(Counted, "source_is_fixed", False)
    for _ in range(2):
        task.splits({})
    assert Counted.asked == 2


def test_a_class_with_a_source_of_its_own_says_so_anew(task: Counted) -> None:
    class Reads(Counted):
        def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
            x, y = super().load_source(options)
            return x + type(self).asked, y

    class Heir(Counted):
        pass

    for _ in range(2):
        Reads().splits({})
    assert Counted.asked == 0 and Reads.asked == 2
    Heir().splits({})
    Counted().splits({})  # the heir's is its parent's
    assert (Heir.asked, Counted.asked) == (1, 0)


def test_a_class_without_a_file_is_always_asked() -> None:
    names: dict[str, Any] = {"hpo": hpo, "np": np, "__name__": "nowhere"}
    exec(
        "class Shell(hpo.TableTask):\n"
        "    kind, source_is_fixed, options = 'regression', True, {}\n"
        "    def load_source(self, options):\n"
        "        return np.ones((50, 1)), np.arange(50.0)\n",
        names,
    )
    assert len(names["Shell"]().splits({}).train) == 30
    assert not kept_source.is_kept(names["Shell"](), {})


def test_a_damaged_file_is_made_anew(cache: Path, task: Counted) -> None:
    before = task.splits({})
    (kept,) = (cache / "hpo" / "sources").iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    after = task.splits({})
    assert Counted.asked == 2
    assert before.train.x.equal(after.train.x)


@pytest.mark.parametrize("odd", ["objects", "lists", "large"])
def test_only_arrays_of_numbers_that_are_not_large_are_kept(
    cache: Path, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if odd == "large":
        monkeypatch.setattr(kept_source, "_LARGEST", 100)

    class Odd(hpo.TableTask):
        kind = "regression"
        options: ClassVar[Mapping[str, hpo.Known]] = {}
        source_is_fixed = True

        def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
            x = np.arange(40.0).reshape(20, 2)
            return x.astype(object) if odd == "objects" else x, list(x[:, 0]) if odd == "lists" else x[:, 0]

    x, _ = kept_source.load(Odd(), {})
    assert x.shape == (20, 2)
    assert not (cache / "hpo").exists()


def test_random_splits_of_a_kept_source_are_the_same() -> None:
    task, data = Binary(), {"split": "random"}
    first = task.splits(data)
    assert task.splits(data).validation.x.equal(first.validation.x)
