"""Where a child process's output goes."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

PROGRAM_LOG = "output.log"  # the artefact of a trial that has what its program printed


def log_to(path: Path) -> None:
    """Send this process's standard output and error to the end of a file, from C code too; nowhere if it can't be made.

    Whatever is printed, a character that the file's encoding lacks is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, flags, 0o644)
    except OSError:  # a full disk: what is printed is lost, the process does its work
        log = os.open(os.devnull, flags)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if log > 2:
        os.close(log)
    if sys.stdout.closed:
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    if sys.stderr.closed:
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


LOG_LIMIT = 20_000_000  # bytes of a worker's log


def trim(path: Path, limit: int = LOG_LIMIT) -> None:
    """Cut a log that has grown beyond a limit down to its last tenth. Whoever writes to its end may go on meanwhile."""
    try:
        if path.stat().st_size <= limit:
            return
        with path.open("rb+") as file:
            file.seek(-(limit // 10), os.SEEK_END)
            tail = file.read(limit // 10)
            file.truncate(0)
        with path.open("ab") as file:
            file.write(f"[hpo: the log had grown beyond {limit:,} bytes; this is its end]\n".encode() + tail)
    except OSError:
        return  # no log, or a full disk: nothing that the sweep depends on
