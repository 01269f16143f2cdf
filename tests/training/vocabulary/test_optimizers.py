from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

from hpo.training.vocabulary.optimizers import (
    OPTIMIZER_PARAMETERS,
    OPTIMIZERS,
    OptimizerChoice,
    make_optimizer,
    optimizer_defaults,
)

TORCH_ARGUMENT = {"learning_rate": "lr", "beta1": "betas", "beta2": "betas"}
VALUES: dict[str, Any] = {
    "learning_rate": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.03, "beta1": 0.8, "beta2": 0.95,
    "eps": 1e-5, "alpha": 0.9,
}  # fmt: skip
ALL = pytest.mark.parametrize("choice", list(OPTIMIZERS), ids=lambda choice: choice.name)


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(3))]


@ALL
def test_takes_is_what_the_torch_class_accepts(choice: OptimizerChoice) -> None:
    accepted = inspect.signature(getattr(torch.optim, choice.torch_name)).parameters
    expected = {name for name in OPTIMIZER_PARAMETERS if TORCH_ARGUMENT.get(name, name) in accepted}
    assert set(choice.takes) == expected


@ALL
def test_every_given_value_reaches_torch(choice: OptimizerChoice) -> None:
    optimizer = make_optimizer({"optimizer": choice.name} | {name: VALUES[name] for name in choice.takes}, weights())
    assert type(optimizer) is getattr(torch.optim, choice.torch_name)
    group = optimizer.param_groups[0]
    group["beta1"], group["beta2"] = group.get("betas", (None, None))
    assert {name: group[TORCH_ARGUMENT[name] if name == "learning_rate" else name] for name in choice.takes} == {
        name: VALUES[name] for name in choice.takes
    }


@ALL
def test_absent_hyperparameters_are_torchs_defaults(choice: OptimizerChoice) -> None:
    ours = make_optimizer({"optimizer": choice.name}, weights())
    assert ours.defaults == getattr(torch.optim, choice.torch_name)(weights(), lr=1e-3).defaults


@ALL
def test_a_hyperparameter_it_does_not_take_is_an_error(choice: OptimizerChoice) -> None:
    for name in set(VALUES) - set(choice.takes):
        with pytest.raises(ValueError, match=f"optimizer '{choice.name}' takes .*, but got {name}="):
            make_optimizer({"optimizer": choice.name, name: VALUES[name]}, weights())


def test_nesterov_without_momentum_is_plain_sgd() -> None:
    group = make_optimizer({"optimizer": "sgd", "nesterov": True}, weights()).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0, False)


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
        assert known[name].default is None or known[name].objection(known[name].default) == ""


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_defaults_are_those_of_the_optimizer_that_would_be_made(name: str) -> None:
    for params in ({}, {"weight_decay": 0.1, "learning_rate": 0.5}):
        params |= {"optimizer": name}
        made = make_optimizer(params, [torch.nn.Parameter(torch.zeros(1))])
        assert {key: made.defaults[key] for key in optimizer_defaults(params)} == optimizer_defaults(params)
