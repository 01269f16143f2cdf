"""Every optimizer with every loss, activation and schedule of each kind: training must get somewhere."""

from __future__ import annotations

import itertools

import pytest

from hpo.events import Diverged, TrialSpec
from hpo.training.activations import ACTIVATIONS
from hpo.training.loop import start, train_epoch
from hpo.training.losses import LOSSES
from hpo.training.optimizers import OPTIMIZERS
from hpo.training.schedules import SCHEDULES
from hpo.training.task import Kind

from .tiny import CPU, KINDS, events_of, splits_of, task_of

# Large enough for one full-batch step to be seen, small enough not to overshoot; 1 is Adadelta's own default.
LEARNING_RATES = {"adadelta": 1.0, "sgd": 0.01}
# Periods so short that each schedule acts within two epochs.
SHORT = {"step_size": 1, "t_0": 1, "plateau_patience": 0}


@pytest.mark.parametrize(
    ("kind", "loss", "optimizer"),
    [(kind, loss, opt) for kind in KINDS for loss in LOSSES[kind].names() for opt in OPTIMIZERS.names()],
)
def test_training_loss_falls(kind: Kind, loss: str, optimizer: str) -> None:
    task, splits = task_of(kind), splits_of(kind)
    wrong = []
    for activation, schedule in itertools.product(ACTIVATIONS.names(), SCHEDULES):
        params = {
            "optimizer": optimizer,
            "loss": loss,
            "activation": activation,
            "schedule": schedule.name,
            "learning_rate": LEARNING_RATES.get(optimizer, 0.003),
            "hidden_layers": [8],
            "batch_size": len(splits.train),  # one step an epoch, so that the loss of the same rows is compared
        } | {name: value for name, value in SHORT.items() if name in schedule.takes}
        run = start(task, splits, TrialSpec(0, params, 1, 2), CPU)
        first = train_epoch(run, 1)["train_loss"]  # of the first weights: taken before the only step
        run.validation_losses.append(first)  # for the plateau schedule; measuring would double the time
        second = train_epoch(run, 2)["train_loss"]
        if not second < first:
            wrong.append((activation, schedule.name, first, second))
    assert wrong == []


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS.names() if name != "adagrad"])
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_an_absurd_learning_rate_diverges(optimizer: str, loss: str) -> None:
    params = {"optimizer": optimizer, "loss": loss, "learning_rate": 1e30, "hidden_layers": [8], "batch_size": 8}
    *reports, end = events_of(task_of("regression"), splits_of("regression"), params, epochs=3)
    assert end == Diverged(7, len(reports) + 1)
