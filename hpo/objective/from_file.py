"""Holds the module of an objective file whose own name is taken: `random.py` is `hpo.objective.from_file.random`.

A file is a module of its own name where it can be, so that whatever its functions and classes are pickled to imports it
as it would in a program of the user's. Where another module has that name (Python's `random`), it is found under
this one instead: by this process, and by all that it starts, since they inherit the environment.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

VARIABLE = "HPO_OBJECTIVE_FILE"
__path__: list[str] = []  # which makes this a package: its modules are found by _Finder


def module_name(path: Path) -> str:
    """Return the name under which processes that are started from now on import a file, given by its whole path."""
    os.environ[VARIABLE] = str(path)
    return _name_of(path)


def _name_of(path: Path) -> str:
    return f"{__name__}.{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"


class _Finder:
    """Finds the file that VARIABLE names."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        file = os.environ.get(VARIABLE)
        if not name.startswith(__name__ + ".") or file is None or name != _name_of(Path(file)):
            return None
        return importlib.util.spec_from_file_location(name, file)


sys.meta_path.append(_Finder)
