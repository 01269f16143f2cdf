"""What a task gives is looked at before anything is trained: it is sound, or its fault is told with the remedy."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from e2e.support import Place
from torch import Tensor

from hpo.objective.torch_task import TorchObjective
from hpo.review.studies import list_studies
from hpo.spec.faults import UserError
from hpo.training.given_rows import checked_splits, shared_rows
from hpo.training.task import Kind, Split, Splits
from training.tiny import KINDS, splits_of, task_of


def changed(kind: Kind, split: str = "train", outputs: int | None = None, **parts: Any) -> Splits:
    """Sound splits, but for some parts of one."""
    sound = splits_of(kind)
    given = replace(getattr(sound, split), **parts)
    return replace(sound, **{split: given}, **({} if outputs is None else {"outputs": outputs}))


def with_value(values: Tensor, row: int, value: float) -> Tensor:
    changed = values.clone()
    changed[row] = value
    return changed


SOUND = {kind: splits_of(kind) for kind in KINDS}
X, Y = SOUND["binary"].train.x, SOUND["binary"].train.y
CLASSES = SOUND["multiclass"].train.y
WRONG: dict[str, tuple[Kind, Any, str]] = {
    "one and two": (
        "binary",
        changed("binary", y=Y + 1),
        "y of the train split holds 1 and 2, but labels of a binary task are 0 and 1 (y - 1)",
    ),
    "minus one and one": (
        "binary",
        changed("binary", y=2 * Y - 1),
        "holds -1 and 1, but labels of a binary task are 0 and 1 ((y == 1).float())",
    ),
    "on validation": (
        "binary",
        changed("binary", "validation", y=SOUND["binary"].validation.y * 2),
        "y of the validation split holds 0 and 2",
    ),
    "on test": ("binary", changed("binary", "test", x=X, y=Y * 255), "y of the test split holds 0 and 255"),
    "three classes": (
        "binary",
        changed("binary", y=CLASSES.float()),
        "holds 0, 1 and 2, but labels of a binary task are 0 and 1 (kind = 'multiclass' has more than two)",
    ),
    "probabilities": ("binary", changed("binary", y=Y * 0.9), "labels of a binary task are whole numbers"),
    "from one": (
        "multiclass",
        changed("multiclass", y=CLASSES + 1),
        "holds 1, 2 and 3, but outputs=3, so labels are 0 to 2 (y - 1)",
    ),
    "below zero": (
        "multiclass",
        changed("multiclass", y=CLASSES - 1),
        "holds -1, 0 and 1, but outputs=3, so labels are 0 to 2",
    ),
    "many": ("multiclass", changed("multiclass", y=torch.arange(32)), "holds 0, 1, 2, 3, ..., 31, but outputs=3"),
    "one class": (
        "multiclass",
        changed("multiclass", outputs=1, y=CLASSES * 0),
        "outputs must be the number of classes",
    ),
    "two outputs": ("binary", changed("binary", outputs=2), "outputs must be 1 for a binary task, but is 2"),
    "a column": (
        "regression",
        changed("regression", y=Y[:, None]),
        "y of the train split must have the shape [rows], but has (32, 1) (y.squeeze(1))",
    ),
    "one hot": (
        "multiclass",
        changed("multiclass", y=torch.eye(3)[CLASSES]),
        "must have the shape [rows], but has (32, 3)",
    ),
    "nan": (
        "binary",
        changed("binary", x=with_value(X, 7, float("nan"))),
        "x of the train split has NaN in 1 of 32 rows, the first is row 7 (fill or drop them)",
    ),
    "infinite": (
        "regression",
        changed("regression", y=with_value(Y, 3, float("inf"))),
        "y of the train split has infinite numbers in 1 of 32 rows, the first is row 3",
    ),
    "nan labels": (
        "binary",
        changed("binary", y=with_value(Y, 0, float("nan"))),
        "y of the train split has NaN in 1 of 32",
    ),
    "lengths": (
        "binary",
        changed("binary", y=Y[:30]),
        "need a row each for the same rows, but their shapes are (32, 4) and (30,)",
    ),
    "no rows": ("binary", changed("binary", "validation", x=X[:0], y=Y[:0]), "the validation split has no rows"),
    "features": (
        "binary",
        changed("binary", "validation", x=SOUND["binary"].validation.x[:, :3]),
        "a row of x is (4,) torch.float32 in the train split, but (3,) torch.float32 in the validation split",
    ),
    "types": (
        "binary",
        changed("binary", "validation", x=SOUND["binary"].validation.x.double()),
        "torch.float64 in the validation split",
    ),
    "weights": ("binary", changed("binary", weight=-torch.ones(32)), "weight of the train split has numbers below 0"),
    "few weights": ("binary", changed("binary", weight=torch.ones(3)), "must have the shape [32], but has (3,)"),
    "arrays": (
        "binary",
        changed("binary", x=X.numpy()),
        "x of the train split must be a tensor, but is a NumPy array (32, 4) (torch.from_numpy, torch.tensor)",
    ),
    "a tuple": (
        "binary",
        (X, Y),
        "Mine.splits must return hpo.Splits(train, validation, test), but returned a tuple of 2",
    ),
    "tuples": (
        "binary",
        replace(SOUND["binary"], train=(X, Y)),
        "train must be an hpo.Split(x, y), but is a tuple of 2",
    ),
    "no number": ("binary", replace(SOUND["binary"], outputs=None), "outputs must be a whole number, but is None"),
    "one label": ("binary", changed("binary", y=Y[0]), "need a row each for the same rows"),
    "complex": ("regression", changed("regression", y=Y.to(torch.complex64)), "has complex numbers"),
    "names": ("multiclass", replace(SOUND["multiclass"], classes=("a", "b")), "classes has 2 names, but there are 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told(case: str) -> None:
    kind, given, message = WRONG[case]
    with pytest.raises(UserError) as told:
        checked_splits(given, kind, "Mine")
    assert message in str(told.value)
    assert str(told.value).startswith("Mine.splits")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sound_stays_as_it_is(kind: Kind) -> None:
    assert checked_splits(SOUND[kind], kind, "Mine") == SOUND[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.int64, torch.float64])
def test_whole_numbers_are_labels_of_any_type(kind: Kind, dtype: torch.dtype) -> None:
    y = SOUND["multiclass"].train.y if kind != "binary" else Y
    found = checked_splits(changed(kind, y=y.to(dtype)), kind, "Mine").train.y
    kept = kind == "regression" and dtype == torch.float64
    assert found.dtype == (torch.int64 if kind == "multiclass" else dtype if kept else torch.float32)
    assert found.tolist() == y.tolist()


def test_numbers_of_a_regression_stay_as_they_are() -> None:
    times = 1.7e9 + torch.arange(32, dtype=torch.float64)
    assert checked_splits(changed("regression", y=times), "regression", "Mine").train.y.equal(times)
    assert (
        checked_splits(changed("regression", y=times.long()), "regression", "Mine").train.y.tolist() == times.tolist()
    )
    whole = checked_splits(changed("regression", y=torch.arange(32)), "regression", "Mine").train.y
    assert whole.dtype == torch.float32


def test_what_is_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = changed("binary", x=with_value(X, 7, float("nan")))
    assert checked_splits(broken, "binary", "Mine", thorough=False).train.x is broken.train.x
    sparse = changed("binary", x=X.to_sparse())
    assert checked_splits(replace(sparse, validation=sparse.train, test=sparse.train), "binary", "Mine")
    assert shared_rows(sparse) == ""
    monkeypatch.setattr("hpo.training.given_rows._PART", 8)  # two rows at a time
    for row in (0, 7, 31):
        with pytest.raises(UserError, match=f"in 1 of 32 rows, the first is row {row} "):
            checked_splits(changed("binary", x=with_value(X, row, float("inf"))), "binary", "Mine")


def test_rows_of_both_splits_are_counted() -> None:
    sound = SOUND["binary"]
    assert shared_rows(sound) == ""
    validation = sound.validation
    some = replace(sound, validation=Split(torch.cat([validation.x[:5], X[:3]]), torch.cat([validation.y[:5], Y[:3]])))
    assert shared_rows(some).startswith("3 of 8 validation rows are training rows, too")
    assert shared_rows(replace(sound, validation=sound.train)).startswith("all 32 validation rows")
    discrete = torch.randint(0, 2, (60, 3)).float()
    alike = replace(sound, train=Split(discrete, discrete[:, 0]), validation=Split(discrete[:9], discrete[:9, 0]))
    assert shared_rows(alike) == ""  # training rows repeat each other as much
    half = replace(sound, train=Split(X.bfloat16(), Y), validation=Split(X[:9].bfloat16(), Y[:9]))
    assert shared_rows(checked_splits(replace(half, test=half.train), "binary", "Mine")).startswith("all 9")
    other = replace(sound, validation=Split(X[:3], 1 - Y[:3]))  # the same x with other labels
    assert shared_rows(other) == ""
    assert any("all 32" in note for note in TorchObjective(task_of("binary", splits=lambda *_: replace(
        sound, validation=sound.train)), {}).prepare())  # fmt: skip


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(UserError, match=r"TinyTask\.kind is 'classification', but a task's kind is one of 'binary'"):
        TorchObjective(task_of("classification"), {})  # type: ignore[arg-type]


TASK = """
import torch, hpo
class Mine(hpo.TorchTask):
    kind = "binary"
    def splits(self, data):
        x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
        y = (x[:, 0] > 0).float() + data.get("shift", 0)
        return hpo.Splits(*(hpo.Split(x[a:b], y[a:b]) for a, b in ((0, 30), (30, 45), (45, 60))))
    def model(self, params, features, outputs):
        return hpo.mlp(params, features, outputs)
"""


def test_a_sweep_over_wrong_labels_begins_no_trial(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    (tmp_path / "mine.py").write_text(TASK)
    (tmp_path / "s.yaml").write_text(
        "objective: mine.py:Mine\nmetric: {name: val_accuracy}\nbudget: {trials: 2}\nname: small\n"
        "data: {shift: 1}\nparameters: {learning_rate: {min: 0.001, max: 0.1}, epochs: {value: 1}}\n"
    )
    done: subprocess.CompletedProcess[str] = place.run("sweep", "s.yaml")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Mine.splits: y of the train split holds 1 and 2, but labels of a binary task are 0 and 1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "small" not in {line.name for line in list_studies(place.home)}
