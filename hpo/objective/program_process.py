"""A program in a process group of its own, whose output is read as lines."""

from __future__ import annotations

import contextlib
import math
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, NamedTuple

Source = Literal["stdout", "stderr"]

MAX_LINE = 1 << 20  # a longer line comes in pieces, so that output without line ends needs no more memory
_CHUNK = 1 << 16  # a pipe's size
_LINGER = 1.0  # seconds that output is awaited from children that outlive the program
_ENDS = re.compile(rb"\n|\r(?!\n)")
_GUARD = Path(__file__).with_name("program_guard.py")


class Line(NamedTuple):
    """A line of output, without its end, or a piece of one.

    whole: it is no piece of what is longer than MAX_LINE. ends: the line ends here; else a carriage return follows,
    and what comes then overwrites it, as a progress bar does.
    """

    source: Source
    text: bytes
    whole: bool = True
    ends: bool = True


class ProgramProcess:
    """Starts a program and owns it: leaving the context ends the program and all processes of its group.

    The group is led by a guard process that ends it should this worker die. Since the guard lives as long as the group,
    the group's number is never another's. Used from one thread.
    Raises OSError or ValueError if the program cannot be started.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], folder: Path, grace: float) -> None:
        self._grace = grace
        self._kill_at: float | None = None
        guard = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), str(grace)]
        quiet = subprocess.DEVNULL
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, process_group=0)
        try:
            self._program = subprocess.Popen(
                argv,
                stdin=quiet,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=folder,
                bufsize=0,
                process_group=self._guard.pid,
            )
        except BaseException:
            self._end_guard()
            raise

    def __enter__(self) -> ProgramProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal(signal.SIGKILL)
        self._program.wait()
        for pipe in (self._program.stdout, self._program.stderr):
            if pipe is not None:
                pipe.close()
        self._end_guard()

    def terminate(self) -> None:
        """Ask the program to end; `lines` kills it once the grace period is over."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace
            self._signal(signal.SIGTERM)

    def lines(self, pause: float = math.inf) -> Iterator[Line | None]:
        """Yield each line of output until the program has ended and its output too; and None, about every `pause`
        seconds, for what is to be done meanwhile.

        Must be read to its end: a program whose output nobody reads stops at a full pipe.
        """
        ended_at = None
        paused_at = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for source, pipe in (("stdout", self._program.stdout), ("stderr", self._program.stderr)):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, (source, _Splitter()))
            while True:
                wait = 0.2 if selector.get_map() and ended_at is None else 0.02
                # standard output first, so that an error's lines come last
                for key, _ in sorted(selector.select(wait), key=lambda ready: str(ready[0].data[0]), reverse=True):
                    source, splitter = key.data
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    for text, whole, ends in splitter.split(chunk):
                        yield Line(source, text, whole, ends)
                now = time.monotonic()
                if now - paused_at >= pause:
                    paused_at = now
                    yield None
                if self._kill_at is not None and now >= self._kill_at:
                    self._signal(signal.SIGKILL)
                if ended_at is None and self._program.poll() is not None:
                    ended_at = now
                if ended_at is not None and (
                    not selector.get_map() or now >= max(ended_at, self._kill_at or 0.0) + _LINGER
                ):
                    break
            for key in list(selector.get_map().values()):  # of a child that still has the pipe
                source, splitter = key.data
                for text, whole, ends in splitter.split(b""):
                    yield Line(source, text, whole, ends)

    @property
    def exit_code(self) -> int:
        """How the program ended, once `lines` has: its code, or minus the signal that killed it."""
        return self._program.wait()

    def _signal(self, number: signal.Signals) -> None:
        # The guard's group exists until the guard is waited for. Some programs, such as `timeout`, make their own.
        groups = {self._guard.pid}
        with contextlib.suppress(ProcessLookupError):
            if self._program.returncode is None and os.getpgid(self._program.pid) == self._program.pid:
                groups.add(self._program.pid)
        for group in groups:
            # PermissionError: all of the group has changed its user, or (on macOS) is dead
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    def _end_guard(self) -> None:
        self._guard.kill()
        stdin: IO[bytes] | None = self._guard.stdin
        if stdin is not None:
            stdin.close()
        self._guard.wait()


class _Splitter:
    """Makes lines of chunks."""

    def __init__(self) -> None:
        self._rest = b""
        self._cut = False  # a piece of the line that comes was given out

    def split(self, chunk: bytes) -> Iterator[tuple[bytes, bool, bool]]:
        """Yield the lines that `chunk` completes, whether each is whole, and whether its line ends with it (Line); an
        empty chunk ends the output."""
        text, start = self._rest + chunk, 0
        for end in _ENDS.finditer(text):
            if chunk and end[0] == b"\r" and end.end() == len(text):
                break  # a line feed may follow
            yield text[start : end.start()], not self._cut, end[0] == b"\n"
            start, self._cut = end.end(), False
        self._rest, last = b"", text[start:]
        if len(last) >= MAX_LINE or (last and not chunk):
            self._cut = self._cut or bool(chunk)
            yield last, not self._cut, not chunk
        else:
            self._rest = last
