"""What belongs to the process and to Python itself: environment, folder, warnings, signals, limits and so on."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from hpo.objective.surroundings_parts import Part

_LIMITS = (
    resource.RLIMIT_AS,
    resource.RLIMIT_CORE,
    resource.RLIMIT_CPU,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_STACK,
)
_Handler = Any  # what signal.getsignal returns; None: not set by Python, so nobody can put it back


def python_parts() -> list[Part]:
    """Return the parts that every process has, as they are to be put back: what others need first."""
    parts = [
        Part("the environment", lambda: dict(os.environ), _set_environment),
        Part("the working directory", _folder, os.chdir),
        Part("the umask", _umask, os.umask),
        Part("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda text: locale.setlocale(locale.LC_ALL, text)),
        Part("the filters of warnings", lambda: list(warnings.filters), _set_filters),
        Part("sys.stdout and sys.stderr", lambda: _StandardStreams(sys.stdout, sys.stderr), _set_streams),
        Part("the level and the handlers of the root logger", _logging, _set_logging),
        Part("sys.argv", lambda: list(sys.argv), lambda words: sys.argv.__setitem__(slice(None), words)),
        Part("the switch interval of threads", sys.getswitchinterval, sys.setswitchinterval),
        Part("the most digits of a whole number", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
        Part("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        Part(
            "the thresholds of garbage collection", gc.get_threshold, lambda thresholds: gc.set_threshold(*thresholds)
        ),
        Part("garbage collection", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        Part("the decimal context", _decimal, _set_decimal),
        Part("the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
        Part("tempfile.tempdir", lambda: tempfile.tempdir, lambda folder: setattr(tempfile, "tempdir", folder)),
        Part("the start method of processes", _start_method, _set_start_method),
        Part("a limit of the process", lambda: [resource.getrlimit(limit) for limit in _LIMITS], _set_limits),
        Part("the niceness of the process", lambda: os.nice(0), lambda nice: os.nice(nice - os.nice(0))),
    ]
    if hasattr(os, "sched_getaffinity"):
        parts.append(
            Part("the cores of the process", lambda: os.sched_getaffinity(0), lambda c: os.sched_setaffinity(0, c))
        )
    if threading.current_thread() is threading.main_thread():  # nobody else may set a handler
        parts += [
            Part("a timer that was not stopped", _timer, lambda left: signal.setitimer(signal.ITIMER_REAL, *left)),
            Part("the handlers of signals", _handlers, _set_handlers),
            Part("the blocked signals", _blocked, lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask)),
        ]
    return parts


def _set_environment(before: Mapping[str, str]) -> None:
    zone = os.environ.get("TZ")
    for name in set(os.environ) - set(before):
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if before.get("TZ") != zone:
        time.tzset()


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # it was removed
        return ""


def _umask() -> int:
    mask = os.umask(0o077)  # there is no other way to read it
    os.umask(mask)
    return mask


def _set_filters(before: Sequence[Any]) -> None:
    warnings.resetwarnings()  # also tells modules to forget what they have warned of
    warnings.filters[:] = before  # type: ignore[index]


class _StandardStreams:
    """sys.stdout and sys.stderr. Any others are as good as some that are closed: a worker opens its log again."""

    def __init__(self, *streams: TextIO | None) -> None:
        self.streams = streams

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _StandardStreams) and all(
            now is before or before is None or before.closed
            for now, before in zip(self.streams, other.streams, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]


def _set_streams(before: _StandardStreams) -> None:
    for name, stream in zip(("stdout", "stderr"), before.streams, strict=True):
        if stream is not None and not stream.closed:
            setattr(sys, name, stream)


def _logging() -> tuple[int, int, list[logging.Handler]]:
    return logging.root.level, logging.root.manager.disable, list(logging.root.handlers)


def _set_logging(before: tuple[int, int, list[logging.Handler]]) -> None:
    level, disabled, handlers = before
    logging.root.setLevel(level)
    logging.disable(disabled)
    for handler in [handler for handler in logging.root.handlers if handler not in handlers]:
        logging.root.removeHandler(handler)
    for handler in handlers:
        logging.root.addHandler(handler)


def _decimal() -> tuple[Any, ...]:
    found = decimal.getcontext()
    traps = tuple(kind for kind, on in found.traps.items() if on)
    return found.prec, found.rounding, found.Emin, found.Emax, found.capitals, found.clamp, traps


def _set_decimal(before: tuple[Any, ...]) -> None:
    prec, rounding, lowest, highest, capitals, clamp, traps = before
    decimal.setcontext(
        decimal.Context(prec, rounding, Emin=lowest, Emax=highest, capitals=capitals, clamp=clamp, traps=list(traps))
    )


def _start_method() -> str | None:
    return multiprocessing.get_start_method(allow_none=True)


def _set_start_method(method: str | None) -> None:
    multiprocessing.set_start_method(method, force=True)


def _set_limits(before: Sequence[tuple[int, int]]) -> None:
    for limit, values in zip(_LIMITS, before, strict=True):
        if resource.getrlimit(limit) != values:
            resource.setrlimit(limit, values)


def _timer() -> tuple[float, float]:
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    return (left, interval) if left else (0.0, 0.0)


def _handlers() -> dict[int, _Handler]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(before: Mapping[int, _Handler]) -> None:
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
