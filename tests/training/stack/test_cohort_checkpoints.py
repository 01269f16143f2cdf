"""A member of a cohort goes on from its checkpoint, alone or in any stack, with the numbers of an undisturbed trial."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hpo.events import Decision, Paused, Reported, TrialSpec
from hpo.training.checkpoint import Keeper, resumed
from hpo.training.layers import SqueezeLast
from hpo.training.loop import train_run
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Kind, Splits, TorchTask
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES

from ..tiny import CPU, KINDS, History, alone, assert_same, default_dtype, splits_of, task_of, together, trials_of
from .members import (
    OUTLIER_PARAMS,
    VALUES,
    Augmenting,
    conv1d_net,
    conv3d_net,
    conv_net,
    mixture,
    ragged_splits,
    values_of,
)
from .test_cohort_fallback import MAPPED, members, with_inner

pytestmark = pytest.mark.slow

EPOCHS, ROWS, TOLERANCE = 4, 41, 1e-10
BASE: dict[str, Any] = {"hidden_layers": [6, 5], "batch_size": 16}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with default_dtype(torch.float64):
        yield


def kept_in(folder: Path, trials: Sequence[TrialSpec]) -> list[TrialSpec]:
    """Return trials that keep their checkpoints in a folder."""
    return [replace(trial, checkpoint=str(folder / f"{trial.number}.pt")) for trial in trials]


def runs_of(task: TorchTask, splits: Splits, trials: Sequence[TrialSpec]) -> list[Run]:
    return [run for trial in trials for run in resumed(lambda trial=trial: [start(task, splits, trial, CPU)])]


def in_a_stack(task: TorchTask, splits: Splits, trials: Sequence[TrialSpec], dies_in: int = 0) -> dict[int, History]:
    """Train trials as one stack, from their checkpoints, with one more after each epoch; 0: to their ends.

    It dies in the midst of what follows the reports of an epoch, before there is a checkpoint of that.
    """
    runs = runs_of(task, splits, trials)
    models = {run.trial.number: run.model for run in runs}
    training = train_cohort(Cohort(runs), lambda: 0.0, Keeper(0))
    events: dict[int, list[Any]] = {trial.number: [] for trial in trials}
    for batch in training:
        for event in batch:
            events[event.number].append(event)
        if any(isinstance(event, Reported) and event.step == dies_in for event in batch):
            training.close()
            break
    return {number: (found, models[number].state_dict()) for number, found in events.items()}


def by_itself(task: TorchTask, splits: Splits, trial: TrialSpec, dies_in: int = 0) -> History:
    """Train one trial by the plain loop; as above."""
    (run,) = runs_of(task, splits, [trial])
    events: list[Any] = []
    training = train_run(run, lambda: 0.0, Keeper(0))
    for event in training:
        events.append(event)
        if isinstance(event, Reported) and event.step == dies_in:
            training.close()
            break
    return events, run.model.state_dict()


def assert_goes_on(
    task: TorchTask, splits: Splits, params: Sequence[Mapping[str, Any]], tmp_path: Path, health: bool = False
) -> None:
    """Assert that trials go on from their checkpoints in the same stack, bit for bit, and up to rounding alone, in a
    smaller stack, and in one with members of other ages, some of which trained alone before."""
    trials = [replace(trial, health=health) for trial in trials_of(params, EPOCHS)]
    whole = together(task, splits, trials)
    expected = {trial.number: alone(task, splits, trial) for trial in trials}
    folder = tmp_path / "stack"
    kept = kept_in(folder, trials)
    in_a_stack(task, splits, kept, dies_in=3)
    assert sorted(path.name for path in folder.iterdir()) == [f"{trial.number}.pt" for trial in trials]
    assert [run.completed for run in runs_of(task, splits, kept)] == [2] * len(trials)

    def copy(name: str) -> list[TrialSpec]:
        shutil.copytree(folder, tmp_path / name)
        return kept_in(tmp_path / name, trials)

    again = in_a_stack(task, splits, copy("same"))
    for number, history in whole.items():
        assert_same(again[number], history, 0)
    for trial in copy("alone"):
        assert_same(by_itself(task, splits, trial), expected[trial.number], TOLERANCE)
    for number, history in in_a_stack(task, splits, copy("smaller")[1:]).items():
        assert_same(history, expected[number], TOLERANCE)

    mixed = copy("ages")
    for path in (Path(mixed[0].checkpoint), Path(mixed[1].checkpoint)):
        path.unlink()
    by_itself(task, splits, mixed[1], dies_in=2)
    by_itself(task, splits, mixed[2], dies_in=4)
    assert [run.completed for run in runs_of(task, splits, mixed)] == [0, 1, 3, *[2] * (len(trials) - 3)]
    for number, history in in_a_stack(task, splits, mixed).items():
        assert_same(history, expected[number], TOLERANCE)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_every_optimizer(optimizer: str, tmp_path: Path) -> None:
    """In one stack with others, with everything that a stack holds: statistics, slopes, streams of chance."""
    kinds = [optimizer, "adam", optimizer, optimizer, "sgd"]
    params = [
        {**BASE, "batch_norm": True, "dropout": 0.3 * (member % 2), "optimizer": kind,
         "activation": ["prelu", "tanh", "relu", "prelu", "gelu"][member],
         "schedule": ["reduce_on_plateau", "one_cycle", "constant", "cosine", "step"][member],
         **values_of(OPTIMIZERS[kind].takes, member)}
        for member, kind in enumerate(kinds)
    ]  # fmt: skip
    assert_goes_on(task_of("multiclass"), splits_of("multiclass", ROWS), params, tmp_path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_every_optimizer_with_the_same_hyperparameters(optimizer: str, tmp_path: Path) -> None:
    """Then other functions make its steps (fused ones, with plain numbers)."""
    params = [{**BASE, "optimizer": optimizer, **values_of(OPTIMIZERS[optimizer].takes, 0)}] * 4
    assert_goes_on(task_of("binary"), splits_of("binary", ROWS), params, tmp_path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_a_checkpoint_does_not_show_whether_its_trial_was_in_a_stack(optimizer: str, tmp_path: Path) -> None:
    params = [
        {**BASE, "optimizer": optimizer, "activation": ["prelu", "relu"][member % 2], "schedule": "cosine",
         **values_of(OPTIMIZERS[optimizer].takes, member)}
        for member in range(4)
    ]  # fmt: skip
    task, splits, trials = task_of("binary"), splits_of("binary", ROWS), trials_of(params, EPOCHS)
    in_a_stack(task, splits, kept_in(tmp_path / "stack", trials), dies_in=4)
    for trial in kept_in(tmp_path / "alone", trials):
        by_itself(task, splits, trial, dies_in=4)
        found, expected = (
            torch.load(tmp_path / place / f"{trial.number}.pt", weights_only=True) for place in ("stack", "alone")
        )
        assert_alike(found, expected, f"{trial.number}")
        sizes = [(tmp_path / place / f"{trial.number}.pt").stat().st_size for place in ("stack", "alone")]
        assert abs(sizes[0] - sizes[1]) < 1000  # not the whole stack's tensors behind one member's


def assert_alike(found: Any, expected: Any, where: str) -> None:
    """Assert that two values of the same structure differ by rounding at most."""
    assert type(found) is type(expected), where
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_alike(found[key], value, f"{where}/{key}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for index, value in enumerate(expected):
            assert_alike(found[index], value, f"{where}/{index}")
    elif isinstance(expected, torch.Tensor):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), where
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, msg=lambda text: f"{where}: {text}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-10), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_every_schedule(schedule: str, tmp_path: Path) -> None:
    """Members of different ages are at different steps."""
    params = [
        {**BASE, "optimizer": "sgd", "learning_rate": 0.3, "schedule": schedule,
         **values_of(SCHEDULES[schedule].takes, member)}
        for member in range(4)
    ]  # fmt: skip
    assert_goes_on(task_of("binary"), splits_of("binary", ROWS), params, tmp_path, health=True)


@pytest.mark.parametrize(
    ("net", "shape"), [(conv_net, (2, 8, 8)), (conv1d_net, (2, 8)), (conv3d_net, (1, 3, 3, 3))], ids=["2d", "1d", "3d"]
)
def test_convolutions(net: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    task = task_of("multiclass", model=lambda self, *args: net(*args))
    params = [{"batch_size": 16, "dropout": 0.2 * member, "learning_rate": 0.01} for member in range(4)]
    assert_goes_on(task, splits_of("multiclass", ROWS, shape=shape), params, tmp_path)


@pytest.mark.parametrize("inner", MAPPED.values(), ids=MAPPED)
def test_modules_that_are_mapped(inner: Any, tmp_path: Path) -> None:
    assert_goes_on(with_inner(inner), splits_of("regression", ROWS), members(), tmp_path)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_members_with_different_rows(batch_norm: bool, tmp_path: Path) -> None:
    params = [
        {**each, "batch_size": 8, "hidden_layers": [5], "batch_norm": batch_norm, "dropout": 0.2,
         "optimizer": ["adam", "nadam"][member % 2], "learning_rate": 0.01}
        for member, each in enumerate(OUTLIER_PARAMS)
    ]  # fmt: skip
    assert_goes_on(task_of("regression"), ragged_splits(), params, tmp_path)


def test_batch_norm_that_averages_over_all_batches(tmp_path: Path) -> None:
    def model(self: TorchTask, *args: Any) -> nn.Module:
        norm = nn.BatchNorm1d(5, momentum=None)
        return nn.Sequential(nn.Linear(4, 5, bias=False), norm, nn.Tanh(), nn.Linear(5, 1), SqueezeLast())

    params = [{"batch_size": 8, "learning_rate": 0.01 * (1 + member)} for member in range(4)]
    assert_goes_on(task_of("regression", model=model), splits_of("regression", ROWS), params, tmp_path)


def test_augmentation(tmp_path: Path) -> None:
    params = [{"batch_size": 16, "dropout": rate, "learning_rate": 0.02} for rate in (0.1, 0.4, 0.0, 0.2)]
    assert_goes_on(Augmenting(), splits_of("regression", ROWS), params, tmp_path)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_mixtures(kind: Kind, batch_norm: bool, tmp_path: Path) -> None:
    rng = random.Random(f"checkpoints {kind} {batch_norm}")
    params = [mixture(kind, rng, batch_norm) for _ in range(8)]
    splits = ragged_splits(76) if kind == "regression" else splits_of(kind, ROWS)
    assert_goes_on(task_of(kind), splits, params, tmp_path)


def test_float32_goes_on_bit_for_bit_in_the_same_stack(tmp_path: Path) -> None:
    with default_dtype(torch.float32):
        params = [
            {**BASE, "batch_norm": True, "dropout": 0.2, "optimizer": name, "learning_rate": VALUES["learning_rate"][0]}
            for name in OPTIMIZERS.names()
        ]
        task, splits, trials = task_of("binary"), splits_of("binary", ROWS), trials_of(params, EPOCHS)
        whole = together(task, splits, trials)
        kept = kept_in(tmp_path, trials)
        in_a_stack(task, splits, kept, dies_in=3)
        for number, history in in_a_stack(task, splits, kept).items():
            assert_same(history, whole[number], 0)


def test_after_members_have_left(tmp_path: Path) -> None:
    """Their rows are gone; the others' are others than at first."""
    params = [{**BASE, "optimizer": name, "learning_rate": 0.01} for name in ("adam", "sgd", "adam", "nadam", "lion")]
    task, splits, trials = task_of("binary"), splits_of("binary", ROWS), trials_of(params, [1, 5, 5, 2, 5])
    expected = {trial.number: alone(task, splits, trial) for trial in trials}
    kept = kept_in(tmp_path, trials)
    in_a_stack(task, splits, kept, dies_in=4)
    left = [kept[1], kept[2], kept[4]]
    assert [run.completed for run in runs_of(task, splits, left)] == [3, 3, 3]
    for number, history in in_a_stack(task, splits, left).items():
        assert_same(history, expected[number], TOLERANCE)


# --- when they are written -----------------------------------------------------------------------------------------


class Clock:
    """Every look costs a second."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_pause_keeps_those_with_much_before_them(tmp_path: Path) -> None:
    """Trial 12 would be done in no time, so that it trains on; the others end with checkpoints of the same epoch."""
    params = [{**BASE, "optimizer": name} for name in ("adam", "sgd", "lion")]
    task, splits, trials = task_of("binary"), splits_of("binary", ROWS), trials_of(params, [20, 20, 3])
    expected = {trial.number: alone(task, splits, trial) for trial in trials}
    kept = kept_in(tmp_path, trials)
    training = train_cohort(Cohort(runs_of(task, splits, kept)), lambda: 0.0, Keeper(1e9, Clock()))
    next(training)
    assert {event.number for event in training.send({})} == {10, 11, 12}  # after epoch 2
    ended = training.send(dict.fromkeys((10, 11, 12), Decision.PAUSE))
    assert ended == [Paused(number, {"cohort": 3, "stack": [10, 12, 11]}) for number in (10, 11)]
    assert [[type(event).__name__ for event in events] for events in training] == [["Reported"], ["Finished"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10.pt", "11.pt"]
    assert [run.completed for run in runs_of(task, splits, kept)] == [2, 2, 0]
    for number, history in in_a_stack(task, splits, kept[:2]).items():
        assert_same(history, expected[number], TOLERANCE)


def test_they_are_due_after_the_given_time(tmp_path: Path) -> None:
    task, splits = task_of("binary"), splits_of("binary", ROWS)
    kept = kept_in(tmp_path, trials_of([BASE] * 3, EPOCHS))
    clock = Clock()
    written = []
    for _ in train_cohort(Cohort(runs_of(task, splits, kept)), lambda: 0.0, Keeper(100, clock)):
        written.append(sorted(path.name for path in tmp_path.iterdir()))
        clock.now += 60
    assert written == [[], [], [f"{trial.number}.pt" for trial in kept], *[[f"{t.number}.pt" for t in kept]] * 2]


def test_a_disk_that_takes_none_does_not_end_the_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    task, splits, trials = task_of("binary"), splits_of("binary", ROWS), trials_of([BASE] * 3, EPOCHS)
    found = in_a_stack(task, splits, kept_in(tmp_path / "taken", trials))
    for number, history in together(task, splits, trials).items():
        assert_same(found[number], history, 0)
    assert "can't be written" in capsys.readouterr().err


def test_another_trials_checkpoint_is_not_used(tmp_path: Path) -> None:
    task, splits = task_of("binary"), splits_of("binary", ROWS)
    kept = kept_in(tmp_path, trials_of([{**BASE, "learning_rate": 0.1}] * 2, EPOCHS))
    in_a_stack(task, splits, kept, dies_in=3)
    others = [replace(trial, params={**BASE, "learning_rate": 0.2}) for trial in kept]
    assert [run.completed for run in runs_of(task, splits, others)] == [0, 0]
