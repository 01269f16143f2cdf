"""What a stack's models are given: rows as the task's `batch` makes them, of all members at once where it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hpo.training.seeding import global_generators
from hpo.training.stack.slot import CannotStack, Ragged
from hpo.training.task import TorchTask

if TYPE_CHECKING:
    from hpo.training.run import Run


def stack_input(runs: Sequence[Run], x: Tensor, training: bool, ragged: Ragged | None, at_once: bool) -> Tensor:
    """Return rows x [K, B, ...] as the models take them.

    at_once: let torch.func make one call of what is one call a member, where members differ in nothing that it reads.
    """
    task, device = runs[0].task, runs[0].device
    if is_plain(task):
        return task.batch(x, {}, None)
    if at_once and ragged is None and (together := all_at_once(runs, x, training)) is not None:
        return together
    # Only a member's own rows, and none if it rests: what it draws depends on how many there are.
    sizes = [x.shape[1]] * len(x) if ragged is None else ragged.sizes
    generators = global_generators(device) if training else []
    states = [generator.get_state() for generator in generators]  # on the host, also a GPU's
    parts: list[Tensor | None] = []
    for part, run, size in zip(x, runs, sizes, strict=True):
        generator = run.streams.noise if training else None
        parts.append(task.batch(part[:size], run.params, generator) if size else None)
    if any(not each.get_state().equal(state) for each, state in zip(generators, states, strict=True)):
        # Alone, the loop seeds it for the trial; here all members would draw from one.
        raise CannotStack(f"{type(task).__name__}.batch draws from PyTorch's global generator")
    longest = max((part for part in parts if part is not None), key=len)
    return torch.stack([_rows_like(part, longest) for part in parts])


def is_plain(task: TorchTask) -> bool:
    """Whether a task's `batch` is the platform's: the same for all members."""
    return getattr(task.batch, "__func__", None) is TorchTask.batch


def all_at_once(runs: Sequence[Run], x: Tensor, training: bool) -> Tensor | None:
    """Return rows x [K, B, ...] as the models take them, by one call of the task's `batch`; None: it takes one a
    member, since it draws, or reads what members have different, or does what torch.func can't.

    torch.func calls it as if with one member's rows, so one that looks at a batch as a whole sees that member's batch.
    """
    task, params, noise = runs[0].task, _Shared([run.params for run in runs]), runs[0].streams.noise
    recording = x.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
    generators = [] if recording or not training else [noise, *global_generators(x.device)]
    states = [generator.get_state() for generator in generators]
    try:
        found: Tensor = torch.vmap(lambda rows: task.batch(rows, params, noise if training else None))(x)
    except (_Differs, RuntimeError):  # RuntimeError: Torch's own, for what it can't vectorise
        found = x.new_empty(0)
    drawn = [not each.get_state().equal(state) for each, state in zip(generators, states, strict=True)]
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    return found if found.shape[:2] == x.shape[:2] and not any(drawn) else None


class _Differs(Exception):
    """Members have different values of a hyperparameter that was read."""


class _Shared(Mapping[str, Any]):
    """The hyperparameters that members have in common. Reading another raises _Differs."""

    def __init__(self, members: Sequence[Mapping[str, Any]]) -> None:
        self._members = members

    def __getitem__(self, name: str) -> Any:
        first = self._members[0]
        if any((name in each) != (name in first) or each.get(name) != first.get(name) for each in self._members):
            raise _Differs(name)
        return first[name]

    def __contains__(self, name: object) -> bool:
        if len({name in each for each in self._members}) > 1:
            raise _Differs(name)
        return name in self._members[0]

    def __iter__(self) -> Iterator[str]:
        raise _Differs("all of them")

    def __len__(self) -> int:
        raise _Differs("all of them")


def _rows_like(part: Tensor | None, longest: Tensor) -> Tensor:
    """Return a member's rows, filled up to as many as the longest has."""
    if part is None:
        return torch.zeros_like(longest)
    missing = len(longest) - len(part)
    return part if not missing else torch.cat([part, part.new_zeros(missing, *part.shape[1:])])
