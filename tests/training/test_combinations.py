"""Every optimizer with every loss and activation of each kind, and with every schedule: training must get somewhere."""

from __future__ import annotations

import itertools
import math

import pytest

from hpo.events import Diverged, TrialSpec
from hpo.training.run import start
from hpo.training.stack.cohort import Cohort
from hpo.training.task import Kind
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.losses import LOSSES
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES

from .tiny import CPU, KINDS, events_of, splits_of, task_of

pytestmark = pytest.mark.slow

# Large enough for one full-batch step to be seen, small enough not to overshoot; 1 is Adadelta's own default.
LEARNING_RATES = {"adadelta": 1.0, "sgd": 0.01}
# Periods so short that each schedule acts within two epochs.
SHORT = {"step_size": 1, "t_0": 1, "plateau_patience": 0}


@pytest.mark.parametrize(("kind", "loss"), [(kind, loss) for kind in KINDS for loss in LOSSES[kind].names()])
def test_training_loss_falls(kind: Kind, loss: str) -> None:
    """All in one stack, which gives the numbers of the plain loop (test_cohort_equality.py) in a tenth of its time."""
    task, splits = task_of(kind), splits_of(kind)
    trials = []
    # A schedule knows the step alone (and validation losses): with one loss of a kind it has been seen with all.
    schedules = list(SCHEDULES) if loss == LOSSES[kind].default else [SCHEDULES[SCHEDULES.default]]
    choices = itertools.product(OPTIMIZERS.names(), ACTIVATIONS.names(), schedules)
    for number, (optimizer, activation, schedule) in enumerate(choices):
        params = {
            "optimizer": optimizer,
            "loss": loss,
            "activation": activation,
            "schedule": schedule.name,
            "learning_rate": LEARNING_RATES.get(optimizer, 0.003),
            "hidden_layers": [8],
            "batch_size": len(splits.train),  # one step an epoch, so that the loss of the same rows is compared
        } | {name: value for name, value in SHORT.items() if name in schedule.takes}
        trials.append(TrialSpec(number, params, 1, 2))
    cohort = Cohort([start(task, splits, trial, CPU) for trial in trials])
    first = _losses(cohort)  # of the first weights: taken before the only step
    for run, value in zip(cohort.runs, first, strict=True):
        run.validation_losses.append(value)  # for the plateau schedule
    rows = zip(cohort.runs, first, _losses(cohort), strict=True)
    assert [(run.params, before, after) for run, before, after in rows if not after < before] == []


def _losses(cohort: Cohort) -> list[float]:
    return [math.inf if metrics is None else metrics["train_loss"] for metrics in cohort.train_epoch()]


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS.names() if name != "adagrad"])
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_an_absurd_learning_rate_diverges(optimizer: str, loss: str) -> None:
    params = {"optimizer": optimizer, "loss": loss, "learning_rate": 1e30, "hidden_layers": [8], "batch_size": 8}
    *reports, end = events_of(task_of("regression"), splits_of("regression"), params, epochs=3)
    assert end == Diverged(7, len(reports) + 1)
