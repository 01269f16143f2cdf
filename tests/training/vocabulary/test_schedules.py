from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from hpo.training.vocabulary.schedules import SCHEDULES, Progress, ScheduleChoice, make_schedule

EPOCHS, PER_EPOCH, RATE = 12, 7, 0.4
TOTAL = EPOCHS * PER_EPOCH
LOSSES = [1.0, 0.9, 0.95, 0.9, 0.90001, 0.7, 0.8, 0.75, 0.71, 0.9, 0.2, 0.3]  # two plateaus

Step = Callable[[Any, int], None]


def each_step(scheduler: Any, step: int) -> None:
    scheduler.step()


def each_epoch(scheduler: Any, step: int) -> None:
    if step % PER_EPOCH == 0:
        scheduler.step()


def by_fraction(scheduler: Any, step: int) -> None:
    scheduler.step(step / PER_EPOCH)


def on_losses(scheduler: Any, step: int) -> None:
    if step % PER_EPOCH == 0:
        scheduler.step(LOSSES[step // PER_EPOCH - 1])


# Per schedule: hyperparameters, PyTorch's class with the same ones, and when PyTorch steps it.
CASES: dict[str, list[tuple[Mapping[str, Any], Callable[[torch.optim.Optimizer], Any], Step]]] = {
    "constant": [({}, lambda opt: lr_scheduler.ConstantLR(opt, 1.0), each_step)],
    "step": [
        ({"step_size": 3, "step_gamma": 0.5}, lambda opt: lr_scheduler.StepLR(opt, 3, 0.5), each_epoch),
        ({}, lambda opt: lr_scheduler.StepLR(opt, 10), each_epoch),
    ],
    "exponential": [({"exponential_gamma": 0.8}, lambda opt: lr_scheduler.ExponentialLR(opt, 0.8), each_epoch)],
    "one_cycle": [
        ({}, lambda opt: lr_scheduler.OneCycleLR(opt, RATE, TOTAL, cycle_momentum=False), each_step),
        (
            {"pct_start": 0.45, "div_factor": 5.0, "final_div_factor": 40.0},
            lambda opt: lr_scheduler.OneCycleLR(
                opt, RATE, TOTAL, pct_start=0.45, div_factor=5, final_div_factor=40, cycle_momentum=False
            ),
            each_step,
        ),
        (
            {"pct_start": 0.005},  # no way up at all
            lambda opt: lr_scheduler.OneCycleLR(opt, RATE, TOTAL, pct_start=0.005, cycle_momentum=False),
            each_step,
        ),
    ],
    "cosine": [
        ({"eta_min_ratio": 0.1}, lambda opt: lr_scheduler.CosineAnnealingLR(opt, TOTAL, 0.1 * RATE), each_step),
        ({}, lambda opt: lr_scheduler.CosineAnnealingLR(opt, TOTAL), each_step),
    ],
    "cosine_warm_restarts": [
        (
            {"t_0": 2, "t_mult": 2, "eta_min_ratio": 0.05},
            lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 2, 2, 0.05 * RATE),
            by_fraction,
        ),
        ({"t_0": 3}, lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 3), by_fraction),
    ],
    "reduce_on_plateau": [
        (
            {"plateau_factor": 0.5, "plateau_patience": 1},
            lambda opt: lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1),
            on_losses,
        ),
        (
            {"plateau_patience": 0},
            lambda opt: lr_scheduler.ReduceLROnPlateau(opt, patience=0, eps=0),
            on_losses,
        ),
    ],
    "linear_warmup": [
        (
            {"warmup_epochs": 2},
            lambda opt: lr_scheduler.LinearLR(opt, 1 / (2 * PER_EPOCH + 1), 1.0, 2 * PER_EPOCH),
            each_step,
        ),
        ({"warmup_epochs": 0}, lambda opt: lr_scheduler.ConstantLR(opt, 1.0), each_step),
    ],
}


def factors(params: Mapping[str, Any]) -> list[float]:
    _, factor = make_schedule(params)
    return [factor(Progress(step, TOTAL, PER_EPOCH, LOSSES[: step // PER_EPOCH])) for step in range(TOTAL)]


@pytest.mark.parametrize(
    ("name", "case"), [(choice.name, i) for choice in SCHEDULES for i in range(len(CASES[choice.name]))]
)
def test_agrees_with_torchs_class(name: str, case: int) -> None:
    params, make, advance = CASES[name][case]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = make(optimizer)
    optimizer.step()  # PyTorch warns if a scheduler is stepped before its optimizer
    expected = [optimizer.param_groups[0]["lr"]]
    for step in range(1, TOTAL):
        advance(scheduler, step)
        expected.append(optimizer.param_groups[0]["lr"])
    found = [RATE * factor for factor in factors({"schedule": name, **params})]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("choice", list(SCHEDULES), ids=lambda choice: choice.name)
def test_changes_no_oftener_than_it_says(choice: ScheduleChoice) -> None:
    for params, _, _ in CASES[choice.name]:
        found = factors({"schedule": choice.name, **params})
        changed = {step for step in range(1, TOTAL) if found[step] != found[step - 1]}
        allowed = {"never": set[int](), "epoch": set(range(0, TOTAL, PER_EPOCH)), "step": set(range(TOTAL))}
        assert changed <= allowed[choice.changes]
    if choice.changes != "never":
        assert any(len(set(factors({"schedule": choice.name, **params}))) > 1 for params, _, _ in CASES[choice.name])


@pytest.mark.parametrize("choice", list(SCHEDULES), ids=lambda choice: choice.name)
@pytest.mark.parametrize(("total", "per_epoch"), [(1, 1), (2, 1), (3, 3), (10, 5)])
def test_short_trainings_have_a_rate_above_zero(choice: ScheduleChoice, total: int, per_epoch: int) -> None:
    _, factor = make_schedule({"schedule": choice.name})
    for step in range(total):
        assert 0 < factor(Progress(step, total, per_epoch, [1.0] * (step // per_epoch))) <= 1


def test_parameters_of_one_schedule_require_it() -> None:
    known = SCHEDULES.known()
    assert known["step_size"].requires == {"schedule": ("step",)}
    assert known["eta_min_ratio"].requires == {"schedule": ("cosine", "cosine_warm_restarts")}
    assert all(known[name].requires for name in known if name != "schedule")


def test_another_schedules_parameter_is_an_error() -> None:
    with pytest.raises(ValueError, match="schedule 'cosine' takes eta_min_ratio, but got t_0=3"):
        make_schedule({"schedule": "cosine", "t_0": 3})
