"""A home that nobody can write to can be looked at."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from e2e.support import COLD, environment
from running_ui import HPO, Ui, get

from hpo.ledger.study.home import Home

from .support import load, look, run_sweep


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
            [*alone, f'{mount}; exec "$@"', str(home.path), *COLD, *command, "--home", str(home.path)],
            env=environment(), text=True, capture_output=True, timeout=240, cwd=tmp_path,
        )  # fmt: skip
        if done.returncode == 77:
            pytest.skip("no read-only mounts here")
        assert done.returncode == 0, done.stdout + done.stderr
        assert said in done.stdout
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_both_uis_on_a_read_only_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare: the superuser writes to any other file")
    home = run_sweep(Home(tmp_path / "read only%20"), load(tmp_path))
    mounts = tmp_path / "hpo"
    mount = f"mount --bind '{home.path}' '{home.path}' && mount -o remount,bind,ro '{home.path}' || exit 77"
    mounts.write_text(
        f'#!/bin/sh\nexec unshare -m sh -c \'{mount.replace(chr(39), chr(34))}; exec "$@"\' sh {HPO} "$@"\n'
    )
    mounts.chmod(0o755)
    monkeypatch.setattr("running_ui.HPO", str(mounts))
    ui = Ui(home.path, "--mlflow-port", "0", "--dashboard-port", "0")
    assert get(ui.address("All studies"))[0] == 200
    status, found = get(f"{ui.address('Optuna dashboard')}/api/studies")
    assert status == 200 and "small" in found
    request = urllib.request.Request(f"{ui.address('Optuna dashboard')}/api/studies/0", method="DELETE")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code == 403 and b"Read-only file system" in refused.value.read()
    with sqlite3.connect(home.path / "mlflow.db") as connection:
        (run,) = connection.execute("select run_uuid from runs limit 1").fetchone()
    status, found = get(f"{ui.address('MLflow UI')}/api/2.0/mlflow/runs/get?run_id={run}")
    assert status == 200 and run in found
    code, error = ui.stop()
    assert code == 0 and "can't be written (Read-only file system)" in error and "Traceback" not in error
