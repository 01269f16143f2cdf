"""MLflow servers, up and down."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.support import Place
from mlflow import MlflowClient
from mlflow_server import mlflow_server

from hpo.ledger.study.home import Home

from .support import AGREED, assert_silent, load, look, run_of, run_sweep


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@contextmanager
def closed_port() -> Iterator[str]:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.usefixtures("no_waiting")
def test_a_server_that_is_down(home: Home):
    with closed_port() as address:
        elsewhere = Home(home.path, tracking=address)
        for fix in (False, True):
            said, found = look(elsewhere, fix)
            assert f"mlflow: MLflow ({address}) can't be read: " in said
            assert "start or correct MLflow (MLFLOW_TRACKING_URI)" in said.splitlines()[-1]
            assert found.after.counts == {"mlflow.unreachable": 1}


@pytest.mark.slow
def test_a_server(tmp_path: Path):
    (tmp_path / "server").mkdir()
    with mlflow_server(Place(tmp_path / "server").home.tracking_uri, tmp_path / "server") as address:
        home = run_sweep(Home(tmp_path / "driver", tracking=address), load(tmp_path))
        assert_silent(home)
        client = MlflowClient(address)
        client.log_metric(run_of(home, 0), "loss", 99.0, step=2)
        client.set_tag(run_of(home, 1), "hpo.seed", "0")
        client.delete_run(run_of(home, 2))
        client.update_run(run_of(home, 3), status="RUNNING")
        own = client.get_run(run_of(home, 4))
        client.create_run(own.info.experiment_id, tags=own.data.tags)
        said, found = look(home)
        assert re.search(r"trial 0: metric loss at step 2: the study has 0\.5, MLflow has 0\.5 and 99\.0", said), said
        assert re.search("trial 1: tag hpo.seed: the study has '[0-9]+', MLflow has '0'", said)
        assert "trial 2: somebody deleted its run" in said
        assert "trial 3: the status is FINISHED by the study, RUNNING in MLflow" in said
        assert "trial 4: it has another run in MLflow" in said
        assert len(found.before) == 5, said
        repaired, fixed = look(home, fix=True)
        assert not len(fixed.after), repaired
        again, _ = look(home, fix=True)
        assert again.startswith(f"{AGREED}; note: runs that were written anew have other ids than the study says")
        assert len(again.splitlines()) == 1
