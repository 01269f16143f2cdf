"""A study goes to another home by one file: the same trials, the same MLflow, the same files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from e2e.support import Place, assert_records_agree
from mlflow import MlflowClient

from hpo.ledger.removal import remove
from hpo.ledger.renaming import rename_study
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study
from hpo.ledger.study.unfinished import Renaming
from hpo.ledger.transfer import export_study, import_study
from hpo.review.doctor import diagnose
from hpo.spec.faults import UserError

from .doctor.support import load, run_sweep


@pytest.mark.slow
def test_there_all_is_as_it_was_here(tmp_path: Path) -> None:
    here, there = Place(tmp_path / "here"), Place(tmp_path / "there #2")
    run_sweep(here.home, load(tmp_path))
    file = tmp_path / "study.tar.gz"
    done = here.run("study", "export", "small", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    here.home.path.rename(tmp_path / "gone")
    done = there.run("study", "import", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "study, MLflow and disk agree (7 trials)" in done.stdout
    assert "Traceback" not in done.stderr
    before = open_storage(Home(tmp_path / "gone")).get_all_trials(0)
    assert "A new study" not in done.stderr
    assert [(t.number, t.state, t.values, t.user_attrs) for t in there.trials()] == [
        (t.number, t.state, t.values, t.user_attrs) for t in before
    ]
    assert_records_agree(there)
    _, children = there.runs()
    paths = {artifact.path for artifact in there.client().list_artifacts(children[5].info.run_id)}
    assert paths == {"traceback.txt"}
    again = there.run("study", "import", str(file))
    assert again.returncode == 2
    assert "there is a study 'small' already" in again.stderr


@pytest.mark.slow
def test_no_path_of_this_machine_is_in_it_and_models_are(tmp_path: Path) -> None:
    here, there = Place(tmp_path / "from-here"), Place(tmp_path / "there")
    path = here.write("parabola", data={"csv": "./my_objectives.py", "file": "my_objectives.py"}, budget={"trials": 2})
    here.sweep(path)
    study_id = find_study(here.home, "small")[1].user_attrs["id"]
    (here.home.kept / study_id).mkdir(parents=True)
    (here.home.kept / study_id / "0_1.0.pt").write_text("weights")
    file = tmp_path / "study.tar.gz"
    export_study(here.home, "small", file)
    with tarfile.open(file) as archive:
        files = [archive.extractfile(member) for member in archive.getmembers() if member.isfile()]
        contents = [file.read() for file in files if file is not None]
    assert len(contents) > 3 and not any(b"from-here" in content for content in contents)
    assert import_study(there.home, file) == ("small", ())
    assert (there.home.kept / study_id / "0_1.0.pt").read_text() == "weights"
    with pytest.raises(UserError, match="there is a study 'small' already"):
        import_study(there.home, file)
    with pytest.raises(UserError, match="--name 'a/b': it must"):
        import_study(there.home, file, "a/b")
    assert import_study(there.home, file, "second").name == "second"
    first, second = (find_study(there.home, name)[1].user_attrs for name in ("small", "second"))
    assert second["id"] != first["id"] and second["mlflow_run_id"] != first["mlflow_run_id"]
    assert second["sweep"]["name"] == "second" and second["identity"] == first["identity"]
    assert (there.home.kept / second["id"] / "0_1.0.pt").exists()
    for name in ("small", "second"):
        assert not len(diagnose(there.home, name, fix=True).after)
    list(remove(there.home, ["second"]))  # nothing of the first one goes with it
    assert not len(diagnose(there.home, "small", fix=False).after)
    rename_study(there.home, Renaming("small", "other"))
    with pytest.raises(UserError, match="'small' is here already, and is called 'other' by now"):
        import_study(there.home, file)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(UserError, match="there is no study 'small'"):
        export_study(home, "small", tmp_path / "x.tar.gz")
    text = tmp_path / "text"
    text.write_text("no archive")
    empty = tmp_path / "empty.tar.gz"
    with tarfile.open(empty, "w:gz"):
        pass
    outside = tmp_path / "outside.tar.gz"
    with tarfile.open(outside, "w:gz") as archive:
        archive.add(text, "../stray")
    wrong = {text: "can't be read", empty: "holds no study", outside: "can't be read", tmp_path: "can't be read"}
    for file, why in wrong.items():
        with pytest.raises(UserError, match=why):
            import_study(home, file)
    assert not (tmp_path.parent / "stray").exists()


def plain(home: Home, name: str = "small") -> list[object]:
    """Return all that a study says."""
    storage, study = find_study(home, name)
    trials = storage.get_all_trials(study._study_id, deepcopy=False)
    told = [(t.number, t.state, t.values, t.params, t.user_attrs, t.intermediate_values) for t in trials]
    return [study.user_attrs, study.directions, *told]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_damage_is_found(tmp_path: Path) -> None:
    """Whichever byte of an export is another one: it is refused, or what is taken over is what was exported."""
    here = run_sweep(Home(tmp_path / "here"), load(tmp_path))
    shutil.rmtree(here.path / "artifacts")  # a small one
    kept = here.kept / find_study(here, "small")[1].user_attrs["id"] / "0_1.0.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights")
    file = tmp_path / "study.tar.gz"
    export_study(here, "small", file)
    whole = file.read_bytes()
    import_study(Home(tmp_path / "there"), file)
    said, files = plain(Home(tmp_path / "there")), files_in(tmp_path / "there" / "kept")
    assert files == {f"{kept.parent.name}/{kept.name}": b"weights"}
    taken = 0
    for place in range(len(whole)):
        there = Home(tmp_path / "damaged")
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            import_study(there, file)
        except UserError as error:
            assert "can't be read" in str(error) or "is damaged" in str(error)
            assert not there.path.exists()
            continue
        taken += 1
        assert (plain(there), files_in(there.kept)) == (said, files)
        shutil.rmtree(there.path)
    assert 0 < taken < 40  # of gzip's first bytes some mean nothing: a moment, a name, a system
    for size in (0, 1, 9, 20, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(UserError, match="can't be read"):
            import_study(there, file)


def test_a_file_in_it_that_was_cut_or_changed_is_found(tmp_path: Path) -> None:
    here, there = run_sweep(Home(tmp_path / "here"), load(tmp_path)), Home(tmp_path / "there")
    file, folder = tmp_path / "study.tar.gz", tmp_path / "unpacked"
    export_study(here, "small", file)
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")

    def packed(*without: str) -> None:
        with tarfile.open(file, "w:gz") as archive:
            for path in sorted(folder.iterdir()):
                if path.name not in without:
                    archive.add(path, path.name)

    journal = (folder / "studies.journal").read_bytes()
    for part in (journal[: len(journal) // 2], journal[: journal.index(b"\n") + 1]):
        (folder / "studies.journal").write_bytes(part)
        packed()
        with pytest.raises(UserError, match=r"is damaged: studies\.journal is not what was exported"):
            import_study(there, file)
    (folder / "studies.journal").write_bytes(journal)
    packed("artifacts")
    with pytest.raises(UserError, match=r"is damaged: artifacts/\w+/.* is not in it"):
        import_study(there, file)
    manifest = json.loads((folder / "manifest.json").read_text())
    for text, why in (("{", "can't be read"), (json.dumps(manifest | {"trials": 8}), "it has 7 trials, not 8")):
        (folder / "manifest.json").write_text(text)
        packed()
        with pytest.raises(UserError, match=why):
            import_study(there, file)
    assert not there.path.exists()
    packed("manifest.json")  # as earlier releases wrote it
    taken = import_study(there, file)
    assert taken.name == "small" and "an earlier release wrote" in taken.notes[0]
    assert plain(there)[2:] == plain(here)[2:]


@pytest.mark.slow
def test_files_of_its_runs_are_theirs_again(tmp_path: Path) -> None:
    """The parent run has the id that it had, so what somebody has put among its files is reached, and goes with it."""
    here, there = run_sweep(Home(tmp_path / "here"), load(tmp_path)), Home(tmp_path / "there")
    parent = str(find_study(here, "small")[1].user_attrs["mlflow_run_id"])
    # Not by MLflow's client: a process of it looks up once where a run's files lie, whichever store is asked later.
    (here.path / "artifacts" / parent / "artifacts" / "report.html").write_text("a page")
    file = tmp_path / "study.tar.gz"
    export_study(here, "small", file)
    served = import_study(Home(tmp_path / "served", tracking="http://me:secret@127.0.0.1:9"), file)
    (told,) = served.notes
    assert "the files of 2 runs in" in told and "are not taken over: the MLflow at http://me:***@127.0.0.1:9" in told
    for name in ("", "second"):
        new = import_study(there, file, name).name
        assert list(diagnose(there, new, fix=True).after.lines()) == []
        run_id = find_study(there, new)[1].user_attrs["mlflow_run_id"]
        assert (run_id == parent) == (not name)
        client = MlflowClient(there.tracking_uri)
        assert client.get_run(run_id).info.run_name == f"{new} (sweep)"
        assert Path(client.download_artifacts(run_id, "report.html", str(tmp_path))).read_text() == "a page"
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = {run.info.run_id for run in client.search_runs(experiments)}
    assert {path.name for path in (there.path / "artifacts").iterdir()} <= runs and len(runs) == 16
    list(remove(there, ["small", "second"]))
    assert not list((there.path / "artifacts").iterdir())


@pytest.mark.parametrize("storage", ["", "sqlite"])
def test_what_fails_in_between_leaves_nothing(tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run_sweep(Home(tmp_path / "here"), load(tmp_path))
    file, folder = tmp_path / "study.tar.gz", tmp_path / "there"
    export_study(here, "small", file)
    there = Home(folder, storage=f"sqlite:///{tmp_path / 'studies.db'}" if storage else None)
    copied: list[object] = []

    def full(*given: object, **named: object) -> object:
        copied.append(given)
        if len(copied) > 2:
            raise OSError(28, "No space left on device")
        return made(*given, **named)

    made = type(open_storage(there)).create_new_trial if storage else shutil.copytree
    name = "create_new_trial" if storage else "copytree"
    monkeypatch.setattr(type(open_storage(there)) if storage else shutil, name, full)
    with pytest.raises(UserError, match=r"is not taken over: .*: No space left on device"):
        import_study(there, file)
    monkeypatch.undo()
    assert len(copied) == 3 and open_storage(there).get_all_studies() == [] and not files_in(folder / "artifacts")
    assert import_study(there, file).name == "small"


@pytest.mark.slow
def test_an_import_that_is_killed_is_no_study_of_fewer_trials(tmp_path: Path) -> None:
    """In a database trials come one by one: half of them are refused by all commands, and imported anew."""
    here = run_sweep(Home(tmp_path / "here"), load(tmp_path))
    file, there = tmp_path / "study.tar.gz", Home(tmp_path / "there", storage=f"sqlite:///{tmp_path / 'studies.db'}")
    export_study(here, "small", file)
    code = """
import os, signal, sys
from pathlib import Path
from optuna.storages import RDBStorage
from hpo.ledger.study.home import Home
from hpo.ledger.transfer import import_study

def killed(self, study_id, template_trial=None, made=RDBStorage.create_new_trial, count=[]):
    count.append(study_id)
    if len(count) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return made(self, study_id, template_trial)

RDBStorage.create_new_trial = killed
import_study(Home(Path(sys.argv[1]), storage=sys.argv[2]), Path(sys.argv[3]))
"""
    command = [sys.executable, "-c", code, str(there.path), str(there.storage), str(file)]
    assert subprocess.run(command, check=False).returncode == -9
    assert len(open_storage(there).get_all_trials(1)) == 3
    for refused in (
        lambda: diagnose(there, "small", False),
        lambda: export_study(there, "small", tmp_path / "half.tar.gz"),
    ):
        with pytest.raises(UserError, match=r"not whole.*the same 'hpo study import' does it anew"):
            refused()
    assert import_study(there, file).name == "small"
    storage, study = find_study(there, "small")
    assert len(storage.get_all_trials(study._study_id)) == 7 and len(storage.get_all_studies()) == 1


@pytest.mark.slow
def test_all_that_is_left_is_said(tmp_path: Path) -> None:
    """Where MLflow can't be written, the import says why, not only how much is left."""
    here = run_sweep(Home(tmp_path / "here"), load(tmp_path))
    file = tmp_path / "study.tar.gz"
    export_study(here, "small", file)
    parent = str(find_study(here, "small")[1].user_attrs["mlflow_run_id"])
    place = Place(tmp_path / "there")
    (place.home.path / "artifacts" / parent / "artifacts" / "resolved.yaml").mkdir(parents=True)  # no file goes there
    done = place.run("study", "import", str(file))
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and "left" in lines[-1], done.stdout
    assert [line for line in lines if "could not be repaired" in line and "Is a directory" in line], done.stdout


def test_a_study_without_an_id_is_not_ours(tmp_path: Path) -> None:
    here, file = run_sweep(Home(tmp_path / "here"), load(tmp_path)), tmp_path / "study.tar.gz"
    storage, study = find_study(here, "small")
    storage.set_study_user_attr(study._study_id, "id", "")
    with pytest.raises(UserError, match="'small' was not made by hpo, or is not whole"):
        export_study(here, "small", file)
    with tarfile.open(file, "w:gz") as archive:
        archive.add(here.journal, "studies.journal")
    for name in ("", "other"):
        with pytest.raises(UserError, match="'small' was not made by hpo, or is not whole"):
            import_study(Home(tmp_path / "there"), file, name)
