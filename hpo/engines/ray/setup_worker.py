"""Becomes a process of Ray's that has an environment of its own: `python setup_worker.py [options] PROGRAM ARGUMENTS`.

Does what ray/_private/workers/setup_worker.py and runtime_env/context.py do (Ray 2.60.0), without importing Ray, which
the program does anyway: half a second of a core less before each actor is there. What isn't known here is left to
Ray's own. The file's name is what Ray's raylet knows it by; where no environment is asked for, it leaves it out.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ENVIRONMENT, _LANGUAGE = "--serialized-runtime-env-context=", "--language="
_KNOWN = {"command_prefix", "env_vars", "py_executable", "override_worker_entrypoint", "java_jars"}


def command(arguments: Sequence[str]) -> list[str] | None:
    """Return the command to become, and set its environment variables; None: Ray's own program is to do it.

    arguments: of this program, the two options among those of the program to run.
    """
    options = [each for each in arguments if each.startswith((_ENVIRONMENT, _LANGUAGE))]
    rest = [each for each in arguments if each not in options]
    if len(options) != 2 or f"{_LANGUAGE}PYTHON" not in options or not rest:
        return None
    (text,) = (each.removeprefix(_ENVIRONMENT) for each in options if each.startswith(_ENVIRONMENT))
    environment: dict[str, Any] = json.loads(text)
    if not environment.keys() <= _KNOWN or environment.get("override_worker_entrypoint"):
        return None
    for name, value in (environment.get("env_vars") or {}).items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))
    python = environment.get("py_executable") or sys.executable
    words = [*(environment.get("command_prefix") or []), "exec", python, *map(shlex.quote, rest)]
    return ["bash", "-c", " ".join(words)]


def _otherwise(arguments: Sequence[str]) -> list[str]:
    """Return the command of Ray's own program."""
    found = importlib.util.find_spec("ray")
    assert found is not None and found.origin is not None
    return [sys.executable, str(Path(found.origin).with_name("_private") / "workers" / "setup_worker.py"), *arguments]


if __name__ == "__main__":
    become = command(sys.argv[1:]) or _otherwise(sys.argv[1:])
    os.execvp(become[0], become)
