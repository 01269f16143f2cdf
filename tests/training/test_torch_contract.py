from __future__ import annotations

import subprocess
import sys

import pytest

from hpo.events import TrialSpec
from hpo.spec.contract import Known
from hpo.training.contract import contract_of, with_defaults
from hpo.training.loop import validate
from hpo.training.models import MODEL_PARAMETERS
from hpo.training.run import start
from hpo.training.task import Kind, TorchTask
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.output_activations import known_output_activation

from .tiny import CPU, KINDS, splits_of, task_of


def test_needs_no_torch() -> None:
    code = (
        "import sys; from hpo.training.contract import contract_of; from hpo.training.task import TorchTask;"
        "from hpo.objective.torch_task import TorchObjective;"
        "TorchObjective(type('T', (TorchTask,), {'kind': 'regression'})(), {}).contract;"
        "print([name for name in ('torch._C', 'numpy._core', 'pandas._libs', 'sklearn.base') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_covers_the_vocabulary(kind: Kind) -> None:
    contract = contract_of(task_of(kind))
    wanted = {"optimizer", "learning_rate", "loss", "activation", "schedule", "initializer", "batch_size", "epochs"}
    wanted |= {"grad_clip_norm", "grad_clip_value", "seed", *MODEL_PARAMETERS, *LOSSES[kind].known()}
    assert wanted <= set(contract.parameters)
    assert ("target_transform" in contract.parameters) == ("outliers" in contract.parameters) == (kind == "regression")
    assert contract.aliases["activation"]["swish"] == "silu"
    assert contract.default_epochs == 20
    assert contract.parameters["momentum"].requires == {"optimizer": ("sgd", "rmsprop")}


@pytest.mark.parametrize("kind", KINDS)
def test_requirements_name_hyperparameters_of_the_contract(kind: Kind) -> None:
    parameters = contract_of(task_of(kind)).parameters
    for known in parameters.values():
        for other, values in known.requires.items():
            assert all(parameters[other].objection(value) == "" for value in values)
        assert known.help


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_loss_is_incomparable_between_losses(kind: Kind) -> None:
    metrics = contract_of(task_of(kind)).metrics
    assert {name for name, known in metrics.items() if "loss" in known.varies_with} == {"train_loss", "val_loss"}
    assert metrics["val_loss"].varies_with >= set(LOSSES[kind].known()) - {"output_activation"}
    measured = {name for name, known in metrics.items() if name.startswith("val_") and known.varies_with}
    assert measured == {"val_loss"}


def test_probabilities_are_measured_where_the_contract_says_so() -> None:
    metrics = contract_of(task_of("binary")).metrics
    with_none = metrics["val_brier"].absent_with
    assert metrics["train_calibration_error"].absent_with == with_none
    assert not any(metrics[name].absent_with for name in metrics if not name.endswith(("brier", "calibration_error")))
    for loss in LOSSES["binary"]:
        for activation in known_output_activation("binary").choices if loss.link else ("default",):
            params = {"loss": loss.name, "output_activation": activation} if loss.link else {"loss": loss.name}
            absent = loss.name in with_none["loss"] or activation in with_none["output_activation"]
            run = start(task_of("binary"), splits_of("binary"), TrialSpec(0, params, 1, 1), CPU)
            reported = validate(run)
            assert (absent, absent) == tuple(f"val_{name}" not in reported for name in ("brier", "calibration_error"))
            assert {"val_roc_auc", "val_average_precision"} <= reported.keys()


def test_a_task_overrides_extends_and_drops() -> None:
    own = {
        "width": Known("int", 8, "filters", within="[1, inf)"),
        "batch_size": Known("int", 128, "pictures a step", within="[1, inf)"),
        "epochs": Known("int", 3, "passes", within="[1, inf)"),
        "hidden_layers": None,
    }
    contract = contract_of(task_of("binary", parameters=own))
    assert contract.parameters["batch_size"].default == 128 and contract.default_epochs == 3
    assert "width" in contract.parameters
    assert not {"hidden_layers", "hidden_units", "residual"} & set(contract.parameters)


def test_dropping_what_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"TinyTask\.parameters drops 'dropuot' .*did you mean 'dropout'"):
        contract_of(task_of("binary", parameters={"dropuot": None}))


def test_defaults_are_filled_in_where_they_mean_something() -> None:
    contract = contract_of(task_of("binary"))
    complete = with_defaults(contract, {"optimizer": "sgd", "activation": "swish"})
    assert (complete["momentum"], complete["activation"], complete["loss"]) == (0.0, "silu", "bce")
    assert not {"beta1", "focal_gamma", "hidden_units", "step_size"} & complete.keys()
    assert with_defaults(contract, {"hidden_layers": 2})["hidden_units"] == 64
    assert "momentum" not in with_defaults(contract, {})


def test_a_circle_of_requirements_is_an_error() -> None:
    own = {
        "chicken": Known("float", 1.0, requires={"egg": (1.0,)}),
        "egg": Known("float", 1.0, requires={"chicken": (1.0,)}),
    }
    with pytest.raises(ValueError, match="circle: chicken, egg"):
        with_defaults(contract_of(task_of("binary", parameters=own)), {})


def test_two_tasks_of_one_class_may_differ_in_kind() -> None:
    class Either(TorchTask):
        def __init__(self, kind: Kind) -> None:
            self.kind = kind  # type: ignore[misc]

    for kind in (*KINDS, *KINDS):
        assert contract_of(Either(kind)).parameters["loss"].default == LOSSES[kind].default


@pytest.mark.parametrize("known", [Known("choice", "exp", choices=("exp", "linear")), Known("float", 1.0)])
def test_a_name_that_the_platform_applies_means_what_the_platform_means(known: Known) -> None:
    """Else it would be applied twice, by the task's model and by the training loop."""
    with pytest.raises(ValueError, match="describes 'output_activation' otherwise than the platform"):
        contract_of(task_of("regression", parameters={"output_activation": known}))
    with pytest.raises(ValueError, match="describes 'init_scale' otherwise"):
        contract_of(task_of("binary", parameters={"init_scale": Known("float", None, nullable=True)}))
    narrowed = {"output_activation": Known("choice", "linear", choices=("linear", "relu"))}
    assert contract_of(task_of("regression", parameters=narrowed)).parameters["output_activation"].default == "linear"
