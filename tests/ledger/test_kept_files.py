"""The files of trials' folders: those of the best trial alone stay on the disk, whatever a crash leaves."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from hpo.events import FILES_ARCHIVE
from hpo.ledger.kept_files import TrialArchives
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.spec.sweep import Target


def record(number: int, value: float | None, **outcome: Any) -> TrialRecord:
    state = "failed" if value is None else "complete"
    return TrialRecord(number, {}, 1, outcome=Outcome(state, value, **outcome))


class Kept:
    """Archives in a folder, and what was handed over to MLflow: the trials' numbers."""

    def __init__(self, folder: Path, keep: Any = "best", goal: Any = "maximize", at: Any = "last") -> None:
        self.folder = folder
        self.handed: list[int] = []
        self.archives = TrialArchives(folder / "files" / "study", keep, Target("m", goal, at=at), self._attach)

    def _attach(self, number: int, name: str, path: str) -> None:
        assert name == FILES_ARCHIVE and Path(path).read_text() == str(number)
        self.handed.append(number)

    def leave(self, number: int) -> None:
        """Do what a worker does before a trial's end."""
        packed = self.folder / f"packed-{number}"
        packed.mkdir()
        (packed / FILES_ARCHIVE).write_text(str(number))
        self.archives.attach(number, str(packed / FILES_ARCHIVE))
        assert not packed.exists()

    def end(self, ended: TrialRecord, wrote: bool = True) -> None:
        if wrote:
            self.leave(ended.number)
        self.archives.take(ended)
        self.archives.settle()

    @property
    def there(self) -> list[int]:
        return sorted(int(path.stem) for path in (self.folder / "files" / "study").glob("*.tar"))


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_only_the_bests_files_stay(tmp_path: Path, goal: str) -> None:
    rng, kept = random.Random(3), Kept(tmp_path, goal=goal)
    values = {number: rng.choice([0.0, 0.25, -1.0, 2.0, None]) for number in rng.sample(range(40), 40)}
    for number, value in values.items():
        kept.end(record(number, value))
        assert len(kept.there) <= 1
    sign = -1 if goal == "maximize" else 1
    best = min((sign * value, number) for number, value in values.items() if value is not None)[1]
    assert kept.there == [best] and kept.handed == []
    kept.archives.finish()
    assert kept.handed == kept.there


def test_a_running_trials_archive_waits_for_its_end(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.end(record(0, 0.5))
    kept.leave(1)
    kept.end(record(2, 0.7))
    assert kept.there == [1, 2]
    kept.archives.take(record(1, 0.9))
    kept.archives.settle()
    assert kept.there == [1]


def test_the_best_without_files_leaves_none_of_others(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.end(record(0, 0.5))
    kept.end(record(1, 0.9), wrote=False)
    assert kept.there == []
    kept.archives.finish()
    assert kept.handed == [] and not (tmp_path / "files").exists()


def test_what_a_crash_leaves_is_seen_to(tmp_path: Path) -> None:
    before = Kept(tmp_path)
    before.end(record(0, 0.5))
    before.leave(1)  # its end was never recorded
    left = tmp_path / "files" / "study" / "2-abc"
    left.mkdir()
    (left / "model.pt").write_text("half")
    after = Kept(tmp_path)
    interrupted = record(1, None, interrupted=True)
    after.archives.open([record(0, 0.5), interrupted], alone=True)
    assert after.there == [0] and not left.exists()
    after.end(record(3, 0.4))
    after.archives.finish()
    assert after.handed == [0]


def test_all_of_them_go_to_mlflow_each_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path, keep="all")
    kept.end(record(0, 0.5))
    kept.end(record(1, None))
    kept.end(record(2, 0.1), wrote=False)
    assert kept.handed == [0, 1]
    again = Kept(tmp_path, keep="all")  # the driver died before MLflow had them
    again.archives.open([record(0, 0.5), record(1, None)], alone=True)
    assert again.handed == [0, 1]


def test_what_a_worker_is_told(tmp_path: Path) -> None:
    kept = Kept(tmp_path, goal="minimize")
    assert (kept.archives.order().sign, kept.archives.order().bar) == (-1, None)
    kept.end(record(0, 0.5))
    assert kept.archives.order().bar == 0.5
    best_counts = Kept(tmp_path / "other", at="best")
    best_counts.archives.learn(record(0, 0.5))
    assert best_counts.archives.order().bar is None


def test_what_a_failed_run_left_is_not_the_next_ones(tmp_path: Path) -> None:
    kept = Kept(tmp_path, keep="all")
    kept.leave(0)
    kept.archives.forget(0)  # it is run again, and writes nothing
    kept.end(record(0, 1.0), wrote=False)
    assert kept.there == [] and kept.handed == []


def test_folders_of_killed_workers_go_when_their_trials_end_or_are_run_again(tmp_path: Path) -> None:
    kept, study = Kept(tmp_path), tmp_path / "files" / "study"
    folders = [study / name for name in ("1-abc", "1-x_y", "12-abc", "packed-abc")]
    for folder in folders:
        folder.mkdir(parents=True)
    kept.end(record(1, None), wrote=False)
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    kept.archives.forget(12)
    assert [folder.exists() for folder in folders] == [False, False, False, True]
