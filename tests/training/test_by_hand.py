"""The platform's perceptron against NumPy alone: its forward pass, and the weights after a step of backpropagation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reproduction.studies.by_hand import NEAR, RATE, X, Y, step_by_hand

from hpo.events import TrialSpec
from hpo.training.evaluation import predict
from hpo.training.loop import train_step
from hpo.training.run import Run, start
from hpo.training.stack.batches import draw_epoch
from hpo.training.stack.cohort import Cohort
from hpo.training.task import Split, Splits

from .tiny import CPU, task_of

Array = NDArray[np.float64]


def run_of(loss: str, number: int = 0) -> Run:
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32)
    split = Split(x, y)
    params: dict[str, Any] = {
        "hidden_layers": [4], "activation": "sigmoid", "output_activation": "sigmoid", "loss": loss,
        "optimizer": "sgd", "learning_rate": RATE, "batch_size": 2,
    }  # fmt: skip
    return start(task_of("binary"), Splits(split, split, split), TrialSpec(number, params, 3, 1), CPU)


def weights(run: Run) -> tuple[Array, Array, Array, Array]:
    state = {name: tensor.numpy().astype(float) for name, tensor in run.model.state_dict().items()}
    return state["0.weight"], state["0.bias"], state["3.weight"], state["3.bias"]


@pytest.mark.parametrize("loss", ["bce", "mse"])
def test_a_forward_pass_and_a_step_are_those_of_numpy(loss: str) -> None:
    run = run_of(loss)
    output, *expected = step_by_hand(*weights(run), loss)
    found = run.data.units.answer(predict(run.task, run.model, run.train.x, run.params)).sigmoid()
    assert np.abs(found.numpy() - output).max() < NEAR
    train_step(run, torch.tensor([0, 1]), 0)
    stack = Cohort([run_of(loss, number) for number in (1, 2)])
    with torch.no_grad():
        stack.step(next(draw_epoch(stack.runs).batches()), [RATE] * 2)
    for each in stack.runs:
        stack.settle(each)
    for changed in (run, *stack.runs):
        assert max(np.abs(ours - theirs).max() for ours, theirs in zip(weights(changed), expected, strict=True)) < NEAR
