"""A registered model: MLflow loads it without the objective's code; a registration that was killed is finished."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest
from e2e.support import Place, environment
from e2e.test_models import SPACE, TASK, rows, run
from mlflow import MlflowClient

from hpo.decision.register import NotRegistered, register_model
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import models_of
from hpo.ledger.study.restored import find_study
from hpo.review.make_model import MadeModel, confirmed_trial, make_model
from hpo.spec.faults import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("registered"), torch=True)
    rows().to_csv(place.folder / "animals.csv", index=False)
    (place.folder / "animals.py").write_text(TASK)
    keys: dict[str, Any] = {
        "name": "zoo é",
        "objective": "animals.py",
        "data": {"csv": "animals.csv", "target": "animal"},
        "metric": {"name": "val_accuracy"},
        "parameters": SPACE,
        "references": "off",
        "keep": {"models": 2},
        "budget": {"trials": 2},
        "engine": {"workers": 1},
    }
    place.sweep(place.write("", **keys))
    return place


@pytest.fixture(scope="module")
def made(place: Place, tmp_path_factory: pytest.TempPathFactory) -> MadeModel:
    """The best trial's model, as `hpo model` writes it."""
    with chdir(place.folder), redirect_stderr(io.StringIO()):
        return make_model(place.home, "zoo é", output=tmp_path_factory.mktemp("made") / "m")


@pytest.fixture
def fresh(place: Place, tmp_path: Path) -> Place:
    """The study in a home of the test's own: moved there, as a user may."""
    shutil.copytree(place.folder, tmp_path / "copy")
    copy = Place(tmp_path / "copy", torch=True)
    assert copy.run("doctor", "zoo é", "--fix").returncode == 0
    return copy


def client(place: Place) -> MlflowClient:
    return MlflowClient(place.home.tracking_uri, place.home.tracking_uri)


def counts(place: Place) -> tuple[int, int, int]:
    """Return how many logged models, versions and outputs of runs there are."""
    mlflow_client = client(place)
    experiment = mlflow_client.get_experiment_by_name("zoo é")
    assert experiment is not None
    logged = mlflow_client.search_logged_models([experiment.experiment_id])
    runs = mlflow_client.search_runs([experiment.experiment_id])
    outputs = [mlflow_client.get_run(each.info.run_id).outputs for each in runs]
    linked = sum(len(each.model_outputs) for each in outputs if each is not None)
    return len(logged), len(mlflow_client.search_model_versions("name = 'zoo é'")), linked


def test_it_is_registered_once_and_loads_without_the_objective(fresh: Place, made: MadeModel, tmp_path: Path) -> None:
    """With the trial's run, signature and example; in a fresh process elsewhere; the same answers as `hpo predict`."""
    done = run(fresh, "model", "zoo é", "--register", "--output", str(tmp_path / "m"))
    assert done.returncode == 0 and "mlflow    models:/zoo é/1" in done.stdout, done.stderr
    assert register_model(fresh.home, made).version == "1"  # made again: the same weights are the same model
    assert counts(fresh) == (1, 1, 1)
    config = json.loads((tmp_path / "m" / "model.json").read_text())
    version = client(fresh).get_model_version("zoo é", "1")
    assert client(fresh).get_run(str(version.run_id)).data.tags["hpo.trial"] == str(config["trial"])
    assert fresh.run("doctor", "zoo é").returncode == 0
    script = """
import sys
for name in ("animals", "optuna", "ray"):
    sys.modules[name] = None
import cloudpickle, pickle, mlflow.pyfunc, pandas as pd
pickle.load = pickle.loads = cloudpickle.load = cloudpickle.loads = None
model = mlflow.pyfunc.load_model("models:/zoo é/1")
print(model.metadata.signature.inputs.input_names(), model.metadata.saved_input_example_info is not None)
print(model.predict(pd.read_csv("animals.csv").head(20)).to_csv(index=False))
print(model.predict(pd.DataFrame({"coat": [None], "tame": ["true"], "size": [1], "more": [2]})).shape)
"""
    env = environment() | {"MLFLOW_TRACKING_URI": fresh.home.tracking_uri}
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(fresh.folder / "animals.csv", tmp_path / "elsewhere")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "elsewhere", capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    head, _, table = done.stdout.partition("\n")
    assert head == "['size', 'tame', 'coat'] True"
    own = run(fresh, "predict", str(tmp_path / "m"), "animals.csv").stdout.splitlines()[:21]
    *lines, shape = filter(None, table.splitlines())
    assert lines == own and shape == "(1, 4)"


STEPS = (
    "create_logged_model", "log_model_artifacts", "finalize_logged_model", "log_outputs", "create_registered_model",
    "create_model_version", "set_logged_model_tags", "set_registered_model_alias",
)  # fmt: skip


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make a process die right after it has made a call of MLflow's: as an exception that nobody expects."""

    class Killed(BaseException):
        pass

    def after(step: str) -> type[BaseException]:
        call = getattr(MlflowClient, step)

        def dies(*arguments: Any, **keys: Any) -> None:
            call(*arguments, **keys)
            raise Killed

        monkeypatch.setattr(MlflowClient, step, dies)
        return Killed

    yield after


def test_the_same_command_finishes_what_was_killed(
    fresh: Place, made: MadeModel, killed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was killed: in the end all is there once, and the study knows of it from the beginning."""
    for step in STEPS:
        death = killed(step)
        with pytest.raises(death):
            register_model(fresh.home, made, champion=True)
        monkeypatch.undo()
        (noted,) = models_of(find_study(fresh.home, "zoo é")[1].user_attrs)
        assert noted.version == ""
    done = fresh.run("doctor", "zoo é")
    assert done.returncode == 1 and "its registration was begun, and not finished" in done.stdout
    assert "hpo model STUDY --trial N --on ROWS --register writes it again" in done.stdout
    assert register_model(fresh.home, made, champion=True).version == "1"
    assert counts(fresh) == (1, 1, 1)
    assert str(client(fresh).get_model_version_by_alias("zoo é", "champion").version) == "1"
    assert fresh.run("doctor", "zoo é").returncode == 0


def test_doctor_knows_what_is_gone(fresh: Place, made: MadeModel) -> None:
    """Its files, its version, its alias; the same call makes it whole again. A run is written again by itself."""

    def again(complaint: str) -> None:
        done = fresh.run("doctor", "zoo é")
        assert done.returncode == 1 and complaint in done.stdout, done.stdout
        register_model(fresh.home, made, champion=True)
        assert counts(fresh) == (1, 1, 1) and fresh.run("doctor", "zoo é").returncode == 0

    noted = register_model(fresh.home, made, champion=True)
    shutil.rmtree(fresh.home.path / "artifacts" / "models" / noted.model_id)
    again("the files of version 1 of 'zoo é' are gone")
    client(fresh).delete_model_version("zoo é", "1")
    again("version 1 of 'zoo é' is gone")
    client(fresh).delete_registered_model_alias("zoo é", "champion")
    again("version 2 of 'zoo é' is not the champion")
    client(fresh).delete_run(str(client(fresh).get_model_version("zoo é", "2").run_id))
    assert "the run of version 2 of 'zoo é' is gone" in fresh.run("doctor", "zoo é").stdout
    assert fresh.run("doctor", "zoo é", "--fix").returncode == 0


def test_in_a_copied_home_the_files_are_its_own(place: Place, made: MadeModel, tmp_path: Path) -> None:
    """Whoever registers first after the copy was made; the home that it was made of gets nothing."""
    shutil.copytree(place.folder, tmp_path / "copy")
    copy = Place(tmp_path / "copy", torch=True)
    noted = register_model(copy.home, made)
    models = [each.home.path / "artifacts" / "models" / noted.model_id for each in (place, copy)]
    assert [folder.exists() for folder in models] == [False, True]
    assert copy.run("doctor", "zoo é").returncode == 0


def test_a_home_that_was_moved_takes_its_models_along(fresh: Place, made: MadeModel, tmp_path: Path) -> None:
    register_model(fresh.home, made)
    fresh.folder.rename(tmp_path / "moved")
    moved = Place(tmp_path / "moved", torch=True)
    assert moved.run("doctor", "zoo é", "--fix").returncode == 0
    mlflow.set_tracking_uri(moved.home.tracking_uri)
    try:
        loaded = mlflow.pyfunc.load_model("models:/zoo é/1")
        assert len(loaded.predict(pd.read_csv(moved.folder / "animals.csv"))) == 200
    finally:
        mlflow.set_tracking_uri("")


def test_what_can_not_be_registered_is_said(fresh: Place, made: MadeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where MLflow is away, the study knows that the model is to be registered; the best is no champion by itself."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Home(fresh.home.path, tracking="http://127.0.0.1:9")
    with pytest.raises(NotRegistered, match="HTTP"):
        register_model(away, made)
    assert [each.version for each in models_of(find_study(fresh.home, "zoo é")[1].user_attrs)] == [""]
    done = run(fresh, "model", "zoo é", "--confirmed")
    assert done.returncode == 2 and "is not confirmed (hpo confirm 'zoo é' does it)" in done.stderr
    done = run(fresh, "model", "zoo é", "--confirmed", "--trial", "0")
    assert done.returncode == 2 and "leave --trial out" in done.stderr


def test_kept_weights_are_no_model_of_other_data(fresh: Place, place: Place, made: MadeModel, tmp_path: Path) -> None:
    """What is fitted on the data of now doesn't go with them, and the model that has them is another one."""
    assert made.kept and register_model(fresh.home, made).version == "1"
    table = place.folder / "animals.csv"  # the study has the whole path
    before = table.read_text()
    head, *lines = before.splitlines()
    table.write_text("\n".join([head, *lines[len(lines) // 2 :], *lines[: len(lines) // 2]]) + "\n")
    command = ("model", "zoo é", "--trial", str(made.trial.number), "--register", "--output", str(tmp_path / "m"))
    try:
        done = run(fresh, *command)
        assert done.returncode == 1 and "different: the weights that it left give" in done.stdout, done.stderr
        done = run(fresh, *command, "--allow-different")
    finally:
        table.write_text(before)
    assert done.returncode == 0 and "mlflow    models:/zoo é/2" in done.stdout, done.stdout + done.stderr
    config = json.loads((tmp_path / "m" / "model.json").read_text())
    assert config["weights_from"] == "training again" and config["as_in_study"] == "different"


def test_without_a_database_the_doctor_comes_first(fresh: Place, tmp_path: Path) -> None:
    """The same command alone would never do: MLflow's database is made by who writes the runs into it."""
    command = ("model", "zoo é", "--register", "--output", str(tmp_path / "m"))
    for file in fresh.home.path.glob("mlflow.db*"):
        file.unlink()
    done = run(fresh, *command)
    told = f"not registered: there is no database {fresh.home.mlflow_database} (`hpo doctor 'zoo é'` says how to mend"
    assert done.returncode == 3 and told in done.stderr
    assert fresh.run("doctor", "zoo é", "--fix").returncode in (0, 1)
    done = run(fresh, *command)
    assert done.returncode == 0 and "mlflow    models:/zoo é/1" in done.stdout, done.stderr
    assert fresh.run("doctor", "zoo é").returncode == 0


def test_a_winner_that_is_worse_is_no_champion(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no difference is shown it is; where it is worse, the baseline's own command is named."""
    winner, baseline = (SimpleNamespace(name=f"trial {number}", number=number) for number in (1, 0))
    verdicts = iter(("not shown", "worse"))
    monkeypatch.setattr(
        "hpo.review.make_model.confirmation_of",
        lambda study: SimpleNamespace(winner=winner, baseline=baseline, result=SimpleNamespace(verdict=next(verdicts))),
    )
    assert confirmed_trial(place.home, "zoo é") == 1
    with pytest.raises(UserError, match=r"trial 1, is worse than trial 0 \(--trial 0 --register\)"):
        confirmed_trial(place.home, "zoo é")
