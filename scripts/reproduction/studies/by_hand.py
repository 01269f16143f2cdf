"""forward_numpy: a forward pass and a step of backpropagation by hand, beside the platform's."""

from __future__ import annotations

from typing import Any

import numpy as np

from reproduction.claims import Claim, Verdict
from reproduction.study import Study
from reproduction.writing import Writer

X = np.array([[0.5, -1.2, 0.3], [1.0, 0.4, -0.7]])
Y = np.array([1.0, 0.0])
RATE = 0.5
NEAR = 1e-6  # float32 has seven digits
_LOSSES = ("bce", "mse")
_TENSORS = ("hidden weights", "hidden biases", "output weights", "output bias")


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def step_by_hand(first: Any, first_bias: Any, last: Any, last_bias: Any, loss: str) -> tuple[Any, ...]:
    """Return the outputs [2] of these weights, and the weights after a step of gradient descent along the mean loss.

    first [4, 3], first_bias [4], last [1, 4], last_bias [1].
    """
    hidden = _sigmoid(X @ first.T + first_bias)  # [2, 4]
    output = _sigmoid(hidden @ last.T + last_bias)[:, 0]  # [2]
    of_output = {"bce": output - Y, "mse": 2 * (output - Y) * output * (1 - output)}[loss][:, None] / len(X)
    of_hidden = of_output @ last * hidden * (1 - hidden)
    return (
        output,
        first - RATE * of_hidden.T @ X,
        first_bias - RATE * of_hidden.sum(0),
        last - RATE * of_output.T @ hidden,
        last_bias - RATE * of_output.sum(0),
    )


def _platform(loss: str) -> tuple[Any, list[Any], list[Any]]:
    """Return the platform's outputs, and its weights before and after one training step."""
    import torch

    from hpo.events import TrialSpec
    from hpo.training.evaluation import predict
    from hpo.training.loop import train_step
    from hpo.training.run import start
    from hpo.training.task import Split, Splits
    from objectives.binary import Binary

    split = Split(torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32))
    params: dict[str, Any] = {
        "hidden_layers": [4], "activation": "sigmoid", "output_activation": "sigmoid", "loss": loss,
        "optimizer": "sgd", "learning_rate": RATE, "batch_size": len(X),
    }  # fmt: skip
    run = start(Binary(), Splits(split, split, split), TrialSpec(0, params, 3, 1), torch.device("cpu"))

    def weights() -> list[Any]:
        return [tensor.numpy().astype(float) for tensor in run.model.state_dict().values()]

    before = weights()
    output = run.data.units.answer(predict(run.task, run.model, run.train.x, run.params)).sigmoid().numpy()
    train_step(run, torch.tensor([0, 1]), 0)
    return output, before, weights()


def _write(page: Writer) -> list[Claim]:
    page.text(
        f"""{len(X)} rows of {X.shape[1]} numbers, 4 sigmoid units, 1 sigmoid output: the same weights in the platform's model and in
        NumPy. Compared are the two outputs, and all weights after one step of gradient descent (rate {RATE}) along BCE and along
        MSE. The platform computes in float32, which has seven digits, NumPy in float64."""
    )
    rows: list[list[object]] = []
    furthest = 0.0
    for loss in _LOSSES:
        output, before, after = _platform(loss)
        by_hand, *expected = step_by_hand(*before, loss)
        rows.append([f"{loss}: outputs", _numbers(output), _numbers(by_hand), float(np.abs(output - by_hand).max())])
        for name, ours, theirs in zip(_TENSORS, after, expected, strict=True):
            some = f"{loss}: {name} after a step" + (f" (the first 3 of {ours.size})" if ours.size > 3 else "")
            rows.append([some, _numbers(ours), _numbers(theirs), float(np.abs(ours - theirs).max())])
        furthest = max([furthest, *(float(row[-1]) for row in rows)])  # type: ignore[arg-type]
    page.table(["", "platform", "NumPy", "largest difference of all"], rows)
    return [Claim(
        "a forward pass and a step of backpropagation written in NumPy give what the framework gives",
        Verdict.HOLDS if furthest < NEAR else Verdict.FAILS,
        f"The largest difference is {furthest:.1e}; below {NEAR:g} counts as the same",
    )]  # fmt: skip


def _numbers(values: Any) -> str:
    return ", ".join(f"{value:.6f}" for value in np.ravel(values)[:3])


FORWARD_NUMPY = Study(
    "forward_numpy",
    "By hand in NumPy",
    "does the platform's network compute what a few lines of NumPy do, and learn the same in a step?",
    [],
    _write,
)
