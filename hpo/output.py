"""Where a child process's output goes."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def log_to(path: Path) -> None:
    """Send this process's standard output and error to the end of a file, from C code too; nowhere if it can't be made.

    Whatever is printed, a character that the file's encoding lacks is no error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, flags, 0o644)
    except OSError:  # a full disk: what is printed is lost, the process does its work
        log = os.open(os.devnull, flags)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
