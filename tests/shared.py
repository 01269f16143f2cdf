"""What all workers of a run of tests share: it is made once, by the worker that needs it first.

    once("tables.db", make)                       the path of a file or a folder, made by `make(path)`
    server("writers", ["-c", "..."])              the address of a process that ends with the run

pytest-xdist's workers inherit the name of the folder in which all of it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_VARIABLE = "HPO_TESTS_SHARED"
_servers: list[subprocess.Popen[bytes]] = []  # nobody waits for them


def begin() -> Callable[[], None]:
    """Make the folder of this run of tests; return what ends its servers and removes it."""
    folder = Path(tempfile.mkdtemp(prefix="hpo-tests-"))
    os.environ[_VARIABLE] = str(folder)
    os.mkfifo(folder / "alive")
    alive = os.open(folder / "alive", os.O_RDWR)  # closed with this process, however it ends

    def end() -> None:
        os.close(alive)
        shutil.rmtree(folder, ignore_errors=True)

    return end


def folder() -> Path:
    """Return the folder of this run of tests."""
    return Path(os.environ[_VARIABLE])


def once(name: str, make: Callable[[Path], object]) -> Path:
    """Return the path of this name in the shared folder; `make(path)` is called if nothing is there yet."""
    made, unfinished = folder() / name, folder() / f"unfinished-{name}"
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            make(unfinished)
            unfinished.rename(made)
    return made


def server(name: str, arguments: list[str], piped: bool = False) -> str:
    """Return the address of a Unix socket at which a Python process listens, which is started if there is none yet.

    arguments: of Python. Two more are added, the numbers of descriptors: a socket that listens, and one that becomes
    readable when the run of tests has ended, however it does.
    piped: its output goes to a pipe that nobody reads, as is right for one whose forks have pipes; else to a log.
    """

    def start(path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener, (folder() / f"{name}.log").open("w") as log:
            listener.bind(str(path))
            listener.listen(128)
            alive = os.open(folder() / "alive", os.O_RDONLY | os.O_NONBLOCK)
            descriptors = [listener.fileno(), alive]
            command = [sys.executable, *arguments, *map(str, descriptors)]
            output = subprocess.PIPE if piped else log
            process = subprocess.Popen(
                command, env=os.environ | {"PYTHONPATH": _path()}, pass_fds=descriptors,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,  # not to be ended with who starts it
            )  # fmt: skip
            os.close(alive)
        _servers.append(process)
        (folder() / f"{name}.pid").write_text(str(process.pid))

    return str(once(name, start))


def _path() -> str:
    """Return PYTHONPATH with this folder, and the one where `hpo` is."""
    tests = Path(__file__).parent
    return os.pathsep.join([str(tests), str(tests.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
