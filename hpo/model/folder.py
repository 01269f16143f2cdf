"""The folder that a model lies in: there whole, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.machine import is_alive
from hpo.spec.faults import UserError

FORMAT = 1  # of model.json; a later release reads older ones
CONFIG = "model.json"
PROGRAM = "program.pt2"
ONNX = "model.onnx"
_NEEDED = ("kind", "input", "outputs", "classes", "preprocessing", "weights", "program")  # to predict
_TRIES = 10


@dataclass
class Draft:
    """A folder to write a model into. kept: whether it is to become the model."""

    folder: Path
    kept: bool = True


@contextmanager
def drafted(target: Path) -> Iterator[Draft]:
    """Give a folder beside `target` to write a model into; it becomes `target` at the end of the block, if it is kept.

    A model that is there is replaced, in one piece; after an exception, or if this process is killed, it is as it was.
    Raises UserError if something else is there.
    """
    _check_place(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _settle_leftovers(target)
    draft = target.parent / _aside(target, "draft", os.getpid())
    draft.mkdir()
    try:
        given = Draft(draft)
        yield given
        if given.kept:
            for path in [*draft.iterdir(), draft]:
                _sync(path)
            _put(draft, target)
            _sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write a model's JSON. Raises ValueError for a number that JSON has not."""
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Return a model's JSON. Raises UserError if the folder has none, or one of a later release."""
    file = folder / CONFIG
    if not file.is_file():
        what = "has no model.json" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder} {what}: a model is a folder that `hpo model STUDY` wrote")
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        form = config["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no model's description: {type(error).__name__}: {error}") from None
    except OSError as error:
        raise UserError(f"{file} can't be read: {error.strerror}") from None
    if form != FORMAT:
        raise UserError(f"{file} has format {form!r}, and this release reads {FORMAT}: use the release that wrote it")
    if missing := [key for key in _NEEDED if key not in config]:
        raise UserError(f"{file} is no model's description: it has no {missing[0]!r}")
    return dict(config)


def _check_place(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / CONFIG).is_file():
        raise UserError(f"{target} is there and is no model: name another folder by --output, or remove it")


def _aside(target: Path, purpose: str, pid: int | str) -> str:
    return f".{target.name}.{purpose}-{pid}"


def abandoned(folder: Path) -> Iterator[Path]:
    """Yield what processes that were killed left in a folder of models: models moved aside first, then drafts."""
    for purpose in ("old", "draft"):
        for path in sorted(folder.glob(f".*.{purpose}-*")):
            pid = path.name.rpartition("-")[2]
            # One of this process's own number is left from another that had it before.
            if pid.isdigit() and (int(pid) == os.getpid() or not is_alive(int(pid))):
                yield path


def settle(left: Path) -> None:
    """Clear up one of `abandoned`: a draft goes, a model that was moved aside comes back."""
    name, _, rest = left.name.removeprefix(".").rpartition(".")
    target = left.with_name(name)
    if rest.startswith("old-") and not target.exists():
        left.rename(target)
    else:
        shutil.rmtree(left, ignore_errors=True)


def _settle_leftovers(target: Path) -> None:
    for left in list(abandoned(target.parent)):
        if left.name.startswith((_aside(target, "old", ""), _aside(target, "draft", ""))):
            settle(left)


def _put(draft: Path, target: Path) -> None:
    old = target.parent / _aside(target, "old", os.getpid())
    for left in reversed(range(_TRIES)):
        if target.exists():
            target.rename(old)
        try:
            draft.rename(target)
        except OSError:  # somebody else has just put one there
            if not left or not target.exists():
                raise
        else:
            break
        finally:
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that knows no fsync of folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
