"""A study is renamed in the storage, in MLflow, on the disk and in studies that name it; cut off, it is finished."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from e2e.support import Place
from mlflow import MlflowClient
from postgresql import postgresql_server

from hpo.ledger.ledger import Ledger
from hpo.ledger.removal import plan_removal
from hpo.ledger.renaming import rename_study
from hpo.ledger.sharing.ownership import own_study
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study
from hpo.ledger.study.unfinished import FORMER, RENAMING, Renaming
from hpo.review.doctor import diagnose
from hpo.spec.faults import UserError

from .doctor.support import SWEEP, load, run_sweep
from .test_removal import runs_of, with_files

RENAMED = Renaming("small", "größe 2")


def trials_of(home: Home, name: str) -> list[object]:
    storage, study = find_study(home, name)
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    return [(t.number, t.state, t.values, t.params, t.user_attrs, t.intermediate_values) for t in trials]


def names_in_mlflow(home: Home) -> str:
    """Return all that MLflow says in words of runs: their names, tags, and files."""
    client = MlflowClient(home.tracking_uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments)
    texts = [path.read_text() for path in sorted((home.path / "artifacts").rglob("resolved.yaml"))]
    return "\n".join([*runs_of(home), *texts, *(str(run.data.tags) for run in runs)])


def goes_on(home: Home, folder: Path) -> None:
    """Run the sweep's file by the new name: what was left running is settled, nothing is begun anew."""
    sweep = load(folder, SWEEP.replace("name: small", f"name: {RENAMED.new}"))
    ledger = Ledger(sweep, home)
    ledger.start()
    assert ledger.study_id == find_study(home, RENAMED.new)[1].user_attrs["id"]
    ledger.close("FINISHED", {"outcome": "done"}, hurry=lambda: False)


@pytest.mark.slow
def test_everywhere(tmp_path: Path) -> None:
    home = run_sweep(Place(tmp_path).home, load(tmp_path), dies=True)
    with_files(home, "small")
    before = trials_of(home, "small")
    said, told = rename_study(home, RENAMED)
    assert told and said == ["study 'small' is now called 'größe 2'"]
    assert trials_of(home, "größe 2") == before
    assert [path.name for path in home.locks.iterdir()] == ["größe 2.owner"]
    assert (home.models / "größe 2" / "trial-1" / "weights.bin").exists() and not (home.models / "small").exists()
    assert (home.reports / "größe 2.html").exists() and (home.logs / "größe 2" / "w.log").exists()
    found = names_in_mlflow(home)
    assert "größe 2: größe 2 0003" in found and "größe 2: größe 2 (sweep)" in found and "name: größe 2" in found
    assert "small" not in found.replace("small.yaml", "")
    attributes = find_study(home, "größe 2")[1].user_attrs
    assert attributes[FORMER] == ["small"] and attributes["sweep"]["name"] == "größe 2" and not attributes[RENAMING]
    goes_on(home, tmp_path)
    left = diagnose(home, "größe 2", fix=False).after
    assert set(left.counts) == {"disk.kept", "disk.outputs"}  # what with_files has put there, which no trial left
    with pytest.raises(UserError, match="there is no study 'small'"):
        rename_study(home, RENAMED)


@pytest.mark.slow
def test_cut_off_while_it_is_copied(tmp_path: Path) -> None:
    """The old study is there, and part of the new one."""
    home = run_sweep(Place(tmp_path).home, load(tmp_path))
    before = trials_of(home, "small")
    storage, study = find_study(home, "small")
    storage.set_study_user_attr(study._study_id, RENAMING, RENAMED._asdict())
    optuna.copy_study(from_study_name="small", from_storage=storage, to_storage=storage, to_study_name=RENAMED.new)
    for refused in (lambda: plan_removal(home, ["größe 2"]), lambda: diagnose(home, "größe 2", fix=True)):
        with pytest.raises(UserError, match="hpo study mv small 'größe 2' finishes it"):
            refused()
    with pytest.raises(UserError, match="was begun, and not finished"):
        plan_removal(home, ["small"])
    found = diagnose(home, "small", fix=False)
    assert dict(found.after.counts) == {"study.renaming": 1}
    assert rename_study(home, RENAMED)[1]
    assert trials_of(home, "größe 2") == before
    assert [each.study_name for each in open_storage(home).get_all_studies()] == ["größe 2"]
    assert not len(diagnose(home, "größe 2", fix=False).after)


@pytest.mark.slow
def test_cut_off_before_and_after(tmp_path: Path) -> None:
    """Nothing of it was done: the doctor drops it. MLflow lacks it: the doctor, too, finishes it."""
    home = run_sweep(Place(tmp_path).home, load(tmp_path))
    storage, study = find_study(home, "small")
    storage.set_study_user_attr(study._study_id, RENAMING, RENAMED._asdict())
    fixed = diagnose(home, "small", fix=True)
    assert fixed.done == ["renaming it to 'größe 2', of which nothing was done, was dropped"]
    assert home.mlflow_database is not None
    database = home.mlflow_database.read_bytes()
    home.mlflow_database.write_bytes(b"no database")
    said, told = rename_study(home, RENAMED)
    assert not told and "MLflow does not say it yet" in said[-1]
    home.mlflow_database.write_bytes(database)
    assert "study.renaming" in diagnose(home, "größe 2", fix=False).after.counts
    assert not len(diagnose(home, "größe 2", fix=True).after)
    assert "small" not in names_in_mlflow(home).replace("small.yaml", "")


def test_studies_that_name_it(tmp_path: Path) -> None:
    home = run_sweep(Home(tmp_path / "home"), load(tmp_path))
    storage, study = find_study(home, "small")
    for name, key, value in (
        ("small.2", "predecessor", "small"),
        ("small.confirm", "confirms", {"study": "small", "study_id": study.user_attrs["id"]}),
    ):
        optuna.copy_study(from_study_name="small", from_storage=storage, to_storage=storage, to_study_name=name)
        storage.set_study_user_attr(storage.get_study_id_from_name(name), "id", name)
        storage.set_study_user_attr(storage.get_study_id_from_name(name), key, value)
    storage.set_study_user_attr(study._study_id, "successor", "small.2")
    with pytest.raises(UserError, match=r"there is a study 'small\.2' already"):
        rename_study(home, Renaming("small", "small.2"))
    sweep = load(tmp_path, SWEEP.replace("name: small", "name: small.2"))
    ownership, _ = own_study(sweep, home)
    with pytest.raises(UserError, match=r"'small\.2', which names 'small', is being run"):
        rename_study(home, RENAMED)
    with pytest.raises(UserError, match=r"'small\.2' is being run"):
        rename_study(home, Renaming("small.2", "other"))
    ownership.give_up()
    rename_study(home, RENAMED)
    rename_study(home, Renaming("small.2", "small"))
    assert find_study(home, "small")[1].user_attrs["predecessor"] == "größe 2"
    assert find_study(home, "größe 2")[1].user_attrs["successor"] == "small"
    assert find_study(home, "small.confirm")[1].user_attrs["confirms"]["study"] == "größe 2"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "x\n", "a" * 201, "ü" * 101, "mlflow.log", "ui-mine.log"])
def test_what_can_be_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="can't be a study's name: it must"):
        rename_study(Home(tmp_path), Renaming("small", name))


@pytest.mark.slow
def test_in_postgresql(tmp_path: Path) -> None:
    with postgresql_server() as server:
        home = run_sweep(Home(tmp_path / "home", storage=server.get_uri()), load(tmp_path))
        before = trials_of(home, "small")
        optuna.create_study(study_name="taken", storage=open_storage(home))
        with pytest.raises(UserError, match="there is a study 'taken' already"):
            rename_study(home, Renaming("small", "taken"))
        assert rename_study(home, RENAMED)[1]
        assert trials_of(home, "größe 2") == before
        assert "owners" in find_study(home, "größe 2")[1].user_attrs
        goes_on(home, tmp_path)
        assert not len(diagnose(home, "größe 2", fix=False).after)


@pytest.mark.slow
def test_from_another_home_it_is_not_finished(tmp_path: Path) -> None:
    """The mark stays until the MLflow is told that has its runs; who drops it elsewhere is found out here."""
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    home = run_sweep(Home(tmp_path / "home", storage=storage), load(tmp_path))
    other = Home(tmp_path / "other", storage=storage)
    run_id = find_study(home, "small")[1].user_attrs["mlflow_run_id"]
    said, told = rename_study(other, RENAMED)
    assert not told and f"has no run {run_id}" in said[-1] and "hpo study mv small 'größe 2' finishes it" in said[-1]
    assert find_study(home, "größe 2")[1].user_attrs[RENAMING] == RENAMED._asdict()
    assert rename_study(home, RENAMED)[1]
    assert "small" not in names_in_mlflow(home).replace("small.yaml", "")
    assert rename_study(other, Renaming("größe 2", "third"), without_mlflow=True)[1]
    client = MlflowClient(home.tracking_uri)
    trial = trials_of(home, "third")[0][4]["mlflow_run_id"]  # type: ignore[index]
    client.update_run(trial, name="my own")
    found = diagnose(home, "third", fix=False).before
    named = "the experiment and the parent run and 6 runs of trials: called after 'größe 2'"
    (text,) = (each.text for each in found.shown if each.kind == "mlflow.name")
    assert text.startswith(named)
    assert not len(diagnose(home, "third", fix=True).after)
    assert "größe 2" not in names_in_mlflow(home) and client.get_run(trial).info.run_name == "my own"
