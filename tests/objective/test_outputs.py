"""Models leave what they say of the test rows: the same alone and in a stack, and never a target."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training.tiny import splits_of, task_of

from hpo.events import OUTPUTS_FILE, Assignment, Diverged, Finished, Reported, TrialSpec
from hpo.objective.outputs import digest_of_rows
from hpo.objective.torch_task import TorchObjective
from hpo.training.evaluation import predict
from hpo.training.run import start
from hpo.training.task import Kind, Split, Splits
from objective.test_torch_task import Recorder


class Keeps(Recorder):
    """Keeps what is attached, too: arrays by trial."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, dict[str, Any]] = {}

    def attach(self, number: int, name: str, path: str) -> None:
        ended = {event.number for event in self.events if isinstance(event, Finished)}
        assert name == OUTPUTS_FILE and number not in ended
        with np.load(path, allow_pickle=False) as file:
            self.kept[number] = {key: file[key] for key in file.files}
        shutil.rmtree(Path(path).parent)


def splits(kind: Kind, scale: float = 1.0) -> Splits:
    kept = splits_of(kind)
    test = Split(kept.validation.x[:7] * scale, kept.validation.y[:7])
    return Splits(kept.train, kept.validation, test, kept.outputs)


def objective(kind: Kind, scale: float = 1.0, repeats: int = 1) -> TorchObjective:
    task = task_of(kind, splits=lambda self, data: splits(kind, scale), batch=lambda self, x, *_: x * x.square())
    return TorchObjective(task, {}, repeats)


def assignment(count: int, outputs: bool = True, **params: Any) -> Assignment:
    shared = {"hidden_layers": [3], "learning_rate": 0.01, **params}
    trials = tuple(TrialSpec(number, shared, number, 2) for number in range(count))
    return Assignment(0, trials, measured=False, outputs=outputs)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_same_alone_and_in_a_stack(kind: Kind) -> None:
    stacked, alone = Keeps(), Keeps()
    objective(kind).run(assignment(3), stacked)
    assert {event.info["cohort"] for event in stacked.events if isinstance(event, Finished)} == {3}
    for trial in assignment(3).trials:
        objective(kind).run(Assignment(0, (trial,), outputs=True), alone)
    test = splits(kind).test
    for number in range(3):
        found, other = stacked.kept[number], alone.kept[number]
        besides = {"regression": {"values"}, "binary": {"threshold"}}.get(kind, set())
        assert set(found) == {"outputs", "rows"} | besides
        assert found["outputs"] == pytest.approx(other["outputs"], abs=1e-4) and len(found["outputs"]) == len(test)
        assert str(found["rows"]) == digest_of_rows(test.x)


def test_what_an_output_activation_makes_is_left_beside_the_raw_outputs() -> None:
    """Of which the loss is taken; rows are judged by what was made of them."""
    keeps = Keeps()
    objective("binary").run(assignment(1, output_activation="linear", loss="mse"), keeps)
    found = keeps.kept[0]
    assert set(found) == {"outputs", "values", "rows", "threshold"}
    assert ((found["values"] > 0) == (found["outputs"] > 0.5)).all()
    shares = 1 / (1 + np.exp(-found["values"]))
    assert shares == pytest.approx(found["outputs"].clip(1e-7, 1 - 1e-7), abs=1e-5)


@pytest.mark.parametrize("stack", [False, True])
def test_the_threshold_that_was_chosen_on_validation_is_left_with_them(stack: bool) -> None:
    """Of several members the first one's, whose outputs they are."""
    keeps = Keeps()
    objective("binary", repeats=2).run(replace(assignment(1, threshold_rule="best_f1"), stack=stack), keeps)
    last = [event for event in keeps.events if isinstance(event, Reported)][-1].metrics
    assert keeps.kept[0]["threshold"] == last["val_threshold.1"] != last["val_threshold.2"]


def test_of_several_members_they_are_the_firsts_alone_and_in_a_stack() -> None:
    found = []
    for stack in (False, True):
        keeps = Keeps()
        objective("binary", repeats=2).run(replace(assignment(1), stack=stack), keeps)
        found.append(keeps.kept[0]["outputs"])
    first = Keeps()
    objective("binary").run(assignment(1), first)
    for each in found:
        assert each == pytest.approx(first.kept[0]["outputs"], abs=1e-4)


def test_they_are_those_of_the_trained_model() -> None:
    keeps = Keeps()
    (trial,) = assignment(1).trials
    task = objective("binary").task
    objective("binary").run(Assignment(0, (trial,), outputs=True), keeps)
    untrained = start(task, splits("binary").without_test(), trial, torch.device("cpu"))
    before = predict(task, untrained.model, splits("binary").test.x, untrained.params).numpy()
    assert not np.allclose(keeps.kept[0]["outputs"], before)


def test_values_are_in_the_targets_units() -> None:
    keeps = Keeps()
    objective("regression").run(assignment(1, target_transform="standardize"), keeps)
    y = splits("regression").train.y
    expected = keeps.kept[0]["outputs"] * y.std(correction=0).item() + y.mean().item()
    assert keeps.kept[0]["values"] == pytest.approx(expected, rel=0.05, abs=0.05)


def test_outputs_that_are_not_finite_are_a_divergence() -> None:
    keeps = Keeps()
    objective("binary", scale=1e20).run(assignment(1), keeps)
    assert isinstance(keeps.events[-1], Diverged) and not keeps.kept


def test_a_sweep_leaves_nothing() -> None:
    keeps = Keeps()
    worker = objective("binary")
    worker.run(assignment(1, outputs=False), keeps)
    assert not keeps.kept and len(worker.rows.loaded().test) == 0
