"""What a sweep changes in the process that it is driven from, put back: a script's or a notebook's process goes on."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hpo.objective import from_file, user_path
from hpo.objective.locate import user_folders
from hpo.spawning import path_lock
from hpo.spec.sweep import Sweep

_LOGGERS = ("optuna", "optuna.storages")  # which the platform restrains


@contextmanager
def process_kept() -> Iterator[list[str]]:
    """Put back at the end of the block: the environment variable for objective files, the levels of Optuna's loggers;
    and what training in this process (`workers: 0`) changes, `sys.path`, the generators of random numbers and the
    number of Torch's threads. (Handlers of signals are the driver's own to put back.)

    Blocks may overlap, in several threads: all but `sys.path` is put back when the last of them ends, to what it was
    when the first began.

    Yields a list that takes the folders of the user's which are to leave `sys.path` again; none, if nothing trains
    here. What the user's own code adds to it stays.
    """
    with path_lock:
        path = list(sys.path)
    _overlapping.enter()
    folders: list[str] = []
    try:
        yield folders
    finally:
        if folders:
            user_path.leave(folders, path)
        _overlapping.leave()


class _Overlapping:
    """What blocks that overlap change for one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._put_back: Callable[[], None] = _nothing

    def enter(self) -> None:
        """Note how it is, if nobody is inside."""
        with self._lock:
            if not self._inside:
                self._put_back = _noted()
            self._inside += 1

    def leave(self) -> None:
        """Put it back, if nobody else is inside."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._put_back()
                self._put_back = _nothing


def _nothing() -> None:
    """What there is to put back while nobody is inside."""


_overlapping = _Overlapping()


def _noted() -> Callable[[], None]:
    """Return a call that puts the process back as it is now."""
    variable = os.environ.get(from_file.VARIABLE)
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    generators = random.getstate()
    numpy, torch = _numpy_state(), _torch_state()

    def put_back() -> None:
        if variable is None:
            os.environ.pop(from_file.VARIABLE, None)
        else:
            os.environ[from_file.VARIABLE] = variable
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        random.setstate(generators)
        numpy()
        torch()

    return put_back


def folders_of(sweep: Sweep) -> list[str]:
    """Return the folders that training in this process puts on `sys.path`."""
    return user_folders(sweep.objective, sweep.source.resolve().parent) if sweep.objective is not None else []


def pass_on(number: int, text: str) -> None:
    """Let the program hear of a signal that ended something, as it would have without. Returns if its own handler does.

    text: of the KeyboardInterrupt that Ctrl-C raises.
    """
    if number == signal.SIGINT and signal.getsignal(number) is signal.default_int_handler:
        raise KeyboardInterrupt(text)
    signal.raise_signal(number)


def _numpy_state() -> Callable[[], Any]:
    """Return a call that puts NumPy's generator back; if it is loaded only later, to what nobody can foresee."""
    module = sys.modules.get("numpy.random.mtrand")
    if module is not None:
        state = module.get_state()
        return lambda: module.set_state(state)

    def anew() -> None:
        if (later := sys.modules.get("numpy.random.mtrand")) is not None:
            later.seed()

    return anew


def _torch_state() -> Callable[[], Any]:
    if "torch._C" not in sys.modules:

        def anew() -> None:
            if "torch._C" in sys.modules:
                sys.modules["torch"].seed()

        return anew
    torch: Any = sys.modules["torch"]
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    def put_back() -> None:
        torch.set_rng_state(state)
        torch.set_num_threads(threads)

    return put_back
