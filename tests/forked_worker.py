"""pytest-xdist's workers as forks of a process that has loaded the libraries that tests import: five seconds less each.

    python tests/forked_worker.py -u -c CODE      as `python -u -c CODE` does, but in a fork

The fork has the standard streams of the process that waits for it.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

from forks import ask, hear, serve
from shared import server

# Most of what is loaded while tests are collected. What pytest rewrites must not be here: plugins, and tests. Nor Ray,
# whose forks would draw the same numbers.
LIBRARIES = ("torch", "torch.export", "torch._dynamo", "torch._inductor", "sklearn.metrics", "sklearn.model_selection",
             "sklearn.preprocessing", "pandas", "matplotlib.pyplot", "mlflow.artifacts",
             "mlflow.store.tracking.sqlalchemy_store", "optuna.storages", "optuna_dashboard")  # fmt: skip


def _in_a_fork(code: str) -> int:
    """Run code in a fork that has the streams, the folder and the environment of this process; return its exit code."""
    asked = ask(server("workers", [__file__]), [code], Path.cwd(), os.environ, {0: 0, 1: 1, 2: 2})
    hear(asked)
    return hear(asked)


def _serve() -> None:
    from hpo.lazy import keep_imports, quick_imports

    with quick_imports():
        for library in LIBRARIES:
            importlib.import_module(library)
    keep_imports()
    (code,) = serve(*map(int, sys.argv[1:]))
    sys.argv[:], sys.path[0] = ["-c"], ""
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww")
    )  # those of the server are as files are, not as pipes
    sys.modules["__main__"] = main = ModuleType("__main__")  # else processes that it starts would load this file
    exec(code, vars(main))


if __name__ == "__main__":
    if sys.argv[1] == "-u":
        sys.exit(_in_a_fork(sys.argv[-1]))
    _serve()
