"""Which machine this is, and which of its processes live."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def this_machine() -> str:
    """Return what tells this machine, and the container in it, from others of the same name: where a pid is a pid."""
    parts = [os.uname().nodename]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(Path("/proc/self/ns/pid").readlink().name)
    return "/".join(parts)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine is there, and not a dead one that its parent has not looked at yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return True
