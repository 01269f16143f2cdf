"""What is sent to workers on other machines, and what they find there. No Ray is needed for that."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import hpo
from hpo.engines.ray import files as ray_files
from hpo.engines.ray.cluster import path_with_package
from hpo.engines.ray.copies import Copies
from hpo.engines.ray.files import Data, pack, package_folder
from hpo.engines.ray.unpack import lacking, unpack, with_paths
from hpo.spec.faults import UserError
from hpo.spec.named import Named


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    for name in ("train.py", "models/__init__.py", "models/net.py", "models/words.json", ".venv/lib/python3.11/x.py",
                 "sweeps/objective.py", "sweeps/neighbour.py", "notes.txt", "data/rows.csv",
                 "mlruns/old.py"):  # fmt: skip
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    monkeypatch.chdir(project)
    return project


def named(project: Path, **data: object) -> Named:
    return Named(f"{project}/sweeps/objective.py:f", None, (), data, "score", (), project / "sweeps")


def test_code_goes_and_nothing_else(project: Path, tmp_path: Path):
    shipment = pack(named(project), (), tmp_path / "package")
    sent = {str(path.relative_to(tmp_path / "package")) for path in (tmp_path / "package").rglob("*") if path.is_file()}
    own = {name for name in sent if name.startswith("_project")}
    assert own == {
        "_project/0/train.py", "_project/0/models/__init__.py", "_project/0/models/net.py",
        "_project/0/models/words.json", "_project/1/objective.py", "_project/1/neighbour.py",
    }  # fmt: skip
    assert {"hpo/engines/ray/actor.py", "objectives/binary.py"} <= sent
    places = unpack(shipment, tmp_path / "package", {}, Copies(tmp_path))
    there = with_paths(named(project), places)
    assert there.objective == f"{tmp_path}/package/_project/1/objective.py:f"
    assert there.folder == tmp_path / "package" / "_project" / "1"


def test_a_module_that_was_imported_goes_wherever_it_lies(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    deep = project / "no_package" / "deep.py"
    deep.parent.mkdir()
    deep.write_text("")
    monkeypatch.setitem(sys.modules, "deep", type(sys)("deep"))
    sys.modules["deep"].__file__ = str(deep)
    pack(named(project), (), tmp_path / "package")
    assert (tmp_path / "package/_project/0/no_package/deep.py").exists()


def test_too_much_code_is_refused(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_files, "MOST_CODE", 1_000_000)
    (project / "models" / "weights.bin").write_bytes(bytes(2_000_000))
    with pytest.raises(UserError, match=r"must be at most 1 MB, but has \d+ MB: weights.bin \(2 MB\)"):
        pack(named(project), (), tmp_path / "package")


def test_data_is_used_where_it_is(project: Path, tmp_path: Path):
    rows = project / "data" / "rows.csv"
    shipment = pack(named(project, csv=str(rows), note="no path"), ("notes.txt",), tmp_path / "package")
    assert set(shipment.data) == {str(rows), str(project / "notes.txt")}
    assert lacking(shipment) == []
    places = unpack(shipment, tmp_path / "package", {}, Copies(tmp_path))
    assert with_paths(named(project, csv=str(rows)), places).data == {"csv": str(rows)}
    assert (tmp_path / "package/_project/0/notes.txt").read_text() == "notes.txt"
    rows.write_text("other rows")
    assert lacking(shipment) == [str(rows)]


def test_a_folder_that_only_seems_to_be_the_drivers_is_not_used(project: Path, tmp_path: Path):
    """The roots of two disks may have one inode."""
    root = project / "data"
    shipment = pack(named(project, root=str(root)), (), tmp_path / "package")
    assert lacking(shipment) == []
    (root / "rows.csv").write_text("rows of this machine")
    assert lacking(shipment) == [str(root)]


def test_data_that_is_lacking_and_too_large_is_said_so(project: Path, tmp_path: Path):
    (project / "data" / "rows.csv").unlink()
    shipment = pack(named(project, root=str(project / "data")), (), tmp_path / "package")
    large = {str(tmp_path / "gone"): Data(1, (), "3.0 GB")}
    with pytest.raises(UserError, match=r"gone is not on .*, and has 3\.0 GB, too much to be sent"):
        lacking(replace(shipment, data=large))


@pytest.mark.parametrize(("name", "fault"), [("nowhere", "there is no nowhere"), ("..", "must lie below the working")])
def test_files_that_cannot_go(project: Path, tmp_path: Path, name: str, fault: str):
    with pytest.raises(UserError, match=fault):
        pack(named(project), (name,), tmp_path / "package")


def test_the_platform_goes_once_wherever_its_modules_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also where the working directory is the one that it is imported from."""
    checkout = Path(hpo.__file__).resolve().parent.parent
    assert package_folder() == checkout / "hpo"
    monkeypatch.chdir(checkout)
    pack(Named("objectives.binary", None, (), {}, "score", (), checkout), (), tmp_path / "package")
    assert (tmp_path / "package" / "hpo" / "engines" / "ray" / "files.py").exists()
    assert (tmp_path / "package" / "_project" / "0" / "objectives" / "binary.py").exists()
    assert not (tmp_path / "package" / "_project" / "0" / "hpo").exists()


def test_rays_processes_import_the_platform_from_where_this_one_does():
    checkout = str(Path(hpo.__file__).resolve().parent.parent)
    assert path_with_package("") == checkout
    assert path_with_package("/elsewhere") == f"{checkout}:/elsewhere"
    assert path_with_package(f"/elsewhere:{checkout}") == f"/elsewhere:{checkout}"
