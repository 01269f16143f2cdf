"""`trial.folder`: one trial's own, and what is handed over of it."""

from __future__ import annotations

import math
import os
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo.events import FILES_ARCHIVE, Assignment, Decision, Event, Failed, FilesOrder, Finished, TrialSpec
from hpo.objective.base import Pruned
from hpo.objective.function import FunctionObjective, Trial
from hpo.objective.program_leftovers import sweep_up


class Attaching:
    """Keeps what is attached, and in which order that and the end came."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.names: list[str] = []
        self.events: list[Event] = []

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        self.events += events
        self.order.append("end")
        return {}

    def attach(self, number: int, name: str, path: str) -> None:
        assert name == FILES_ARCHIVE and number == 4
        with tarfile.open(path) as tar:
            self.names = sorted(tar.getnames())
        self.order.append("files")


def write(trial: Trial) -> float:
    assert trial.folder == trial.folder and list(trial.folder.iterdir()) == []
    (trial.folder / "sub").mkdir()
    (trial.folder / "sub" / "model.pt").write_text("weights")
    (trial.folder / "link").symlink_to("sub/model.pt")
    (trial.folder / "dangling").symlink_to("nowhere")
    os.mkfifo(trial.folder / "pipe")
    trial.data["folders"].append(trial.folder)
    return 0.5


def run(objective: Callable[[Trial], Any], order: FilesOrder | None) -> Attaching:
    channel = Attaching()
    FunctionObjective(objective, "score", {}).run(Assignment(1, (TrialSpec(4, {}, seed=1, files=order),)), channel)
    return channel


def order_in(home: Path, **keys: Any) -> FilesOrder:
    return FilesOrder(str(home / "trial_files" / "study"), **{"keep": "best", "sign": 1, **keys})


def writing(seen: list[Path], end: Any = 0.5) -> Callable[[Trial], Any]:
    def objective(trial: Trial) -> Any:
        trial.data["folders"] = seen
        write(trial)
        if isinstance(end, Exception):
            raise end
        return end

    return objective


def test_files_go_before_the_end_and_the_folder_is_gone_then(tmp_path: Path) -> None:
    seen: list[Path] = []
    channel = run(writing(seen), order_in(tmp_path))
    assert channel.order == ["files", "end"] and isinstance(channel.events[0], Finished)
    assert channel.names == ["link", "sub/model.pt"]  # no folders, pipes, or links that lead nowhere
    (left,) = seen
    assert left.parent == tmp_path / "trial_files" / "study" and left.name.startswith("4-") and not left.exists()
    left.mkdir(parents=True, exist_ok=True)  # of a run whose worker was killed
    (left / "old").write_text("old")
    assert run(writing(seen), order_in(tmp_path)).names == ["link", "sub/model.pt"]
    assert seen[1] != left  # what that run has started may still write there


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "model.pt").write_text("weights")

    def objective(trial: Trial) -> float:
        (trial.folder / "latest").symlink_to(outside)
        (trial.folder / "itself").symlink_to(trial.folder)
        return 0.5

    assert run(objective, order_in(tmp_path)).names == ["latest/model.pt"]


def test_what_cannot_be_packed_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **named: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    channel = run(writing([]), order_in(tmp_path))
    assert channel.order == ["end"] and "No space left" in channel.events[0].info["notes"]["files"]  # type: ignore[union-attr]
    assert not list((tmp_path / "trial_files" / "study").iterdir())


@pytest.mark.parametrize(
    ("keys", "end", "handed"),
    [
        ({}, 0.5, True),
        ({"bar": 0.4}, 0.5, True),
        ({"bar": 0.6}, 0.5, False),
        ({"bar": 0.6, "sign": -1}, 0.5, True),
        ({"bar": 0.6, "keep": "all"}, 0.5, True),
        ({"keep": "none"}, 0.5, False),
        ({}, ValueError("no"), False),
        ({}, Pruned("no good"), False),
        ({}, math.inf, False),
        ({"keep": "all"}, ValueError("no"), True),
    ],
)
def test_only_what_may_be_wanted_is_handed_over(keys: dict[str, Any], end: Any, handed: bool, tmp_path: Path) -> None:
    seen: list[Path] = []
    channel = run(writing(seen, end), order_in(tmp_path, **keys))
    assert (channel.order == ["files", "end"]) == handed
    failed = isinstance(end, Exception) and not isinstance(end, Pruned)
    assert isinstance(channel.events[0], Failed) == failed
    assert not seen[0].exists()


def test_on_another_machine_the_folder_is_a_temporary_one(tmp_path: Path) -> None:
    seen: list[Path] = []
    channel = run(writing(seen), FilesOrder("/no/such/home/trial_files/study", "best", 1))
    assert channel.names == ["link", "sub/model.pt"] and not seen[0].exists()
    assert run(lambda trial: 1.0, order_in(tmp_path)).order == ["end"]
    assert not (tmp_path / "trial_files").exists()  # who never asks has none


def test_of_what_is_only_reported_the_last_report_says_whether_it_may_be_the_best(tmp_path: Path) -> None:
    def objective(trial: Trial) -> None:
        (trial.folder / "model.pt").write_text("weights")
        for step, score in enumerate((0.9, 0.5)):
            trial.report(step, score=score, other=1.0)

    assert run(objective, order_in(tmp_path, bar=0.6)).names == []
    assert run(objective, order_in(tmp_path, bar=0.4)).names == ["model.pt"]


def test_a_temporary_folder_in_use_is_nobodys_to_remove() -> None:
    """The first program of another sweep on this machine removes what killed workers have left."""

    def objective(trial: Trial) -> float:
        (trial.folder / "train.log").write_text("x")
        sweep_up()
        assert (trial.folder / "train.log").exists()
        return 0.5

    assert isinstance(run(objective, None).events[0], Finished)
    assert not list(Path(tempfile.gettempdir()).iterdir())


def test_files_that_cannot_be_kept_leave_the_trial_its_value(tmp_path: Path) -> None:
    def objective(trial: Trial) -> float:
        (trial.folder / "secret").write_text("x")
        (trial.folder / "secret").unlink()
        trial.folder.rmdir()
        return 0.5

    (end,) = run(objective, order_in(tmp_path)).events
    assert isinstance(end, Finished) and end.value == 0.5
    assert "could not be kept" in end.info["notes"]["files"]
