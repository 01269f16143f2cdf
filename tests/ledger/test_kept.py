"""The weights of the best trials: as many as were asked for, the right ones, whatever a crash leaves."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from hpo.events import WEIGHTS_DIGEST
from hpo.ledger.kept import KeptWeights, kept_file, useless
from hpo.ledger.study.records import Outcome, State, TrialRecord


def record(number: int, value: float, state: State = "complete") -> TrialRecord:
    """Return a trial that has ended, whose weights are its number."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    outcome = Outcome(state, value if state == "complete" else None)
    return TrialRecord(number, {}, 1, outcome=outcome, info={WEIGHTS_DIGEST: digest})


def leave(kept: KeptWeights, ended: TrialRecord) -> bool:
    """Do what a worker does at a trial's end; return whether the weights are wanted."""
    order = kept.order_of(ended)
    assert order is not None
    value = ended.value if ended.value is not None else 0.0
    if order.bar is not None and order.sign * value < order.sign * order.bar:
        return False
    Path(order.file).parent.mkdir(exist_ok=True)
    Path(order.file).write_text(str(ended.number))
    return True


def there(folder: Path) -> list[int]:
    return sorted(int(path.read_text()) for path in folder.glob("*")) if folder.exists() else []


def best(records: list[TrialRecord], most: int, goal: str) -> list[int]:
    sign = 1 if goal == "maximize" else -1
    ranked = sorted(records, key=lambda each: (-sign * (each.value or 0.0), each.number))
    return sorted(each.number for each in ranked[:most])


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_never_more_and_always_the_best(tmp_path: Path, goal: str) -> None:
    """In any order of ends, with ties; what is below the bar is not even written."""
    rng, folder, written = random.Random(7), tmp_path / "study", 0
    kept = KeptWeights(folder, "m", goal, 3)
    records = [record(number, rng.choice([-0.5, 0.0, 0.25, 1e-7, 3.0])) for number in rng.sample(range(60), 60)]
    for count, ended in enumerate(records, start=1):
        written += leave(kept, ended)
        kept.take(ended)
        kept.settle()
        assert there(folder) == best(records[:count], 3, goal)
    assert written < 40
    assert kept_file(folder, best(records, 1, goal)[0]) is not None


def test_others_than_complete_ones_leave_nothing(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path / "study", "m", "maximize", 2)
    for number, state in enumerate(("pruned", "failed")):
        ended = record(number, 1.0, state)  # type: ignore[arg-type]
        leave(kept, ended)
        kept.take(ended)
    kept.settle()
    assert not (tmp_path / "study").exists()


def test_after_a_crash_what_was_left_is_kept_or_removed(tmp_path: Path) -> None:
    """Killed after the end was recorded and before the file was seen to: only what is the trial's own is kept."""
    folder = tmp_path / "study"
    first = KeptWeights(folder, "m", "maximize", 2)
    ended = [record(0, 0.5), record(1, 0.9), record(2, 0.7)]
    for each in ended:
        leave(first, each)
    (folder / "1.left").write_text("half")  # another's, or damaged
    (folder / "7.left").write_text("7")  # of a trial that was not recorded
    (folder / "2.left.123").write_text("draft")
    second = KeptWeights(folder, "m", "maximize", 2)
    second.open(ended, alone=True)
    assert there(folder) == [2]  # 1 is among the best, but its weights are gone; 0 is not
    third = KeptWeights(folder, "m", "maximize", 1)
    third.open(ended, alone=True)
    assert there(folder) == []


def test_what_runs_elsewhere_is_left_alone(tmp_path: Path) -> None:
    """Two drivers with one folder: neither removes what the other's trial is about to leave; together not too many."""
    folder = tmp_path / "study"
    one, other = (KeptWeights(folder, "m", "maximize", 2) for _ in range(2))
    running = record(3, 0.8)
    leave(one, running)
    other.open([], alone=False)
    for each in (record(4, 0.1), record(5, 0.2)):
        leave(other, each)
        other.take(each)
        other.settle()
    assert there(folder) == [3, 4, 5]
    one.take(running)
    one.settle()  # has not heard of 4 and 5
    assert there(folder) == [3, 5]
    other.learn(running)
    order = other.order_of(record(6, 0.15))
    assert order is not None and order.bar == 0.2


def test_without_keep_nothing_is_touched(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, "m", "maximize", 0)
    (tmp_path / "0_0.5.pt").write_text("0")
    kept.open([record(0, 0.5)], alone=True)
    kept.take(record(1, 0.6))
    kept.settle()
    assert kept.order_of(record(1, 0.6)) is None and there(tmp_path) == [0]


def test_what_is_of_no_use_is_found(tmp_path: Path) -> None:
    records = [record(0, 0.5), record(1, 0.9), record(2, 0.7), record(3, 0.0, "pruned")]
    for name, text in (
        ("0_0.5.pt", "0"), ("1_0.9.pt", "1"), ("2_0.7.pt", "damaged"), ("3_0.1.pt", "3"), ("1.left", "1")
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    sweep = {"metric": {"name": "m", "goal": "maximize"}, "keep": {"models": 2}}
    found = {path.name: why for path, why in useless(tmp_path, records, sweep)}
    assert found.keys() == {"0_0.5.pt", "2_0.7.pt", "3_0.1.pt", "1.left"}
    assert "not among the best 2" in found["0_0.5.pt"] and "digest" in found["2_0.7.pt"]
    assert "0_0.5.pt" not in dict.fromkeys(path.name for path, _ in useless(tmp_path, records, {**sweep, "keep": None}))
