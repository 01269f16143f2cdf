"""A study goes to another home by one file: the same trials, the same MLflow, the same files."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from e2e.support import Place, assert_records_agree

from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.transfer import export_study, import_study
from hpo.spec.faults import UserError

from .doctor.test_doctor import load, run_sweep


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
