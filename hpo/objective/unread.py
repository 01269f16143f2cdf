"""Hyperparameters that a Torch task never reads, found before its first trial: to search them would be wasted.

A task gets hyperparameters by `model` and `batch` only. Models are made of a few configurations, by a mapping that
notes its reads. A hyperparameter counts as never read when none of them led to it, in time, and the task's code has
neither its name nor a text that may be a part of it. Code that has its name may read it yet: for rows of another kind,
by chance, on a GPU, or beside values that this sweep does not have. Then it is told, and only where each combination of
the values on which reading depends was tried, nobody kept the mapping for later, and nothing was drawn by chance.

One that decides whether another is there (`when`, or as the contract has it) has its effect by that, if the other is
read.

Who takes all at once (`Net(**params)`, `dict(params)`) may still read them all. Then models are compared that differ in
one hyperparameter only: by their layers, their weights and what they say of a few rows.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hpo.events import Unread
from hpo.lazy import lazy_import
from hpo.objective.code_text import Words
from hpo.objective.failures import RAISED
from hpo.objective.sources import words_of
from hpo.objective.standing_for import standing_for
from hpo.objective.tracked import Reads, TrackedParams
from hpo.spec.conditions import identity_of, same
from hpo.spec.contract import Contract, Known
from hpo.spec.space import Constant, Space
from hpo.training.contract import applied_by_platform, contract_of, with_defaults
from hpo.training.device import pick_device
from hpo.training.seeding import global_seed, streams
from hpo.training.task import Splits, TorchTask

if TYPE_CHECKING:
    import torch

    from hpo.spec.named import Named
else:
    torch = lazy_import("torch")

_SECONDS = 2.0  # after which no further configuration is tried
_MOST_ROWS = 32
_COMPARED = 8  # configurations in which a hyperparameter that may be read gets another value


def unread_of(task: TorchTask, splits: Splits, named: Named) -> Unread | None:
    """Return what a task does not read of the hyperparameters in `named.space`; None: nothing is known to be so.

    splits: on the device that trains. What `model` and `batch` raise is left to the trials, which raise it, too.
    """
    space, contract = named.space, contract_of(task)
    if space is None:
        return None
    names = [name for name in space.names() if name in contract.parameters.keys() - applied_by_platform(task.kind)]
    code = _Code(named)
    search = _Search(_Trying(task, splits, contract, named.epochs), space, contract, code, set(names))
    search.run()
    if not search.left or not search.tried:
        return None
    own = frozenset(search.left & task.parameters.keys())
    ordered = tuple(name for name in names if name in search.left)
    who = type(task).__name__
    if search.copied:
        useless = tuple(name for name in ordered if not search.has_effect(name))
        return Unread(who, without_effect=useless, own=own) if useless else None
    certain = tuple(name for name in ordered if search.in_time and code.is_seen and not code.says(name))
    unseen = tuple(name for name in ordered if name not in certain and (search.whole or not code.says(name)))
    return Unread(who, certain, unseen, own=own) if certain or unseen else None


class _Code:
    """A task's code, which is looked at only where it is asked for."""

    def __init__(self, named: Named) -> None:
        self._named = named

    @cached_property
    def _words(self) -> Words | None:
        return words_of(self._named)

    @property
    def is_seen(self) -> bool:
        """Whether all of it can be looked at."""
        return self._words is not None

    def says(self, name: str) -> bool:
        """Whether it may look up a hyperparameter by its name, as far as it can be looked at."""
        return self._words is not None and self._words.may_say(name)


@dataclass
class _Search:
    """Looks for configurations in which a task reads what it has not read yet.

    left: what it has not read. tried: the configurations of which it made a model. whole: nothing else can be read.
    in_time: as many were tried as were to be. copied: it takes all hyperparameters at once.
    """

    trying: _Trying
    space: Space
    contract: Contract
    code: _Code
    left: set[str]
    tried: list[Mapping[str, Any]] = field(default_factory=list)
    whole: bool = True
    in_time: bool = True
    copied: bool = False
    _known: set[str] = field(default_factory=set)
    _rng: random.Random = field(default_factory=lambda: random.Random(0))
    _until: float = field(default_factory=lambda: time.monotonic() + _SECONDS)

    def run(self) -> None:
        """Look, until all is read, all is tried, or time is up."""
        covered: set[str] = set()
        read: set[str] = set()
        counted = True
        while self.left:
            configurations, counted = standing_for(self.space, covered, self._rng, 64 if covered else 1)
            if not counted and all(map(self.code.says, self.left)):
                break  # nothing would come of it, and large models cost time and memory
            for params in configurations:
                if not self._try(params, read):
                    break
            needed = self._depends(read | {each for name in self.left for each in self._conditions(name)})
            if not counted or self.copied or not self.whole or needed <= covered:
                break
            covered |= needed
        self.whole &= counted and not self.trying.uncertain
        if not self.copied:  # of what was active nowhere nothing is known
            self.left &= {name for params in self.tried for name in params}
        self._excuse()

    def _excuse(self) -> None:
        """Take out what says whether another one is there that is read: it has its effect by that."""
        while True:
            read = [name for name in self.space.names() if name not in self.left]
            excused = self.left & {each for name in read for each in self._conditions(name)}
            if not excused:
                return
            self.left -= excused

    def _try(self, params: Mapping[str, Any], read: set[str]) -> bool:
        """Make a model of a configuration, unless one was made; return whether to go on."""
        if (key := identity_of(params)) in self._known:
            return True
        self._known.add(key)
        reads = self.trying.reads(params, self.left)
        if reads is None:
            self.whole = False
        else:
            self.tried.append(params)
            self.copied |= reads.copied
        read |= reads.named if reads is not None else set()
        self.left -= read
        self.in_time &= time.monotonic() < self._until
        self.whole &= self.in_time
        return bool(self.left) and self.in_time

    def _depends(self, names: set[str]) -> set[str]:
        """Return the searched parameters on whose values depends what is read: these, and those that say whether these
        are there, and with which default."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._conditions(name)
        return {each.name for each in self.space.searched()} & found

    def _conditions(self, name: str) -> list[str]:
        known = self.contract.parameters.get(name)
        theirs = [] if known is None else [*known.requires, *known.default_where]
        return [*theirs, *(self.space[name].when if name in self.space else ())]

    def has_effect(self, name: str) -> bool:
        """Whether a model that was tried may depend on a hyperparameter; also where that can't be found out."""
        there = [params for params in self.tried if name in params]
        more, _ = standing_for(self.space, self._depends({name}), self._rng, _COMPARED)
        compared = False
        for params in [*there, *(params for params in more if name in params)][:_COMPARED]:
            for other in self._others(name, params):
                if time.monotonic() > self._until + _SECONDS or self.trying.differ(params, {**params, name: other}):
                    return True
                compared = True
        return not compared

    def _others(self, name: str, params: Mapping[str, Any]) -> Iterator[Any]:
        """Yield a few other values for a hyperparameter: of the space, or any where that has but one."""
        domain, known = self.space[name].domain, self.contract.parameters[name]
        if isinstance(domain, Constant):
            candidates = _values_of(known, params[name])
        else:
            candidates = iter([domain.draw(self._rng) for _ in range(4)])
        for value in candidates:
            if not same(value, params[name]) and not known.objection(value):
                yield value


def _values_of(known: Known, value: Any) -> Iterator[Any]:
    yield from (known.default, *known.choices[:4], True, False)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from (value + 1, value / 2, value / 2 + 0.25)


class _Trying:
    """Makes models of configurations, and lets them say something of a few rows."""

    def __init__(self, task: TorchTask, splits: Splits, contract: Contract, epochs: int | None) -> None:
        self._task = task
        self._contract = contract
        self._epochs = {} if epochs is None else {"epochs": epochs}
        self._x = splits.train.x
        self._outputs = splits.outputs
        self._device = pick_device()
        self.uncertain = False  # whether the same configuration may read something else another time

    def reads(self, params: Mapping[str, Any], left: set[str]) -> Reads | None:
        """Return what is read of a configuration, so long as it leaves something that is looked for; None if it
        raises."""
        reads = Reads()
        try:
            complete = self._complete(params)
            model = self._model(TrackedParams(complete, reads))
            if left - reads.named and not reads.copied:
                self._say(model, complete, reads)
            self.uncertain |= reads.held
        except RAISED:
            return None
        return reads

    def differ(self, params: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
        """Whether two configurations make models that differ; also if one of them makes none."""
        try:
            ours, theirs = (self._looks(self._complete(each)) for each in (params, others))
        except RAISED:
            return True
        same_tensors = all(
            left.shape == right.shape and left.dtype == right.dtype and torch.equal(left, right)
            for left, right in zip(ours[1], theirs[1], strict=False)
        )
        return ours[0] != theirs[0] or not same_tensors

    def _complete(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return with_defaults(self._contract, params) | {"seed": 0} | self._epochs

    def _looks(self, params: dict[str, Any]) -> tuple[list[str], list[torch.Tensor]]:
        """Return what can be seen of a configuration's model, as texts and as tensors."""
        model = self._model(params)
        tensors = list(model.state_dict().values())
        texts = [repr(model), *model.state_dict()]
        for name, module in model.named_modules():
            texts += [f"{name}.{key}={value!r}" for key, value in vars(module).items() if isinstance(value, _PLAIN)]
        return texts, [tensor.detach().clone() for tensor in tensors] + self._say(model, params, Reads())

    def _model(self, params: dict[str, Any]) -> torch.nn.Module:
        with global_seed(0, torch.device("cpu")):
            return self._task.model(params, self._x.shape[1:], self._outputs)

    def _say(self, model: torch.nn.Module, params: Mapping[str, Any], reads: Reads) -> list[torch.Tensor]:
        """Let a model say something of a few rows, as in training and as in measuring; return all that comes out."""
        rows = self._x[: min(_MOST_ROWS, max(2, int(params.get("batch_size", 32))))]
        generator, model = streams(0, self._device).noise, model.to(self._device)
        before, found = generator.get_state(), []
        with global_seed(0, self._device):
            for training in (True, False):
                tracked = TrackedParams(params, reads)
                batch = self._task.batch(rows, tracked, generator if training else None)
                del tracked
                found += [batch, outputs := model.train(training)(batch)]
                if training and outputs.requires_grad:
                    outputs.sum().backward()
        if type(self._task).batch is not TorchTask.batch:
            self.uncertain |= not torch.equal(before, generator.get_state())
        return [tensor.detach() for tensor in found if isinstance(tensor, torch.Tensor)]


_PLAIN = (bool, int, float, str, tuple)
