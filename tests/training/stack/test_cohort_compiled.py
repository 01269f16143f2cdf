"""torch.compile changes the speed of a stack, not its numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpo.training.run import start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.stack.compiled import compiled

from ..tiny import CPU, TOLERANCE, alone, assert_same, splits_of, task_of, trials_of

PARAMS: list[dict[str, Any]] = [
    {"hidden_layers": [6], "batch_size": 16, "activation": activation, "optimizer": optimizer, "loss": loss}
    for activation, optimizer, loss in (("relu", "adam", "bce"), ("tanh", "sgd", "focal"), ("tanh", "adam", "bce"))
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_a_compiled_stack_gives_the_numbers_of_the_plain_loop(capsys: pytest.CaptureFixture[str]) -> None:
    """Also after a member has left, and in the ragged last batch, which are not compiled."""
    task, splits = task_of("binary"), splits_of("binary", 32)
    trials = trials_of(PARAMS, epochs=[3, 1, 3])
    runs = [start(task, splits, trial, CPU) for trial in trials]
    models = {run.trial.number: run.model for run in runs}
    cohort = Cohort(runs, compile=True)
    events: dict[int, list[Any]] = {trial.number: [] for trial in trials}
    for batch in train_cohort(cohort, clock=lambda: 0.0):
        for event in batch:
            events[event.number].append(event)
    for trial in trials:
        found = events[trial.number], models[trial.number].state_dict()
        assert_same(found, alone(task, splits, trial), TOLERANCE[torch.float32])
    if "torch.compile failed" in (said := capsys.readouterr().err):
        pytest.skip(f"no compiler that works here: {said[:300]}")  # in a folder whose name has a space, say


def test_what_can_not_be_compiled_goes_on_without(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(function: Any, **options: Any) -> Any:
        def raises(*arguments: Any) -> Any:
            raise RuntimeError("no C++ compiler")

        return raises

    monkeypatch.setattr(torch, "compile", broken)
    double = compiled(lambda x: 2 * x)
    assert [double(3), double(4)] == [6, 8]
    assert capsys.readouterr().err.count("no C++ compiler") == 1
