"""`hpo ...` as a fork of a process that has loaded what commands import: half a second less each.

The command is a process of its own, with its own environment, working directory, standard streams, signals and exit
code, and it ends as any Python does. What differs: its parent is another, its imports are there at once, and they are
not unloaded. Where that may matter, as in the tests of faults, tests start `python -m hpo`.
"""

from __future__ import annotations

import atexit
import importlib
import os
import pkgutil
import select
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from forks import ask, hear, serve
from shared import server

_AT_START = ("PYTHON", "LC_", "LANG", "OMP_")  # what is read when a process starts, or loads its libraries


def can_fork(changes: dict[str, str]) -> bool:
    """Whether a command with these changes of the environment is the same as a fork."""
    return not any(name.startswith(_AT_START) for name in changes)


class ForkedProcess(subprocess.Popen[str]):
    """A running fork: a Popen whose process another one has started, and tells the exit code of.

    As far as tests/test_warm.py shows, Popen needs no more of its process than these three methods.
    """

    def __init__(
        self, address: str, arguments: list[str], folder: Path, environment: dict[str, str], output: Any, errors: Any
    ) -> None:
        """address: of the server of forks; output, errors: as Popen's `stdout` and `stderr`."""
        self._server = address
        super().__init__(arguments, cwd=folder, env=environment, stdout=output, stderr=errors, text=True)

    def _execute_child(self, arguments: list[str], *settings: Any) -> None:
        folder, environment = settings[4:6]
        output_read, output, errors_read, errors = settings[11:15]
        self._asked = ask(self._server, arguments, folder, environment, {1: output, 2: errors})
        for end, ours in ((output, output_read), (errors, errors_read)):
            if ours != -1:  # of a pipe
                os.close(end)
        self.pid = hear(self._asked)
        self._child_created = True

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and select.select([self._asked], [], [], 0)[0]:
            self.returncode = hear(self._asked)
            self._asked.close()
        return self.returncode

    def _wait(self, timeout: float | None) -> int:
        if self.returncode is None and not select.select([self._asked], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        code = self.poll()
        assert code is not None
        return code


class ForkedCommand(ForkedProcess):
    """A running command."""

    def __init__(self, arguments: list[str], folder: Path, environment: dict[str, str], torch: bool = False) -> None:
        """torch: of a server that has Torch loaded, too, for commands that train or use a model."""
        address = server(
            "torch-commands" if torch else "commands", [__file__, "warm_workers" if torch else ""], piped=True
        )
        super().__init__(address, arguments, folder, environment, subprocess.PIPE, subprocess.PIPE)


def run_forked(
    arguments: list[str], folder: Path, environment: dict[str, str], seconds: float, torch: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; raise subprocess.TimeoutExpired, and end it, if it takes longer."""
    with ForkedCommand(arguments, folder, environment, torch) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(["hpo", *arguments], process.returncode, output, errors)


def _load(first: str) -> None:
    """Import this module, and what commands do. MLflow stays out, and Torch where it isn't loaded by the first: most
    commands never load them."""
    if first:
        importlib.import_module(first)
    from sqlalchemy.orm import configure_mappers

    import hpo.cli
    from hpo.lazy import keep_imports

    for module in pkgutil.iter_modules(hpo.cli.__path__):
        importlib.import_module(f"hpo.cli.{module.name}")
    for name in ("driver", "engines.make", "engines.local", "ledger.ledger", "ledger.succession", "objective.function",
                 "objective.program", "review.summary", "search.searcher", "ledger.study.journal",
                 "ledger.study.database", "ledger.mirror.reach"):  # fmt: skip
        importlib.import_module(f"hpo.{name}")
    with suppress(ImportError):  # for studies in PostgreSQL
        importlib.import_module("psycopg")
    configure_mappers()  # of Optuna's tables
    keep_imports()


def _run() -> None:
    """Run the command and end as Python does, but for its unloading of all that was imported, half of a short command:
    threads are waited for, exit functions are called, what was printed is written."""
    from warm import run_command

    try:
        run_command()
    except SystemExit as ended:
        threading._shutdown()
        atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            raise ended from None  # nobody reads it: Python's own end says so
        if not isinstance(ended.code, int):
            raise
        os._exit(ended.code)


if __name__ == "__main__":
    _load(sys.argv[1])
    sys.argv[1:] = serve(*map(int, sys.argv[2:]))
    _run()
