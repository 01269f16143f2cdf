"""A home that nobody can write to can be looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from e2e.support import HPO, environment

from hpo.ledger.study.home import Home

from .test_doctor import load, look, run_sweep


@pytest.mark.slow
def test_list_best_and_doctor_on_a_read_only_home(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare: the superuser writes to any other file")
    home = run_sweep(Home(tmp_path / "read only%20"), load(tmp_path))
    assert not len(look(home)[1].after)
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>/dev/null || exit 77'
    alone = ["unshare", "-m", "sh", "-c"]
    for command, said in (
        (["list"], "small"),
        (["best", "small"], "best score"),
        (["doctor", "small"], "study, MLflow and disk agree (7 trials)"),
    ):
        done = subprocess.run(
            [*alone, f'{mount}; exec "$@"', str(home.path), *HPO, *command, "--home", str(home.path)],
            env=environment(), text=True, capture_output=True, timeout=240, cwd=tmp_path,
        )  # fmt: skip
        if done.returncode == 77:
            pytest.skip("no read-only mounts here")
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
        assert "Traceback" not in done.stderr
