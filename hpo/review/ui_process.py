"""Server processes that are gone when this process is, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hpo.objective import program_guard

GRACE = 5.0  # seconds between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Server:
    """A server that was started."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def obituary(self, lines: int = 15) -> str:
        """Return how it ended, and the last lines of its log."""
        code = self.process.poll()
        how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        text = self.log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-lines:]
        end = "\n".join(f"  {line}" for line in text) or "  (nothing)"
        return f"the {self.name} ended ({how}); the end of {self.log}:\n{end}"


class ServerGroup:
    """A process group for servers and whatever they start. Leaving the context ends all of it.

    The group is led by a guard process, which ends it should this process be killed. Used from one thread.
    """

    def __init__(self) -> None:
        guard = [sys.executable, "-I", "-S", str(program_guard.__file__), str(os.getpid()), str(GRACE)]
        quiet = subprocess.DEVNULL
        # Not in the foreground group of the terminal: Ctrl-C reaches this process alone, which then ends the others.
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, process_group=0)
        self._servers: list[Server] = []

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str], log: Path) -> Server:
        """Start a server, its output going to a new log file."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                process_group=self._guard.pid,
            )
        server = Server(name, log, process)
        self._servers.append(server)
        return server

    def __enter__(self) -> ServerGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while any(server.alive for server in self._servers) and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal(signal.SIGKILL)  # the guard too, and what a server may have left behind
        for server in self._servers:
            server.process.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard.wait()

    def _signal(self, number: signal.Signals) -> None:
        # The group's number can't be another's: its leader, the guard, has not been waited for.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError if all of it is dead
            os.killpg(self._guard.pid, number)
