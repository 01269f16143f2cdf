"""CIFAR-10's binary version is read as it is laid out, refused when it is not, and augmented picture by picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.places import CIFAR10_FILES, CIFAR10_FOLDER, data_folders
from hpo.spec.faults import UserError, render_fault
from hpo.training.data.cifar import (
    MEAN,
    STD,
    augment_pictures,
    check_cifar10,
    find_cifar10,
    load_cifar10,
    normalise_cifar10,
)

PICTURES = 20  # in each of the six files


def record(label: int, number: int) -> bytes:
    """A picture whose red says its number, green its row, and blue its column."""
    red = np.full((32, 32), number, dtype=np.uint8)
    green, blue = np.mgrid[:32, :32].astype(np.uint8)
    return bytes([label]) + red.tobytes() + green.tobytes() + blue.tobytes()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny data set in the official layout: 100 training pictures, numbers 0 to 99, and 20 test pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "pictures" / CIFAR10_FOLDER
    folder.mkdir(parents=True)
    for file, name in enumerate(CIFAR10_FILES):
        numbers = range(file * PICTURES, (file + 1) * PICTURES)
        (folder / name).write_bytes(b"".join(record(number % 10, number) for number in numbers))
    return tmp_path / "pictures"


def numbers(split: Any) -> list[int]:
    return [int(number) for number in split.x[:, 0, 0, 0]]


def test_layout(root: Path) -> None:
    splits = load_cifar10({"root": str(root)})
    assert splits.outputs == 10
    assert splits.train.x.shape == (90, 3, 32, 32) and splits.train.x.dtype == torch.uint8
    assert splits.train.y.dtype == torch.int64
    picture = splits.train.x[0]
    assert (picture[1] == torch.arange(32).view(32, 1)).all()  # green: rows
    assert (picture[2] == torch.arange(32).view(1, 32)).all()  # blue: columns
    for split in (splits.train, splits.validation, splits.test):
        assert [number % 10 for number in numbers(split)] == split.y.tolist()
    assert sorted(numbers(splits.train) + numbers(splits.validation)) == list(range(100))
    assert numbers(splits.test) == list(range(100, 120))
    assert "90 training, 10 validation and 20 test pictures" in splits.notes[0]


def test_the_validation_pictures_are_always_the_same_and_mixed(root: Path) -> None:
    first, again = (load_cifar10({"root": str(root)}) for _ in range(2))
    assert numbers(first.validation) == numbers(again.validation)
    assert max(numbers(first.validation)) - min(numbers(first.validation)) > 20  # not one file's


@pytest.mark.parametrize(("limit", "sizes"), [(0.5, [45, 5, 10]), (45, [45, 5, 10]), (1, [90, 10, 20]), (2, [2, 1, 1])])
def test_a_limit_shrinks_all_splits_alike_and_nests(root: Path, limit: float, sizes: list[int]) -> None:
    some, every = load_cifar10({"root": str(root), "limit": limit}), load_cifar10({"root": str(root)})
    parts = [(some.train, every.train), (some.validation, every.validation), (some.test, every.test)]
    assert [len(part) for part, _ in parts] == sizes
    assert all(set(numbers(part)) <= set(numbers(whole)) for part, whole in parts)
    assert any("data.limit" in note for note in some.notes) == (limit != 1)


@pytest.mark.parametrize("place", ["argument", "argument's folder", "HPO_DATA", "data", "cache"])
def test_where_it_is_found(root: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    given = None
    if place == "argument":
        given = root
    elif place == "argument's folder":
        given = root / CIFAR10_FOLDER
    elif place == "HPO_DATA":
        monkeypatch.setenv("HPO_DATA", str(root))
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        target = Path("data") if place == "data" else Path.home() / ".cache" / "hpo"
        target.parent.mkdir(parents=True, exist_ok=True)
        root.rename(target)
    assert (find_cifar10(given) / "test_batch.bin").is_file()


def test_the_order_of_places(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_DATA", str(root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "caches"))
    assert data_folders() == [root, Path("data"), root / "caches" / "hpo"]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folders() == [root, Path("data"), Path.home() / ".cache" / "hpo"]


def test_missing_says_what_to_do(root: Path) -> None:
    with pytest.raises(UserError, match=r"run `hpo data cifar10`, which puts it into data/.* or set data: \{root:"):
        find_cifar10()
    [fault] = check_cifar10({})
    assert fault.path == () and "hpo data cifar10" in fault.message
    [fault] = check_cifar10({"root": "elsewhere"})  # no silent fall-back to another place
    assert fault.path == ("root",) and "not in elsewhere" in fault.message


def test_the_python_version_is_recognised(root: Path) -> None:
    (Path("data") / "cifar-10-batches-py").mkdir(parents=True)
    with pytest.raises(UserError, match="data has the Python version, the binary version is needed"):
        find_cifar10()


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ({"rot": "x"}, "rot", "did you mean 'root'?"),
        ({"root": 3}, "root", "must be a folder's path, but got 3"),
        ({"limit": 0}, "limit", "(0, inf), but got 0"),
        ({"limit": -5}, "limit", "but got -5"),
        ({"limit": "all"}, "limit", "must be a number"),
        ({"limit": True}, "limit", "must be a number"),
        ({"limit": 2.5}, "limit", "a whole number up to the 90 training pictures, but got 2.5"),
        ({"limit": 91}, "limit", "up to the 90 training pictures, but got 91"),
    ],
)
def test_faults(root: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], path: str, message: str) -> None:
    monkeypatch.setenv("HPO_DATA", str(root))
    [fault] = check_cifar10(data)
    assert fault.path == (path,)
    assert message in render_fault(fault)
    with pytest.raises(UserError):
        load_cifar10(data)


@pytest.mark.parametrize("size", [0, 3072, 3073 * 2 - 1])
def test_a_cut_off_file(root: Path, size: int) -> None:
    file = root / CIFAR10_FOLDER / "data_batch_3.bin"
    file.write_bytes(bytes(size))
    [fault] = check_cifar10({"root": str(root)})
    assert f"data_batch_3.bin must hold whole records of 3073 bytes, but has {size} bytes" in fault.message


def test_a_file_is_missing(root: Path) -> None:
    (root / CIFAR10_FOLDER / "data_batch_3.bin").unlink()
    with pytest.raises(UserError, match=r"is incomplete: it lacks data_batch_3\.bin \(remove it and run"):
        find_cifar10(root)


def test_a_label_that_is_none(root: Path) -> None:
    (root / CIFAR10_FOLDER / "data_batch_2.bin").write_bytes(record(9, 0) + record(10, 1))
    assert check_cifar10({"root": str(root)}) == []
    with pytest.raises(UserError, match=r"data_batch_2\.bin: labels must lie in 0 to 9, but picture 1 has 10"):
        load_cifar10({"root": str(root)})


def test_checking_loads_nothing_heavy(root: Path) -> None:
    script = f"""
import sys
from hpo.training.data.cifar import check_cifar10
assert check_cifar10({{"root": {str(root)!r}}}) == []
heavy = {{"torch.nn", "numpy._core"}} & set(sys.modules)
sys.exit(f"loaded {{heavy}}" if heavy else 0)
"""
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_normalise() -> None:
    x = torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), 255)]).to(torch.uint8)
    y = normalise_cifar10(x)
    assert y.dtype == torch.float32 and y.shape == x.shape
    for channel in range(3):
        assert y[0, channel].unique().item() == pytest.approx(-MEAN[channel] / STD[channel], rel=1e-5)
        assert y[1, channel].unique().item() == pytest.approx((1 - MEAN[channel]) / STD[channel], rel=1e-5)


@pytest.mark.parametrize("scale", [None, True, False])
def test_pixels_from_0_to_1(root: Path, scale: bool | None) -> None:
    data = {"root": str(root)} | ({} if scale is None else {"scale": scale})
    splits, default = load_cifar10(data), load_cifar10({"root": str(root)})
    for split, bytes_of in ((splits.train, default.train), (splits.validation, default.validation)):
        x, wanted = normalise_cifar10(split.x), bytes_of.x.float() / 255
        if scale is not False:
            mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
            wanted = (wanted - mean) / std
        torch.testing.assert_close(x, wanted, rtol=1e-5, atol=1e-5)
        assert torch.equal(split.y, bytes_of.y)
    assert splits.notes[0].endswith("(data.scale: false)") is (scale is False)


@pytest.mark.parametrize("scale", ["no", 0, None])
def test_scale_is_a_boolean(root: Path, scale: object) -> None:
    [fault] = check_cifar10({"root": str(root), "scale": scale})
    assert fault.path == ("scale",) and "true or false" in fault.message


def coded(rows: int) -> torch.Tensor:
    """Pictures in which each pixel's value is its own: 1 + 8 * row + column, 8 by 8."""
    return (1 + torch.arange(64)).view(1, 1, 8, 8).expand(rows, 3, 8, 8).to(torch.uint8)


def test_flip_mirrors_about_half() -> None:
    x = coded(1000)
    y = augment_pictures(x, torch.Generator().manual_seed(0), flip=True)
    mirrored = (y == x.flip(3)).flatten(1).all(dim=1)
    same = (y == x).flatten(1).all(dim=1)
    assert (mirrored ^ same).all()
    assert 430 < mirrored.sum() < 570


def test_crop_shifts_each_picture_by_its_own_draw() -> None:
    x = coded(2000)
    y = augment_pictures(x, torch.Generator().manual_seed(0), crop=True)
    assert y.shape == x.shape and y.dtype == torch.uint8 and y.is_contiguous()
    shifts = set()
    padded = torch.nn.functional.pad(x[0], (4, 4, 4, 4))
    windows = {
        tuple(padded[:, top : top + 8, left : left + 8].flatten().tolist()): (top, left)
        for top in range(9)
        for left in range(9)
    }
    for picture in y:
        shifts.add(windows[tuple(picture.flatten().tolist())])  # KeyError: not a crop of the padded picture
    assert len(shifts) == 81


def test_augmentation_depends_on_its_generator_only() -> None:
    x = coded(50)
    drawn = [augment_pictures(x, torch.Generator().manual_seed(seed), flip=True, crop=True) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert torch.equal(augment_pictures(x, torch.Generator()), x)
