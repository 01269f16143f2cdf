"""Learning-rate schedules as pure functions of the step: the factor by which the base learning rate is multiplied.

A schedule has no state, so any step of any trial can be asked for in any order, alone or in a cohort.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hpo.spec.contract import Known
from hpo.training.vocabulary.choose import choose
from hpo.training.vocabulary.registry import Registry


@dataclass(frozen=True)
class Progress:
    """Where training is. step: optimizer steps taken so far, from 0, over all epochs. history: the validation losses
    of the completed epochs."""

    step: int
    total_steps: int
    steps_per_epoch: int
    history: Sequence[float] = ()

    @property
    def epoch(self) -> int:
        """Epochs completed, from 0."""
        return self.step // self.steps_per_epoch


@dataclass(frozen=True)
class ScheduleChoice:
    """One schedule. changes: when the factor can change, so that a loop asks no oftener than it must. by_length:
    whether the factors depend on how many epochs a trial is to train."""

    name: str
    factor: Callable[[Progress, Mapping[str, Any]], float]
    takes: tuple[str, ...] = ()
    changes: Literal["never", "epoch", "step"] = "step"
    aliases: tuple[str, ...] = ()
    by_length: bool = False


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def constant(at: Progress, values: Mapping[str, Any]) -> float:
    """Always 1."""
    return 1.0


def step(at: Progress, values: Mapping[str, Any]) -> float:
    """Times `step_gamma` every `step_size` epochs; StepLR."""
    return float(values["step_gamma"] ** (at.epoch // values["step_size"]))


def exponential(at: Progress, values: Mapping[str, Any]) -> float:
    """Times `exponential_gamma` every epoch; ExponentialLR."""
    return float(values["exponential_gamma"] ** at.epoch)


def one_cycle(at: Progress, values: Mapping[str, Any]) -> float:
    """Up from 1 / div_factor to 1 and down to 1 / (div_factor * final_div_factor), by cosines (Smith and Topin 2018);
    OneCycleLR with cycle_momentum=False: the momentum stays what the trial says."""
    first = 1 / values["div_factor"]
    last = first / values["final_div_factor"]
    peak = values["pct_start"] * at.total_steps - 1  # not whole, as in PyTorch
    if at.step < peak:
        return _cosine(first, 1.0, at.step / peak)
    end = max(at.total_steps - 1, peak)
    return _cosine(1.0, last, (at.step - peak) / (end - peak)) if end > peak else 1.0


def cosine(at: Progress, values: Mapping[str, Any]) -> float:
    """Down to `eta_min_ratio` along half a cosine, step by step; CosineAnnealingLR with T_max=total_steps."""
    return _cosine(1.0, values["eta_min_ratio"], at.step / at.total_steps)


def cosine_warm_restarts(at: Progress, values: Mapping[str, Any]) -> float:
    """A cosine to `eta_min_ratio` over `t_0` epochs, then again over `t_mult` times as many each time (Loshchilov and
    Hutter 2017, SGDR); CosineAnnealingWarmRestarts, stepped every batch."""
    length, since = values["t_0"], at.step / at.steps_per_epoch
    while since >= length:
        since -= length
        length *= values["t_mult"]
    return _cosine(1.0, values["eta_min_ratio"], since / length)


def reduce_on_plateau(at: Progress, values: Mapping[str, Any]) -> float:
    """Times `plateau_factor` each time the validation loss has not fallen for more than `plateau_patience` epochs;
    ReduceLROnPlateau(threshold=1e-4)."""
    shrink: float = values["plateau_factor"]
    factor, best, waited = 1.0, math.inf, 0
    for loss in at.history:
        improved = loss < best * (1 - 1e-4)
        best, waited = (loss, 0) if improved else (best, waited + 1)
        if waited > values["plateau_patience"]:
            factor, waited = factor * shrink, 0
    return factor


def linear_warmup(at: Progress, values: Mapping[str, Any]) -> float:
    """Up to 1 in equal steps over `warmup_epochs`, then constant; LinearLR with start_factor 1 / (warm-up steps + 1),
    so that the first step is not lost (nanoGPT)."""
    steps: int = round(values["warmup_epochs"] * at.steps_per_epoch)
    return min((at.step + 1) / (steps + 1), 1.0)


SCHEDULES = Registry(
    "schedule",
    "constant",
    [
        ScheduleChoice("constant", constant, changes="never"),
        ScheduleChoice("step", step, ("step_size", "step_gamma"), changes="epoch"),
        ScheduleChoice("exponential", exponential, ("exponential_gamma",), changes="epoch"),
        ScheduleChoice(
            "one_cycle", one_cycle, ("pct_start", "div_factor", "final_div_factor"), aliases=("onecycle",),
            by_length=True,
        ),
        ScheduleChoice("cosine", cosine, ("eta_min_ratio",), by_length=True),
        ScheduleChoice(
            "cosine_warm_restarts", cosine_warm_restarts, ("t_0", "t_mult", "eta_min_ratio"),
            aliases=("warm_restarts", "sgdr"),
        ),
        ScheduleChoice(
            "reduce_on_plateau", reduce_on_plateau, ("plateau_factor", "plateau_patience"), changes="epoch",
            aliases=("plateau",),
        ),
        ScheduleChoice("linear_warmup", linear_warmup, ("warmup_epochs",)),
    ],
    {
        "step_size": Known("int", 10, "epochs between two reductions", within="[1, inf)"),
        "step_gamma": Known("float", 0.1, "factor of each reduction", within="(0, 1]"),
        "exponential_gamma": Known("float", 0.95, "factor of each epoch", within="(0, 1]"),
        "pct_start": Known("float", 0.3, "share of the steps spent going up", within="(0, 1)"),
        "div_factor": Known("float", 25.0, "the peak is this many times the first rate", within="[1, inf)"),
        "final_div_factor": Known("float", 1e4, "the first rate is this many times the last", within="[1, inf)"),
        "eta_min_ratio": Known("float", 0.0, "lowest learning rate as a share of learning_rate", within="[0, 1]"),
        "t_0": Known("int", 5, "epochs of the first cycle", within="[1, inf)"),
        "t_mult": Known("int", 1, "each cycle is this many times as long as the one before", within="[1, inf)"),
        "plateau_factor": Known("float", 0.1, "factor of each reduction", within="(0, 1)"),
        "plateau_patience": Known("int", 10, "epochs without improvement that are waited out", within="[0, inf)"),
        "warmup_epochs": Known("float", 1.0, "epochs until the full learning rate", within="[0, inf)"),
    },
)  # fmt: skip


def make_schedule(params: Mapping[str, Any]) -> tuple[ScheduleChoice, Callable[[Progress], float]]:
    """Return the chosen schedule and its factor as a function of progress alone.

    Raises:
        ValueError: an unknown schedule, or a hyperparameter that it does not take.
    """
    choice, values = choose(SCHEDULES, params)
    return choice, lambda at: choice.factor(at, values)
