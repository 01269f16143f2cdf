"""A study is removed from the storage, from MLflow and from the disk; what is not its own stays."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from e2e.support import Place
from mlflow import MlflowClient
from mlflow.entities import ViewType
from postgresql import postgresql_server

from hpo.decision.confirm.records import describe
from hpo.ledger.doctor.audit import reader_of
from hpo.ledger.mirror.erasing import Eraser
from hpo.ledger.removal import plan_removal, remove
from hpo.ledger.sharing.owner_file import FileOwnership, is_locked, remove_lock
from hpo.ledger.sharing.ownership import own_study
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.confirmations import (
    CONFIRMATION,
    CONFIRMATIONS,
    CONFIRMS,
    LOOKS,
    Confirmation,
    Confirming,
    Final,
    JudgedDifference,
    Yardstick,
    latest_in,
)
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study
from hpo.ledger.study.unfinished import REMOVING
from hpo.ledger.transfer import export_study, import_study
from hpo.review.doctor import diagnose
from hpo.review.overview import overview_of, removal_lines
from hpo.review.studies import list_studies
from hpo.spec.faults import UserError

from .doctor.support import SWEEP, load, run_sweep


def runs_of(home: Home) -> list[str]:
    client = MlflowClient(home.tracking_uri)
    experiments = client.search_experiments(ViewType.ALL)
    found = client.search_runs([each.experiment_id for each in experiments], run_view_type=ViewType.ALL)
    return sorted(f"{client.get_experiment(run.info.experiment_id).name}: {run.info.run_name}" for run in found)


def files_of(home: Home) -> set[Path]:
    """Return the files beside the stores and the locks."""
    stores = ("mlflow.db", "studies.journal", "locks")
    files = (path.relative_to(home.path) for path in home.path.rglob("*") if path.is_file())
    return {path for path in files if not path.parts[0].startswith(stores)}


def with_files(home: Home, name: str) -> None:
    """Leave what a sweep and commands leave beside MLflow."""
    study_id = find_study(home, name)[1].user_attrs["id"]
    in_folders = {home.checkpoints: "1.pt", home.kept: "1_0.5.pt", home.outputs: "1.npz"}
    paths = [folder / study_id / file for folder, file in in_folders.items()]
    paths += [home.models / name / "trial-1" / "weights.bin", home.reports / f"{name}.html", home.logs / name / "w.log"]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)


@pytest.mark.slow
def test_all_of_it_goes_and_nothing_else(tmp_path: Path) -> None:
    home = Place(tmp_path).home
    other = load(tmp_path, SWEEP.replace("name: small", "name: small.confirm it"))
    run_sweep(home, other)
    with_files(home, "small.confirm it")
    before, files = runs_of(home), files_of(home)
    run_sweep(home, load(tmp_path), dies=True)
    with_files(home, "small")
    shown = overview_of(home, "small")
    assert shown.bytes["kept weights"] == 1000 and shown.bytes["models"] == 1000
    assert shown.mlflow.experiment == "small" and shown.line.counts.complete == 4
    assert "run by     nobody now" in shown.lines()
    (said,) = removal_lines(plan_removal(home, ["small"]))
    assert "runs in MLflow, for good" in said and "kept weights 1.0 kB" in said
    assert len(list_studies(home)) == 2
    assert list(remove(home, ["small"])) == ["study 'small' was removed"]
    assert [path.name for path in home.locks.iterdir()] == ["small.confirm it.owner"]
    assert [line.name for line in list_studies(home)] == ["small.confirm it"]
    assert runs_of(home) == before
    assert files_of(home) == files
    assert MlflowClient(home.tracking_uri).get_experiment_by_name("small") is None
    assert dict(diagnose(home, "small.confirm it", fix=False).after.counts) == {
        "disk.checkpoint": 1,
        "disk.kept": 1,
        "disk.outputs": 1,
    }
    again = run_sweep(home, load(tmp_path))  # the name is free
    assert not len(diagnose(again, "small", fix=False).after)


@pytest.mark.slow
@pytest.mark.parametrize("parent_first", [True, False])
def test_a_removal_that_was_killed_is_finished_by_the_next(tmp_path: Path, parent_first: bool) -> None:
    """Whichever runs are gone: who begins says of which MLflow they are, so none that is missing means another one."""
    home, sweep = Place(tmp_path).home, load(tmp_path)
    run_sweep(home, sweep)
    storage, study = find_study(home, "small")
    storage.set_study_user_attr(study._study_id, REMOVING, {"mlflow": home.tracking_uri})
    runs = reader_of(home).runs(reader_of(home).experiment("small")[0])  # type: ignore[index]
    runs.sort(key=lambda run: (run.run_id == study.user_attrs["mlflow_run_id"]) != parent_first)
    Eraser(home).erase_runs([run.run_id for run in runs][:4])
    with pytest.raises(UserError, match="the removal of study 'small' was begun, and not finished"):
        StudyBook(sweep, home)
    found = diagnose(home, "small", fix=True)
    assert dict(found.after.counts) == {"study.removal": 1}
    assert list_studies(home)[0].state == "being removed"
    assert len(plan_removal(home, ["small"])[0].mlflow.runs) == len(runs) - 4
    list(remove(home, ["small"]))
    assert (runs_of(home), list_studies(home)) == ([], [])


def test_who_needs_it_is_named(tmp_path: Path) -> None:
    home, sweep = Home(tmp_path / "home"), load(tmp_path)
    run_sweep(home, sweep)
    storage, study = find_study(home, "small")

    for name, key, value in (
        ("small.2", "predecessor", "small"),
        ("small.confirm", "confirms", {"study": "small", "study_id": study.user_attrs["id"]}),
    ):
        optuna.copy_study(from_study_name="small", from_storage=storage, to_storage=storage, to_study_name=name)
        new = storage.get_study_id_from_name(name)
        storage.set_study_user_attr(new, "id", name.replace(".", ""))
        storage.set_study_user_attr(new, "mlflow_run_id", "")
        storage.set_study_user_attr(new, key, value)
    storage.set_study_user_attr(study._study_id, "successor", "small.2")
    with pytest.raises(UserError, match=r"hpo study rm small small\.2 small\.confirm"):
        plan_removal(home, ["small"])
    assert [each.study for each in plan_removal(home, ["small", "small.2", "small.confirm", "small"])][-1] == "small"
    list(remove(home, ["small.2"]))
    assert find_study(home, "small")[1].user_attrs["successor"] == ""
    with pytest.raises(UserError, match="there is no study 'smal'"):
        plan_removal(home, ["small", "smal"])


def test_one_that_somebody_runs_stays(tmp_path: Path) -> None:
    home, sweep = Home(tmp_path / "home"), load(tmp_path)
    run_sweep(home, sweep)
    ownership, _ = own_study(sweep, home)
    with pytest.raises(UserError, match="the study 'small' is being run by process"):
        plan_removal(home, ["small"])
    ownership.give_up()
    assert plan_removal(home, ["small"])


@pytest.mark.slow
def test_in_postgresql(tmp_path: Path) -> None:
    with postgresql_server() as server:
        home = Home(tmp_path / "home", storage=server.get_uri())
        run_sweep(home, load(tmp_path))
        assert overview_of(home, "small").line.counts.complete == 4
        list(remove(home, [each.study for each in plan_removal(home, ["small"])]))
        assert open_storage(home).get_all_studies() == []
        assert runs_of(home) == []


def test_from_another_home_it_is_not_removed(tmp_path: Path) -> None:
    """Its runs and files are where it was run; an MLflow that lacks its run is another one, or lost."""
    storage = f"sqlite:///{tmp_path / 'studies.db'}"
    home = run_sweep(Home(tmp_path / "home", storage=storage), load(tmp_path))
    run_id = find_study(home, "small")[1].user_attrs["mlflow_run_id"]
    empty, other = Home(tmp_path / "empty", storage=storage), Home(tmp_path / "other", storage=storage)
    run_sweep(Home(tmp_path / "other"), load(tmp_path))
    before = runs_of(home), files_of(home), runs_of(other)
    for wrong in (empty, other, Home(home.path, storage=storage, tracking=other.tracking_uri)):
        for carry_out in (plan_removal, remove):
            with pytest.raises(UserError, match=rf"has no run {run_id}.* --home .* MLFLOW_TRACKING_URI .*--without"):
                list(carry_out(wrong, ["small"]))  # type: ignore[operator]
    assert (runs_of(home), files_of(home), runs_of(other)) == before
    assert overview_of(home, "small").line.counts.complete == 4
    assert list(remove(empty, ["small"], without_mlflow=True)) == ["study 'small' was removed"]
    assert open_storage(home).get_all_studies() == []
    assert (runs_of(home), files_of(home), runs_of(other)) == before


def test_killed_when_its_runs_are_gone_it_is_finished(tmp_path: Path) -> None:
    home = run_sweep(Home(tmp_path / "home"), load(tmp_path))
    going = plan_removal(home, ["small"])[0]
    removal = remove(home, ["small"])
    with pytest.raises(RuntimeError, match="killed"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpo.ledger.removal._remove", killed)
        next(removal)
    assert runs_of(home) == [] and going.files and files_of(home)
    with pytest.raises(UserError, match="has no run"):
        plan_removal(Home(tmp_path / "other", storage=str(home.journal)), ["small"])
    list(remove(home, ["small"]))
    assert (runs_of(home), list_studies(home), files_of(home)) == ([], [], {Path("logs/mlflow.log")})


def killed(path: Path) -> None:
    raise RuntimeError("killed")


def confirmed(home: Home, folder: Path) -> None:
    """Leave a study and two that confirm it, each with a verdict, as `hpo confirm` leaves them."""
    run_sweep(home, load(folder))
    storage, study = find_study(home, "small")
    verdicts = []
    for number, name in enumerate(("small.confirm", "small.confirm.2")):
        run_sweep(home, load(folder, SWEEP.replace("name: small", f"name: {name}")))
        ends = (Final(who, None, {}, 1.0, 0.1, value, 0.1, (0,)) for who, value in (("winner", 2.0), ("baseline", 1.0)))
        result = JudgedDifference(0.5, (0.1, 0.9), 0.95, "better" if number else "not shown", "t")
        found = Confirmation(name, 1e9 + number, (1,), (), *ends, Yardstick("score", "maximize", "test"), result)
        own = storage.get_study_id_from_name(name)
        confirms = Confirming(
            "small", study.user_attrs["id"], (), (1,), False, False, study.user_attrs["mlflow_run_id"]
        )
        storage.set_study_user_attr(own, CONFIRMS, confirms.attribute())
        storage.set_study_user_attr(own, CONFIRMATION, found.attribute())
        verdicts.append(found.attribute())
    storage.set_study_user_attr(study._study_id, CONFIRMATIONS, verdicts)
    storage.set_study_user_attr(study._study_id, LOOKS, [{"study": "small.confirm", "data": "d", "moment": 1.0}])
    describe(home, ["small"])
    for name in ("small", "small.confirm", "small.confirm.2"):
        diagnose(home, name, fix=True)


@pytest.mark.slow
def test_a_verdict_goes_with_the_study_that_gave_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    confirmed(home, tmp_path)
    client, parent = MlflowClient(home.tracking_uri), find_study(home, "small")[1].user_attrs["mlflow_run_id"]

    def told() -> tuple[object, ...]:
        run = client.get_run(parent)
        files = [file.path for file in client.list_artifacts(parent) if file.path == "confirmation.json"]
        keys = sorted(key for key in run.data.metrics if key.startswith("hpo/confirm/"))
        kept = latest_in(find_study(home, "small")[1].user_attrs)
        assert not len(diagnose(home, "small", fix=False).after)
        tags = [run.data.tags.get(f"hpo.{key}") for key in ("confirmation", "verdict")]
        note = "Confirmed" in run.data.tags["mlflow.note.content"]
        return kept and kept.result.verdict, *tags, note, len(keys), run.data.metrics.get("hpo/confirm/low"), files

    file = ["confirmation.json"]
    assert told() == ("better", "small.confirm.2", "better", True, 5, 0.1, file)
    said = list(removal_lines(plan_removal(home, ["small.confirm.2"])))
    assert said[1] == "  its verdict on 'small' (better): that counts as never confirmed by it"
    ownership, _ = own_study(load(tmp_path), home)
    with pytest.raises(UserError, match=r"'small', which names 'small\.confirm\.2', is being run"):
        plan_removal(home, ["small.confirm.2"])
    ownership.give_up()
    list(remove(home, ["small.confirm.2"]))
    assert told() == ("not shown", "small.confirm", "not shown", True, 5, 0.1, file)
    exported = tmp_path / "study.tar.gz"
    export_study(home, "small", exported)
    list(remove(home, ["small.confirm"]))
    assert told() == (None, None, None, False, 0, None, [])
    assert len(find_study(home, "small")[1].user_attrs[LOOKS]) == 1  # the rows were looked at all the same
    copy = find_study(home, import_study(home, exported, "copy").name)[1].user_attrs
    assert copy[CONFIRMATIONS] == [] and CONFIRMS not in copy
    client.set_tag(parent, "hpo.verdict", "better")
    found = diagnose(home, "small", fix=True)
    assert dict(found.before.counts) == {"mlflow.confirmation": 1} and not len(found.after)


def test_a_confirmation_is_not_copied_by_another_name(tmp_path: Path) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "study.tar.gz"
    confirmed(home, tmp_path)
    export_study(home, "small.confirm", file)
    with pytest.raises(UserError, match=r"'small\.confirm' confirms 'small', which would know of no copy"):
        import_study(home, file, "other")
    assert import_study(Home(tmp_path / "there"), file).name == "small.confirm"


def test_the_logs_of_the_home_are_no_studys(tmp_path: Path) -> None:
    """Earlier releases let a study be called like one."""
    home = run_sweep(Home(tmp_path / "home"), load(tmp_path))
    storage = open_storage(home)
    for name in ("mlflow.log", "ui-studies-6007.log"):
        optuna.copy_study(from_study_name="small", from_storage=storage, to_storage=storage, to_study_name=name)
        own = storage.get_study_id_from_name(name)
        for key, value in {"id": name, "mlflow_run_id": ""}.items():
            storage.set_study_user_attr(own, key, value)
        log = home.logs / name
        log.parent.mkdir(exist_ok=True)
        log.write_text("what the home says")
        (going,) = plan_removal(home, [name])
        assert not [each for each in going.files if each.path == log]
        list(remove(home, [name]))
        assert log.read_text() == "what the home says"


def test_who_waits_for_a_lock_that_is_removed_takes_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = tmp_path / "small.owner", FileOwnership._lock

    def removed_meanwhile(self: FileOwnership, descriptor: int) -> None:
        monkeypatch.undo()
        remove_lock(path)
        lock(self, descriptor)

    monkeypatch.setattr(FileOwnership, "_lock", removed_meanwhile)
    first = FileOwnership(path, "small")
    first.take()
    assert is_locked(path)
    with pytest.raises(UserError, match="is being run"):
        FileOwnership(path, "small").take()
    first.give_up()
