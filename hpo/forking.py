"""Processes that are there at once: forks of a server process that has loaded what all of them need.

Loading Torch takes seconds and hundreds of megabytes a process. The server loads it once and does nothing else: it has
one thread and never touches a GPU, so that forking it is safe. Its forks share its memory. Should a library have opened
a GPU while it was loaded, processes load their own after all.

Linux only forks; elsewhere a fork of a process that has loaded libraries may crash, and each process loads its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import pickle
import select
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess, SpawnProcess
from pathlib import Path
from typing import Any, Protocol

from hpo.lazy import keep_imports, quick_imports
from hpo.output import log_to
from hpo.spawning import start_process

CAN_FORK = sys.platform == "linux"
_LENGTH = struct.Struct("<Q")
SERVER_DIED = 256  # in place of an exit code, which is less: of a process whose server died and could not tell it
_PATIENCE = 2.0  # seconds for the server to end by itself
_GPUS = ("/dev/nvidia", "/dev/kfd")  # the devices of CUDA and ROCm, which don't survive a fork
_lifelines: list[Connection] = []  # in a fork: what becomes readable when the process that asked for it is gone


class ChildProcess(Protocol):
    """What both a fork of a server and a process of multiprocessing's are for the one who started it."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    @property
    def sentinel(self) -> int: ...  # becomes readable when there is news of it

    def is_alive(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...


class ForkedProcess:
    """A fork of a server's, which tells its process id and, when it has ended, its exit code."""

    def __init__(self, status: Connection) -> None:
        """status: where the server tells them. It is closed, without either, when the server has died."""
        self._status = status
        self._pid: int | None = None
        self._exitcode: int | None = None

    @property
    def sentinel(self) -> int:
        return self._status.fileno()

    @property
    def pid(self) -> int | None:
        """None while the server is still loading."""
        self._look(0.0)
        return self._pid

    @property
    def exitcode(self) -> int | None:
        self._look(0.0)
        return self._exitcode

    def is_alive(self) -> bool:
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        self._look(timeout)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal; to a process that is not there yet as soon as it is."""
        while self._pid is None and self._exitcode is None:
            self._receive()
        if self.is_alive() and self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _look(self, timeout: float | None) -> None:
        """Take in what the server told; wait so many seconds (None: without end) for the end of the process."""
        while self._exitcode is None and wait([self._status], timeout):
            self._receive()

    def _receive(self) -> None:
        try:
            number = int(self._status.recv())
        except (EOFError, OSError):
            self._exitcode = SERVER_DIED
            return
        if self._pid is None:
            self._pid = number
        else:
            self._exitcode = number


class ForkServer:
    """Starts processes: forks of a server process, which begins when it is first wanted."""

    def __init__(self, libraries: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> None:
        """libraries: the modules that the server loads, as far as they can be; environment: variables to be set before
        that; log: a file for what they print; None: it is named before the first `start_process`.
        """
        self._libraries = tuple(libraries)
        self._environment = dict(environment)
        self.log = log
        self._server: SpawnProcess | None = None
        self._channel: socket.socket | None = None
        self._lifeline: Connection | None = None

    def begin(self) -> None:
        """Have the server load its libraries by now, so that the first process comes sooner."""
        if CAN_FORK:
            self._running()

    def prepare(self, libraries: Sequence[str], environment: Mapping[str, str]) -> None:
        """Have the server set these variables, too, and load these modules, before it starts another process: those of
        which it was not told before."""
        libraries = tuple(library for library in libraries if library not in self._libraries)
        environment = {name: value for name, value in environment.items() if self._environment.get(name) != value}
        self._libraries += libraries
        self._environment |= environment
        if self._channel is not None and (libraries or environment):
            self._send(self._channel, _Setup(libraries, environment, None), [])

    def start_process(
        self, target: Callable[..., None], connection: Connection, args: tuple[Any, ...], name: str
    ) -> ChildProcess:
        """Start and return a process that calls `target(connection, *args)`; target and args are pickled.

        It comes as soon as the server has loaded its libraries; this returns at once.
        """
        if not CAN_FORK:
            return start_process(target, (connection, *args), name)
        channel = self._running()
        status, theirs = multiprocessing.Pipe(duplex=False)
        with theirs:
            self._send(channel, _Order(self.log, target, args, name), [connection.fileno(), theirs.fileno()])
        return ForkedProcess(status)

    @staticmethod
    def _send(channel: socket.socket, request: _Setup | _Order, descriptors: list[int]) -> None:
        content = pickle.dumps(request)
        with contextlib.suppress(OSError):  # it has just died: a process is one that died at its start
            socket.send_fds(channel, [_LENGTH.pack(len(content))], descriptors)
            channel.sendall(content)

    def _running(self) -> socket.socket:
        """Return the way to the server, which is started if there is none, or none any more."""
        if self._channel is not None and self._server is not None and not wait([self._channel], 0):
            return self._channel
        self.close(at_once=True)  # what comes from it is its end alone, a moment before its process has ended
        self._channel, channel = socket.socketpair()
        lifeline, self._lifeline = multiprocessing.Pipe(duplex=False)
        setup = _Setup(self._libraries, self._environment, self.log)
        with channel, lifeline:
            self._server = start_process(_serve, (channel, lifeline, setup), "worker-server")
        return self._channel

    def close(self, at_once: bool = False) -> None:
        """End the server, and with it the processes that it still has. at_once: even if it is still loading."""
        if self._server is None or self._channel is None or self._lifeline is None:
            return
        self._channel.close()
        self._lifeline.close()
        self._server.join(0.0 if at_once else _PATIENCE)
        self._server.kill()
        self._server.join()
        self._server.close()
        self._server = None


def lifelines() -> list[int | Connection]:
    """Return what becomes readable when the one who started this process is gone."""
    parent = multiprocessing.parent_process()
    return [*_lifelines, *([parent.sentinel] if parent is not None else [])]


@dataclass(frozen=True)
class _Setup:
    """How a server is made, and what it is to load later. Picklable."""

    libraries: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path | None


@dataclass(frozen=True)
class _Order:
    """A process that is to be started. Picklable. log: where goes what the server itself prints."""

    log: Path | None
    target: Callable[..., None]
    args: tuple[Any, ...]
    name: str


def _serve(channel: socket.socket, lifeline: Connection, setup: _Setup) -> None:
    """Load the libraries, then fork for each request, until the one who asks is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver to understand
    output = _Output(setup.log)
    _lifelines.append(lifeline)
    _load(setup, lifeline)
    _Forks(channel, lifeline, output).serve()
    os._exit(0)  # nothing of it is worth seconds of unloading


def _load(setup: _Setup, lifeline: Connection) -> None:
    os.environ.update(setup.environment)
    for library in setup.libraries:
        if lifeline.poll():
            os._exit(0)
        # Whoever needs it imports it again, and then fails with the reason.
        with contextlib.suppress(Exception, SystemExit), quick_imports():
            importlib.import_module(library)
    keep_imports()


class _Output:
    """Where goes what the server prints: into its log, or, until that is named, into a file that has no name."""

    def __init__(self, log: Path | None) -> None:
        self._named = log is not None
        self._early: int | None = None
        if log is None:
            try:
                self._early, name = tempfile.mkstemp()
            except OSError:  # a full disk: what is printed meanwhile is lost
                log = Path(os.devnull)
            else:
                log = Path(name)
        log_to(log)
        if self._early is not None:
            log.unlink()

    def log_to(self, log: Path | None) -> None:
        """Send it to a log from now on, what was printed before first. None, or once there is a log: change nothing."""
        if log is None or self._named:
            return
        self._named = True
        log_to(log)
        early, self._early = self._early, None
        if early is not None:
            with os.fdopen(early, "rb") as printed, contextlib.suppress(OSError):  # a full disk
                os.write(2, printed.read())


class _Forks:
    """The server's side: its forks, and to whom their ends are told."""

    def __init__(self, channel: socket.socket, lifeline: Connection, output: _Output) -> None:
        self._channel = channel
        self._lifeline = lifeline
        self._output = output
        self._forks: dict[ForkProcess | SpawnProcess, Connection] = {}
        self._has_gpu = _has_open(_GPUS)
        self._woken, self._wake = socket.socketpair()  # by the signal that a fork has ended: others may hold its pipes
        for end in (self._woken, self._wake):
            end.setblocking(False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, _take_note)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._channel, self._woken], [], [])
            if self._woken in ready:
                self._woken.recv(4096)
                self._tell_ends()
            if self._channel in ready and not self._carry_out():
                return

    def _tell_ends(self) -> None:
        for fork in [fork for fork in self._forks if not fork.is_alive()]:
            _tell(self._forks[fork], fork.exitcode)
            self._forks.pop(fork).close()
            fork.close()

    def _carry_out(self) -> bool:
        """Carry out one request; return False if there will be none any more."""
        header, descriptors, _, _ = socket.recv_fds(self._channel, _LENGTH.size, 2)
        if not header:
            return False
        (length,) = _LENGTH.unpack(header)
        request = bytearray()
        while len(request) < length:
            if not (more := self._channel.recv(length - len(request))):
                return False
            request += more
        order: _Setup | _Order = pickle.loads(request)
        if isinstance(order, _Setup):
            _load(order, self._lifeline)
            self._has_gpu = _has_open(_GPUS)
        else:
            self._fork(order, *map(Connection, descriptors))
        return True

    def _fork(self, order: _Order, connection: Connection, status: Connection) -> None:
        self._output.log_to(order.log)
        fork: ForkProcess | SpawnProcess
        if self._has_gpu:
            fork = start_process(order.target, (connection, *order.args), order.name)
        else:
            fork = multiprocessing.get_context("fork").Process(
                target=self._be_fork, args=(connection, status, order), name=order.name, daemon=False
            )
            fork.start()
        connection.close()
        _tell(status, fork.pid)
        self._forks[fork] = status

    def _be_fork(self, connection: Connection, status: Connection, order: _Order) -> None:
        """Be a process of its own: with nothing that is the server's alone."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in (self._channel, self._woken, self._wake):
            end.close()
        for told in (status, *self._forks.values()):
            told.close()
        for other in self._forks:
            os.close(other.sentinel)
        self._forks.clear()
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()  # as Python's own generator is after a fork: forks are not copies
        atexit._clear()
        try:
            order.target(connection, *order.args)
        finally:
            atexit._run_exitfuncs()  # what the target has registered; a fork of multiprocessing's leaves it out


def _has_open(devices: tuple[str, ...]) -> bool:
    """Whether this process holds a file whose name begins with one of these."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the folder itself
            if str(descriptor.readlink()).startswith(devices):
                return True
    return False


def _take_note(number: int, frame: object) -> None:
    """Do nothing: a signal that is handled wakes the server."""


def _tell(status: Connection, number: int | None) -> None:
    with contextlib.suppress(OSError):  # nobody wants to know any more
        status.send(number)
