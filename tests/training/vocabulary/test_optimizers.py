from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.training.contract import contract_of, with_defaults
from hpo.training.vocabulary.by_update import ByUpdate
from hpo.training.vocabulary.hyper import Hyper
from hpo.training.vocabulary.optimizers import (
    OPTIMIZER_PARAMETERS,
    OPTIMIZERS,
    OptimizerChoice,
    make_optimizer,
    optimizer_defaults,
)
from hpo.training.vocabulary.registry import Registry

from ..tiny import task_of

TORCH_ARGUMENT = {"learning_rate": "lr", "beta1": "betas", "beta2": "betas"}
VALUES: dict[str, Any] = {
    "learning_rate": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.03, "beta1": 0.8, "beta2": 0.95,
    "eps": 1e-5, "alpha": 0.9,
}  # fmt: skip
ALL = pytest.mark.parametrize("choice", list(OPTIMIZERS), ids=lambda choice: choice.name)
OF_TORCH = pytest.mark.parametrize(
    "choice", [choice for choice in OPTIMIZERS if choice.torch_name], ids=lambda choice: choice.name
)
OWN = pytest.mark.parametrize(
    "choice", [choice for choice in OPTIMIZERS if not choice.torch_name], ids=lambda choice: choice.name
)


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3))]


def class_of(choice: OptimizerChoice) -> Any:
    return getattr(torch.optim, choice.torch_name or "")


@OF_TORCH
def test_takes_is_what_the_torch_class_accepts(choice: OptimizerChoice) -> None:
    accepted = inspect.signature(class_of(choice)).parameters
    expected = {name for name in OPTIMIZER_PARAMETERS if TORCH_ARGUMENT.get(name, name) in accepted}
    assert set(choice.takes) == expected


class Reading(Hyper):
    """Notes which hyperparameters an update reads."""

    def __init__(self, defaults: list[dict[str, Any]], flat: Tensor) -> None:
        super().__init__(defaults, flat)
        self.read: set[str] = set()

    def values(self, name: str) -> list[float]:
        self.read.add(name)
        return super().values(name)


@OWN
def test_takes_is_what_an_update_reads(choice: OptimizerChoice) -> None:
    """Of an optimizer that torch.optim lacks."""
    params = {"optimizer": choice.name} | {name: VALUES[name] for name in choice.takes}
    hyper = Reading([optimizer_defaults(params)], torch.ones(1, 3))
    hyper.steps = [1]
    assert choice.update is not None
    choice.update(torch.ones(1, 3), torch.ones(1, 3), hyper)
    assert {"learning_rate", *hyper.read} == set(choice.takes)
    for name in choice.takes:  # there is no class whose default an absent one could mean
        assert OPTIMIZERS.known()[name].default_beside({"optimizer": choice.name}) is not None


@ALL
def test_every_given_value_reaches_the_optimizer(choice: OptimizerChoice) -> None:
    optimizer = make_optimizer({"optimizer": choice.name} | {name: VALUES[name] for name in choice.takes}, weights())
    assert type(optimizer).__base__ is (class_of(choice) if choice.torch_name else ByUpdate)
    group = optimizer.param_groups[0]
    group["beta1"], group["beta2"] = group.get("betas", (None, None))
    assert {name: group[TORCH_ARGUMENT[name] if name == "learning_rate" else name] for name in choice.takes} == {
        name: VALUES[name] for name in choice.takes
    }


@OF_TORCH
def test_absent_hyperparameters_are_torchs_defaults(choice: OptimizerChoice) -> None:
    ours = make_optimizer({"optimizer": choice.name}, weights())
    assert ours.defaults == class_of(choice)(weights(), lr=1e-3).defaults


@ALL
@pytest.mark.parametrize("given", [{}, {"learning_rate": 0.5}])
def test_a_trials_defaults_are_the_optimizers(choice: OptimizerChoice, given: dict[str, Any]) -> None:
    """What the contract fills in changes nothing: `hpo check`, the documentation and the training say the same."""
    params = {"optimizer": choice.name, **given}
    filled_in = with_defaults(contract_of(task_of("binary")), params)
    of_optimizer = {name: filled_in[name] for name in ("optimizer", *choice.takes)}
    assert optimizer_defaults(of_optimizer) == optimizer_defaults(params)
    for name, value in choice.defaults.items():
        assert filled_in[name] == value


@ALL
def test_a_hyperparameter_it_does_not_take_is_an_error(choice: OptimizerChoice) -> None:
    for name in set(VALUES) - set(choice.takes):
        with pytest.raises(ValueError, match=f"optimizer '{choice.name}' takes .*, but got {name}="):
            make_optimizer({"optimizer": choice.name, name: VALUES[name]}, weights())


def test_nesterov_without_momentum_is_plain_sgd() -> None:
    group = make_optimizer({"optimizer": "sgd", "nesterov": True}, weights()).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0, False)


def test_a_default_for_what_it_does_not_take_is_an_error() -> None:
    choice = OptimizerChoice("still", None, ("learning_rate",), None, defaults={"momentum": 0.5})
    described = {"learning_rate": OPTIMIZER_PARAMETERS["learning_rate"]}
    with pytest.raises(ValueError, match=r"optimizer 'still': a default for \['momentum'\], which it does not take"):
        Registry("optimizer", "still", [choice], described, defaults=lambda choice: choice.defaults)


def paper_lion(weights: Tensor, gradients: Sequence[Tensor], lr: float, b1: float, b2: float, decay: float) -> Tensor:
    """Algorithm 2 of arXiv 2302.06675, number by number."""
    theta, m = weights.tolist(), [0.0] * len(weights)
    for gradient in gradients:
        for i, g in enumerate(gradient.tolist()):
            c = b1 * m[i] + (1 - b1) * g
            sign = (c > 0) - (c < 0)
            theta[i] = theta[i] - lr * (sign + decay * theta[i])
            m[i] = b2 * m[i] + (1 - b2) * g
    return torch.tensor(theta, dtype=weights.dtype)


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        ({}, (1e-3, 0.9, 0.99, 0.0)),
        ({"learning_rate": 0.02, "beta1": 0.5, "beta2": 0.8, "weight_decay": 0.3}, (0.02, 0.5, 0.8, 0.3)),
    ],
    ids=["defaults", "others"],
)
def test_lion_is_that_of_its_paper(given: dict[str, float], numbers: tuple[float, float, float, float]) -> None:
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(6, generator=generator, dtype=torch.float64)
    gradients = [torch.randn(6, generator=generator, dtype=torch.float64) for _ in range(20)]
    gradients[0][2] = 0.0
    parameters = [nn.Parameter(start[:4].clone().view(2, 2).T), nn.Parameter(start[4:].clone())]  # one not in one piece
    optimizer = make_optimizer({"optimizer": "lion", **given}, parameters)
    for gradient in gradients:
        parameters[0].grad, parameters[1].grad = gradient[:4].view(2, 2).T, gradient[4:]
        optimizer.step()
    found = torch.cat([parameters[0].detach().T.flatten(), parameters[1].detach()])
    torch.testing.assert_close(found, paper_lion(start, gradients, *numbers), rtol=1e-12, atol=1e-14)


def test_one_beta_alone() -> None:
    assert make_optimizer({"optimizer": "adam", "beta1": 0.5}, weights()).defaults["betas"] == (0.5, 0.999)


def test_unknown_optimizer_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean 'adamw'"):
        make_optimizer({"optimizer": "adamww"}, weights())


@ALL
def test_contract_values_are_allowed_values(choice: OptimizerChoice) -> None:
    known = OPTIMIZERS.known()
    for name in choice.takes:
        assert known[name].objection(VALUES[name]) == ""
        default = known[name].default_beside({"optimizer": choice.name})
        assert default is None or known[name].objection(default) == ""


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_defaults_are_those_of_the_optimizer_that_would_be_made(name: str) -> None:
    for params in ({}, {"weight_decay": 0.1, "learning_rate": 0.5}):
        params |= {"optimizer": name}
        made = make_optimizer(params, [torch.nn.Parameter(torch.zeros(1))])
        assert {key: made.defaults[key] for key in optimizer_defaults(params)} == optimizer_defaults(params)
