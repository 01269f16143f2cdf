"""Starting processes of this platform's own, in which no module of the user's takes the place of one that they need."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import util
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

_SAFE_PATH = "PYTHONSAFEPATH"  # Python then doesn't look for modules in the working directory
_ROOT = str(Path(__file__).resolve().parents[1])
path_lock = threading.RLock()  # held by who changes sys.path to put it back, so that no other thread sees that
_arguments = util._args_from_interpreter_flags  # type: ignore[attr-defined]  # returns a list; Python 3.11 to 3.14


def start_process(target: Callable[..., None], args: tuple[Any, ...], name: str) -> SpawnProcess:
    """Start and return a process that calls `target(*args)`; target and args are pickled.

    It has nothing of this one's state (start method `spawn`, which CUDA and threads survive), and doesn't import the
    script that this one runs.
    """
    process = multiprocessing.get_context("spawn").Process(
        target=_begin, args=(target, args, os.environ.get(_SAFE_PATH)), name=name, daemon=False
    )
    with path_lock, _apart():
        process.start()
    return process


def _begin(target: Callable[..., None], args: tuple[Any, ...], safe_path: str | None) -> None:
    """Give the user's own code what it would have had, then call the target."""
    if safe_path is None:
        os.environ.pop(_SAFE_PATH, None)
    multiprocessing.set_start_method(None, force=True)  # the system's own, which spawn had replaced by itself
    target(*args)


def shield_children() -> None:
    """Let Python in the processes that multiprocessing starts from here not look for modules in the working directory
    first, from now on. They get `sys.path` of this process as they begin, but not before they have imported a lot.

    Processes of this platform's own hand that on by themselves. An environment variable would reach all programs that
    are started from here, and those may rely on their own folder.
    """
    util._args_from_interpreter_flags = lambda: [*_arguments(), "-P"]  # type: ignore[attr-defined]


def expose_children() -> None:
    """Undo `shield_children`."""
    util._args_from_interpreter_flags = _arguments  # type: ignore[attr-defined]


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Hide what a process that is spawned meanwhile would take of the user's: the working directory, the script (which
    it would import, and so run, without `if __name__ == "__main__"`), and their folders before all others."""
    main, path, safe_path = sys.modules["__main__"], list(sys.path), os.environ.get(_SAFE_PATH)
    method = multiprocessing.get_start_method(allow_none=True)
    script = getattr(main, "__file__", None)
    users = {str(Path.cwd()), *([str(Path(script).resolve().parent)] if script else [])}
    users.discard(_ROOT)
    sys.modules["__main__"] = ModuleType("__main__")
    os.environ[_SAFE_PATH] = "1"
    sys.path[:] = sorted(path, key=lambda entry: os.path.realpath(entry or ".") in users)
    try:
        yield
    finally:
        sys.modules["__main__"], sys.path[:] = main, path
        if method is None:  # a spawn settles it for good, and the user's own set_start_method would be refused
            multiprocessing.set_start_method(None, force=True)
        if safe_path is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = safe_path
