"""The learning rates of a stack's members over an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpo.training.run import Run


def rates_of_epoch(runs: Sequence[Run]) -> NDArray[np.float64]:
    """Return each run's learning rate at each step of the epoch after those that it has completed, [steps, K]. A run
    with fewer steps keeps its last one."""
    steps = max(run.steps_per_epoch for run in runs)
    begins = [run.completed * run.steps_per_epoch for run in runs]
    rates = np.array([[run.rate(begin) for run, begin in zip(runs, begins, strict=True)]]).repeat(steps, axis=0)
    for row, (run, begin) in enumerate(zip(runs, begins, strict=True)):
        if run.rates.schedule.changes == "step":
            rates[:, row] = [run.rate(begin + min(step, run.steps_per_epoch - 1)) for step in range(steps)]
    return rates
