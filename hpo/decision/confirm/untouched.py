"""The test rows of a Torch task, as the confirming command has them: workers never see their targets."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.decision.confirm.measuring import HeldOut, Loss, refuse_undefined, split_of
from hpo.events import TrialSpec
from hpo.objective.build import build, named_of
from hpo.objective.references import digest_of
from hpo.objective.rows import given_splits
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from torch import Tensor

    from hpo.training.task import Splits, TorchTask


@dataclass(frozen=True)
class UntouchedRows:
    """A task, its rows and the test split's targets. metric: without its prefix. data: the digest of the training and
    validation rows, as the search had them cut."""

    task: TorchTask
    splits: Splits
    split: HeldOut
    metric: str
    data: str

    def loss_of(self, params: Mapping[str, Any], epochs: int | None) -> Loss | None:
        """Return what gives the loss of each test row, as a configuration has it; None if the metric is no loss."""
        if self.metric != "loss":
            return None
        import torch

        from hpo.training.run import start

        run = start(self.task, self.splits, TrialSpec(0, params, 0, epochs), torch.device("cpu"))
        choice, bound = run.loss_choice
        targets = run.data.units.forward(self.splits.test.y)

        def loss(outputs: Tensor) -> Tensor:
            return choice.function(outputs, targets, **bound)

        return loss


def untouched_rows(sweep: Sweep) -> UntouchedRows | None:
    """Return the test rows of a study's task; None of an objective that is no Torch task, or has no test rows.

    Raises what loading the data raises, and UserError if the metric is not defined on the test rows.
    """
    with redirect_stdout(sys.stderr):  # what the objective prints is no answer
        objective = build(named_of(sweep))
        from hpo.objective.torch_task import TorchObjective

        if not isinstance(objective, TorchObjective):
            return None
        splits = given_splits(objective.task, sweep.data)
    if not len(splits.test):
        return None
    metric, kind = sweep.metric.name.partition("_")[2], objective.task.kind
    data = digest_of(objective.rows.each() if objective.folds > 1 else [splits], kind)
    split = split_of(kind, splits)
    refuse_undefined(metric, split, splits.outputs)
    return UntouchedRows(objective.task, splits, split, metric, data)
