"""A stack's members as checkpoints have them: with the models and the optimizers that they would have alone.

So a checkpoint does not show whether its trial trained in a stack, and goes on in any: alone, in another stack, among
members of other ages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.vocabulary.optimizers import make_optimizer, optimizer_state

if TYPE_CHECKING:
    from hpo.training.run import Run
    from hpo.training.stack.model import StackedModel
    from hpo.training.stack.optimizer import StackedOptimizer
    from hpo.training.vocabulary.hyper import Hyper


def take_over(runs: Sequence[Run], model: StackedModel, optimizer: StackedOptimizer) -> None:
    """Give a new stack's optimizer what those of the runs hold that have trained before; it is theirs no more.

    runs: in the order of the stack.
    """
    for row, run in enumerate(runs):
        if run.completed:
            _take_over(run, row, model, optimizer)
        run.drop_optimizer()


def _take_over(run: Run, row: int, model: StackedModel, optimizer: StackedOptimizer) -> None:
    hyper, place = optimizer.member(row)
    hyper.steps[place] = run.completed * run.steps_per_epoch
    parameters = dict(run.model.named_parameters())
    names = {name: example for name, example in optimizer_state(run.params, model.flat).items() if name != "step"}
    for columns in model.columns():
        if columns.path not in parameters:  # the slope of another member's activation
            continue
        kept = run.optimizer.state[parameters[columns.path]]
        for name, example in names.items():
            if example.dim():
                hyper.moment(name)[place, columns.where] = columns.slot.held(columns.name, kept[name]).flatten()
            else:
                hyper.number(name)[place] = kept[name]


def state_of(run: Run, row: int, model: StackedModel, optimizer: StackedOptimizer) -> dict[str, Any]:
    """Return the state_dicts of the `model` and `optimizer` that the member in a row of a stack would have alone."""
    model.write_back({row: run.model})
    hyper, place = optimizer.member(row)
    positions = {path: position for position, (path, _) in enumerate(run.model.named_parameters())}
    examples = optimizer_state(run.params, model.flat)
    state: dict[int, dict[str, Tensor]] = {}
    for columns in model.columns():
        if columns.path not in positions or not examples:  # nothing is kept by sgd without momentum
            continue
        shape = columns.slot.trained[columns.name].shape[1:]
        entries = state[positions[columns.path]] = {}
        for name, example in examples.items():
            if name == "step":
                entries[name] = torch.full_like(example, hyper.steps[place])
            elif example.dim():
                numbers = hyper.state[name][place, columns.where].view(shape)
                # A copy: of a view the whole stack would be saved.
                entries[name] = columns.slot.plain(columns.name, numbers).clone(memory_format=torch.contiguous_format)
            else:
                entries[name] = hyper.state[name][place, 0].clone()
    return {"model": run.model.state_dict(), "optimizer": {"state": state, "param_groups": _groups(run, hyper, place)}}


def _groups(run: Run, hyper: Hyper, place: int) -> list[Mapping[str, Any]]:
    groups: list[Mapping[str, Any]] = make_optimizer(run.params, run.model.parameters()).state_dict()["param_groups"]
    return [{**group, "lr": hyper.learning_rates[place]} for group in groups]
