"""A Torch task: what is special about one problem. The platform gives it the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.spec.faults import Fault

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy_import("torch")

Kind = Literal["binary", "multiclass", "regression"]
T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """Rows to train or measure on.

    x: [N, ...]; y: [N], float32 for binary (0 or 1) and regression, int64 for classes.
    weight: [N], float32, at least 0: how much a row counts in the training loss, beside the others; None: all alike.
        Only training reads it.
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def positives(self) -> float:
        """The sum of y: how many rows are of class 1. Asked for once, since it waits for a GPU."""
        return float(self.y.sum())

    @cached_property
    def _found(self) -> dict[Callable[[Split], Any], Any]:
        return {}

    def once(self, function: Callable[[Split], T]) -> T:
        """Return what a function finds in this split, and have it looked for once only."""
        if function not in self._found:
            self._found[function] = function(self)
        found: T = self._found[function]
        return found


class Preprocessing(Protocol):
    """What turns the rows that people have into `Split.x`, fitted on the training rows."""

    def plain(self) -> dict[str, Any]:
        """Return it as lists, texts and numbers, which JSON keeps to the last bit (hpo.model.preprocessing reads
        them)."""
        ...


@dataclass(frozen=True)
class Splits:
    """Three disjoint splits of a data set: a sweep trains on `train`, measures on `validation`, never reads `test`."""

    train: Split
    validation: Split
    test: Split
    outputs: int = 1  # classes for multiclass, else 1
    notes: Sequence[str] = field(default_factory=tuple)  # what was done to the data: printed once and logged
    classes: Sequence[str] = ()  # the names of classes 0, 1, ...; (): they have none but their numbers
    preprocessing: Preprocessing | None = None  # None: x is the rows as they come

    def digest(self, kind: Kind) -> str:
        """Return a text that is the same for the same kind of task, training and validation rows, and no others."""
        digest = hashlib.sha256(kind.encode())
        for values in (self.train.x, self.train.y, self.validation.x, self.validation.y):
            digest.update(f"{tuple(values.shape)} {values.dtype}".encode())
            digest.update(values.detach().cpu().contiguous().numpy().data)
        if self.train.weight is not None:
            digest.update(b"weight")
            digest.update(self.train.weight.detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def without_test(self) -> Splits:
        """Return the splits with an empty test split: what a sweep's workers hold."""
        return replace(self, test=Split(self.test.x[:0], self.test.y[:0]))


class TorchTask:
    """Base class of objectives that wrap a PyTorch model.

    A task says its kind, its data and its model; the platform has the training loop, every optimizer, loss,
    activation, schedule and initializer of the vocabulary, and the metrics.

    Instances are made once a worker, without arguments, and used from one thread. Methods must be pure: the same
    arguments give the same result, and all randomness comes from the generators and seeds that are passed in.
    """

    kind: ClassVar[Kind]
    parameters: ClassVar[Mapping[str, Known | None]] = {}
    """Hyperparameters of the task's own, besides the vocabulary's; a name of the vocabulary overrides its facts
    (say, another default). None takes a name out of the contract, with all that requires it: a model without dropout
    says {"dropout": None}, a model that is no `mlp` at all says {**dict.fromkeys(MODEL_PARAMETERS), ...}. A sweep file
    that names it is then refused, instead of searching what has no effect. What is in the contract `model` or `batch`
    has to read: before a study's first trial, a file that names anything else is refused (hpo/objective/unread.py)."""

    default_metric: ClassVar[str] = ""
    """What is optimized where a sweep file names no metric. "": the file has to name one."""

    kind_said = ""
    """Of a task that `for_data` chose: which kind it is, and why, in a sentence."""

    def for_data(self, data: Mapping[str, Any]) -> TorchTask:
        """Return the task that `data` sets: this one, but where the data decides what kind of task it is.

        Asked first, for checking and for training. Must not need Torch. Raises SpecError if `data` can't tell.
        """
        return self

    def check_data(self, data: Mapping[str, Any]) -> list[Fault]:
        """Return what is wrong with the sweep file's `data` section, before anything is trained or recorded.

        Must be fast and must not need Torch. A fault's `path` is relative to `data`: ("csv",) or ().
        """
        return []

    def describe_data(self, data: Mapping[str, Any]) -> Sequence[str]:
        """Return in sentences what `hpo check` says of data in which `check_data` finds no fault. Must not need Torch.

        Raises UserError for what only reading the whole shows.
        """
        return ()

    def libraries(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the modules that training needs, for a process to load once of which the workers are forks: neither
        may start threads, or touch a GPU, when it is loaded."""
        return ("torch",)

    def splits(self, data: Mapping[str, Any]) -> Splits:
        """Load the data set that `data` names. The same `data` gives the same splits in every trial and process."""
        raise NotImplementedError

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
        """Return an untrained model for these hyperparameters (every one the contract knows is present, or inactive).

        features: the shape of one row of x. The model maps [N, *features] to [N] for binary (logits) and regression,
        to [N, outputs] (logits) for multiclass: raw outputs, since what `output_activation` says comes after the model.
        Its weights are drawn again by the platform's initializer.
        """
        raise NotImplementedError

    def batch(self, x: Tensor, params: Mapping[str, Any], generator: torch.Generator | None) -> Tensor:
        """Return a batch of rows as the model takes it: float32, normalised. `generator` draws augmentation while
        training and is None while measuring. The default casts to PyTorch's default type, float32."""
        return x.to(torch.get_default_dtype())
