"""A trial that goes on from its checkpoint gets the numbers of one that was never interrupted, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from hpo.events import Decision, Paused, Reported, TrialSpec
from hpo.training.checkpoint import Keeper, resumed
from hpo.training.loop import train_run
from hpo.training.run import Run, start
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES

from .tiny import CPU, driven, splits_of, task_of

TASK, SPLITS = task_of("binary"), splits_of("binary", rows=41)
BASE: dict[str, Any] = {"hidden_layers": [6, 5], "batch_size": 16, "batch_norm": True, "dropout": 0.3}


class Clock:
    """Every look costs a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def begin(params: dict[str, Any], path: Path | None = None, epochs: int = 5, seed: int = 3) -> Run:
    """Return a run that goes on from its checkpoint in `path`, if there is one."""
    trial = TrialSpec(1, params, seed, epochs, checkpoint=str(path or ""), health=True)
    return resumed(lambda: [start(TASK, SPLITS, trial, CPU)])[0]


def play(run: Run, keeper: Keeper | None = None, until: int | None = None, decision: Any = None) -> list[Any]:
    """Train; abandon it after the report of epoch `until`, as if it had died; `decision` is the answer there."""
    training, events = train_run(run, lambda: 0.0, keeper), []

    def there(event: Any) -> bool:
        return isinstance(event, Reported) and event.step == until

    for event in driven(training, lambda event: decision if there(event) else Decision.CONTINUE):
        events.append(event)
        if decision is None and there(event):
            training.close()
            break
    return events


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
@pytest.mark.parametrize("schedule", ["constant", "reduce_on_plateau", "one_cycle"])
def test_goes_on_as_if_nothing_had_happened(tmp_path: Path, optimizer: str, schedule: str) -> None:
    params = BASE | {"optimizer": optimizer, "schedule": schedule}
    whole = begin(params)
    expected = play(whole)
    path = tmp_path / "checkpoints" / "1.pt"
    play(begin(params, path), Keeper(0), until=4)  # a checkpoint after each epoch; died after the report of the fourth
    run = begin(params, path)
    assert run.completed == 3
    assert play(run, Keeper(0)) == expected
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], tensor), name
    assert [file.name for file in path.parent.iterdir()] == ["1.pt"]


def test_every_schedule_is_a_function_of_the_step() -> None:
    assert all(choice.changes in ("never", "epoch", "step") for choice in SCHEDULES)


def test_a_pause_keeps_a_checkpoint_where_much_is_left(tmp_path: Path) -> None:
    path = tmp_path / "1.pt"
    events = play(begin(BASE, path, epochs=9), Keeper(1e9, Clock()), until=2, decision=Decision.PAUSE)
    assert [type(event).__name__ for event in events] == ["Reported", "Reported", "Paused"]
    assert events[-1] == Paused(1)
    assert play(begin(BASE, path, epochs=9), Keeper(1e9)) == play(begin(BASE, epochs=9))


def test_a_pause_of_a_trial_that_is_nearly_done_lets_it_end(tmp_path: Path) -> None:
    events = play(begin(BASE, tmp_path / "1.pt"), Keeper(1e9, Clock()), until=4, decision=Decision.PAUSE)
    assert type(events[-1]).__name__ == "Finished" and not list(tmp_path.iterdir())


def test_checkpoints_come_after_the_given_time(tmp_path: Path) -> None:
    path = tmp_path / "1.pt"
    play(begin(BASE, path), Keeper(1e9), until=4)
    assert not path.exists()


@pytest.mark.parametrize("other", [{"learning_rate": 0.5}, {"batch_size": 8}])
def test_another_trials_checkpoint_is_not_used(tmp_path: Path, other: dict[str, Any]) -> None:
    path = tmp_path / "1.pt"
    play(begin(BASE, path), Keeper(0), until=3)
    assert path.exists()
    assert play(begin(BASE | other, path), Keeper(1e9)) == play(begin(BASE | other))
    assert play(begin(BASE, path, seed=4), Keeper(1e9)) == play(begin(BASE, seed=4))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 half of one"])
def test_a_broken_checkpoint_is_told_and_removed(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "1.pt"
    path.write_bytes(content)
    assert play(begin(BASE, path), Keeper(1e9)) == play(begin(BASE))
    assert not path.exists()
    assert "can't be used" in capsys.readouterr().err


def test_what_was_taken_up_of_a_broken_checkpoint_is_undone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "1.pt"
    play(begin(BASE, path), Keeper(0), until=3)
    kept = torch.load(path, weights_only=True)
    del kept["members"][0]["generators"]["noise"]  # the last that is read
    torch.save(kept, path)
    assert play(begin(BASE, path), Keeper(1e9)) == play(begin(BASE))
    assert "KeyError" in capsys.readouterr().err


def test_a_disk_that_takes_no_checkpoint_does_not_end_the_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    events = play(begin(BASE, tmp_path / "taken" / "1.pt"), Keeper(0))
    assert events == play(begin(BASE))
    assert "can't be written" in capsys.readouterr().err
