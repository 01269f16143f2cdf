"""A temporary folder that other users write to as well: what they have put there is never used, followed or removed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo.engines.ray.folders import ActorFolder
from hpo.objective import program_leftovers
from hpo.private import NotPrivate, private_folder
from hpo.review.ui_ports import PortLease
from hpo.spec.faults import UserError

ANOTHER = 12345  # a user's id


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder, which all users share."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    return shared


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of this user's with files that look like the leftovers of dead processes."""
    precious = tmp_path / "precious"
    for name in ("999999999-run/thesis.txt", "trial.log"):
        (precious / name).parent.mkdir(parents=True, exist_ok=True)
        (precious / name).write_text("years of work")
    return precious


def link(path: Path, precious: Path) -> str:
    path.symlink_to(precious)
    return "it is a link"


def dangling(path: Path, precious: Path) -> str:
    path.symlink_to(precious / "nothing")
    return "it is a link"


def file(path: Path, precious: Path) -> str:
    path.write_text("")
    return "it is no folder"


def pipe(path: Path, precious: Path) -> str:
    os.mkfifo(path)
    return "it is no folder"


def open_to_all(path: Path, precious: Path) -> str:
    path.mkdir()
    path.chmod(0o777)
    return "other users may write to it"


def open_to_the_group(path: Path, precious: Path) -> str:
    path.mkdir()
    path.chmod(0o720)
    return "other users may write to it"


def of_another(path: Path, precious: Path) -> str:
    if os.getuid() != 0:
        pytest.skip("only root can make another user's folder")
    path.mkdir(mode=0o700)
    os.chown(path, ANOTHER, ANOTHER)
    return f"it belongs to the user {ANOTHER}"


Plant = Callable[[Path, Path], str]
PLANTED = [link, dangling, file, pipe, open_to_all, open_to_the_group, of_another]


@pytest.mark.parametrize("plant", PLANTED)
def test_what_somebody_else_put_there_is_not_used(shared: Path, precious: Path, plant: Plant) -> None:
    for name in ("hpo-ray", "hpo-data", "hpo-ui"):
        fault = plant(shared / f"{name}-{os.getuid()}", precious)
    before = sorted(path.name for path in shared.iterdir())
    with pytest.raises(NotPrivate, match=f"{shared}/hpo-ray-{os.getuid()} is not used, since {fault}"):
        private_folder("hpo-ray")
    folder = ActorFolder()
    data = folder.shared_data()
    assert folder.path.parent == shared and folder.path.stat().st_mode & 0o777 == 0o700
    assert data == folder.path  # where nobody else can have put anything
    assert [fault in told for told in folder.faults] == [True, True]
    folder.remove()
    with pytest.raises(UserError, match=fault), PortLease(0):
        pass
    assert sorted(path.name for path in shared.iterdir()) == before
    assert len(list(precious.rglob("*"))) == 3


def test_its_own_is_used_again_and_closed_to_others(shared: Path) -> None:
    folder = private_folder("hpo-data")
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "kept").touch()
    folder.chmod(0o755)  # others could read, not write
    assert private_folder("hpo-data") == folder
    assert folder.stat().st_mode & 0o777 == 0o700 and (folder / "kept").exists()


def test_folders_of_dead_actors_go_and_no_others(shared: Path, precious: Path) -> None:
    living = ActorFolder()
    parent = living.path.parent
    dead = parent / "1-dead"  # by its name of a process that lives: another has the number by now
    (dead / "logs").mkdir(parents=True)
    (parent / "2-link").symlink_to(precious)
    another = ActorFolder()
    assert living.path.exists() and another.path.exists() and not dead.exists()
    assert another.path != living.path and another.path.parent == parent
    assert len(list(precious.rglob("*"))) == 3
    living.remove()
    another.remove()
    assert not living.path.exists() and not another.path.exists()


def test_trials_leftovers_are_not_looked_for_behind_links(shared: Path, precious: Path) -> None:
    os.mkfifo(precious / "waits.log")  # who opens it waits for ever
    (shared / "hpo-trial-1-x").symlink_to(precious)
    (shared / "hpo-trial-2-dead").mkdir()
    (shared / "hpo-trial-2-dead" / "output.log").touch()
    program_leftovers.sweep_up()
    assert [path.name for path in shared.iterdir()] == ["hpo-trial-1-x"]
    assert len(list(precious.rglob("*"))) == 4
