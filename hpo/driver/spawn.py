"""Starting a process from somebody else's script, without running that script in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without_main() -> Iterator[None]:
    """Hide `__main__` while a process is spawned: Python would import it there, and a script that calls Tuner.fit
    without `if __name__ == "__main__"`, as many do, would run a second time; one from standard input can't be found."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
