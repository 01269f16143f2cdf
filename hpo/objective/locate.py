"""Finding the Python object that a sweep file names as its objective."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from hpo.spec.faults import Fault, SpecError, did_you_mean
from hpo.spec.paths import resolve_path

DEFAULT_ATTRIBUTE = "objective"


def locate(reference: str, folder: Path) -> Any:
    """Return what `module`, `module:attribute` or `path/to/file.py:attribute` names (attribute: `objective`).

    Modules are looked up in the working directory, then in `folder` (the sweep file's), then among installed packages;
    files likewise. Raises SpecError if it can't be imported or found; whatever the module prints, it prints.
    """
    place, colon, attribute = reference.rpartition(":")
    if not colon or place == "":
        place, attribute = reference.rstrip(":"), DEFAULT_ATTRIBUTE
    for entry in (str(folder), str(Path.cwd())):
        if entry not in sys.path:
            sys.path.insert(0, entry)
    module = _load_file(place, folder) if place.endswith(".py") else _load_module(place)
    if not hasattr(module, attribute):
        public = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise _refuse(f"{place} has no attribute {attribute!r}", did_you_mean(attribute, public) or "define it there")
    return getattr(module, attribute)


def _refuse(message: str, remedy: str = "") -> SpecError:
    return SpecError([Fault(message, ("objective",), remedy=remedy)])


def _load_file(place: str, folder: Path) -> ModuleType:
    path = resolve_path(place, folder)
    if not path.is_file():
        raise _refuse(f"there is no file {place}", f"looked in {Path.cwd()} and {folder}")
    name = "hpo_user_" + path.stem
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise _refuse(f"{place} is no Python file")
    if str(path.parent.resolve()) not in sys.path:
        sys.path.insert(0, str(path.parent.resolve()))  # its own imports of files beside it
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _import_fault(place, error) from None
    return module


def _load_module(place: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is not None and (place == error.name or place.startswith(error.name + ".")):
            remedy = "name it module:attribute or path/to/file.py:attribute"
            if place.startswith("objectives."):
                remedy = "shipped: objectives.binary, objectives.cifar10, objectives.regression"
            raise _refuse(f"there is no module {place!r}", remedy) from None
        raise _import_fault(place, error) from None
    except (Exception, SystemExit) as error:
        raise _import_fault(place, error) from None


def _import_fault(place: str, error: BaseException) -> SpecError:
    """Say what failed, and where in the user's own file."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename and not frame.filename.startswith("<")]
    at = f" at {own[-1].filename}:{own[-1].lineno}" if own and own[-1].filename != __file__ else ""
    if isinstance(error, SyntaxError):
        at = f" at {error.filename}:{error.lineno}"
    reason = " ".join(str(error).split())
    return _refuse(f"importing {place} raised {type(error).__name__}: {reason}{at}")
