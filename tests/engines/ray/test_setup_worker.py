"""A process that Ray starts becomes by our program what it becomes by Ray's own."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray._private.ray_constants import SETUP_WORKER_FILENAME
from ray._private.runtime_env.context import RuntimeEnvContext
from ray._private.workers import default_worker
from ray.core.generated.common_pb2 import Language

from hpo.engines.ray import compat, setup_worker

CONTEXTS: list[dict[str, Any]] = [
    {},
    {"env_vars": {"HPO_ADDED": "${HPO_GIVEN} and ${HPO_NOT_GIVEN}$HPO_GIVEN", "HPO_OTHER": ""}},
    {"command_prefix": ["cd /tmp &&"], "py_executable": "bash -c 'exec \"$@\"' bash python"},
]


def arguments(context: dict[str, Any], *rest: str, language: str = "PYTHON") -> list[str]:
    text = RuntimeEnvContext(**context).serialize()
    return [*rest[:1], f"--language={language}", *rest[1:], f"--serialized-runtime-env-context={text}"]


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_command_and_its_environment(context: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rest = ["/a/default_worker.py", "--node=a b", "it's", "--x=$HOME"]
    monkeypatch.setenv("HPO_GIVEN", "given")
    for name in ("HPO_ADDED", "HPO_OTHER", "HPO_NOT_GIVEN"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    before, became = dict(os.environ), []
    monkeypatch.setattr(os, "execvp", lambda file, args: became.append((args, dict(os.environ))))
    RuntimeEnvContext(**context).exec_worker(list(rest), Language.PYTHON)
    os.environ.clear()
    os.environ.update(before)
    became.append((setup_worker.command(arguments(context, *rest)), dict(os.environ)))
    assert became[0] == became[1]
    assert ("HPO_ADDED" in os.environ) == ("env_vars" in context)


def test_what_is_not_known_is_left_to_rays_own_program(tmp_path: Path) -> None:
    assert inspect.signature(RuntimeEnvContext).parameters.keys() == setup_worker._KNOWN
    program = "/a/default_worker.py"
    assert setup_worker.command(arguments({}, program, language="JAVA")) is None
    assert setup_worker.command(arguments({"override_worker_entrypoint": "/b.py"}, program)) is None
    newer = f"{setup_worker._ENVIRONMENT}{json.dumps({'new': 1})}"
    assert setup_worker.command([newer, "--language=PYTHON", program]) is None
    assert setup_worker.command([program]) is None
    # Really: with an entry point that only Ray's own program replaces.
    (tmp_path / "other.py").write_text("import sys; print('other', *sys.argv[1:])")
    given = arguments({"override_worker_entrypoint": str(tmp_path / "other.py")}, program, "a b")
    done = subprocess.run([sys.executable, setup_worker.__file__, *given], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "other a b\n"), done.stderr


def test_its_name_is_the_one_that_the_raylet_knows() -> None:
    assert Path(setup_worker.__file__).name == SETUP_WORKER_FILENAME
    assert Path(default_worker.__file__).with_name(SETUP_WORKER_FILENAME).exists()
    assert compat.SPARED["setup_worker_path"] == setup_worker.__file__
