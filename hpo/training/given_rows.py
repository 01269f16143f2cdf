"""The rows that a task gives, as training takes them; or in words why it can't: wrong labels are learned without a
murmur, and a column too many in y makes each row be compared with each other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from hpo.lazy import lazy_import
from hpo.spec.faults import UserError
from hpo.spec.plain import shown
from hpo.training.task import Kind, Split, Splits

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

NAMES = ("train", "validation", "test")
_KINDS: tuple[Kind, ...] = get_args(Kind)
_SHOWN = 5  # labels in a message
_LOOKED_UP, _AMONG = 20_000, 500_000  # validation rows that are looked for among training rows


def checked_kind(kind: object, who: str) -> Kind:
    """Return a task's kind. Raises UserError if there is none of that name."""
    if kind not in _KINDS:
        listed = ", ".join(map(repr, _KINDS))
        raise UserError(f"{who}.kind is {shown(kind)}, but a task's kind is one of {listed}")
    return kind


def checked_splits(found: object, kind: Kind, who: str) -> Splits:
    """Return what a task's `splits` gave, with y in the type that losses take.

    Whole numbers and booleans are taken for y of any kind. who: the task's class, for messages.

    Raises UserError, which names the split and what to do, if it is no `Splits`; a tensor is none, or on another device
    than the CPU and this process' own; x and y differ in length; rows differ in shape or type between splits; there is
    no training or validation row; y has another shape than [N], labels that its kind has not, or fractions for classes;
    or x, y or a weight is NaN or infinite, or a weight negative.
    """
    if not isinstance(found, Splits):
        raise UserError(f"{who}.splits must return hpo.Splits(train, validation, test), but returned {_what(found)}")
    faults = list(_outputs(found, kind))
    faults = faults or [fault for name in NAMES for fault in _faults(getattr(found, name), name, kind, found.outputs)]
    faults = faults or list(_between(found))
    if faults:
        raise UserError("; ".join(f"{who}.splits: {fault}" for fault in faults))
    train, validation, test = (_typed(getattr(found, name), kind) for name in NAMES)
    return replace(found, train=train, validation=validation, test=test)


def shared_rows(splits: Splits) -> str:
    """Return a note on validation rows that are training rows, too (x and y alike); "" if there is none.

    At most 20,000 validation rows are looked for, among the first 500,000 training rows.
    """
    if splits.train.x.shape[1:].numel() == 0:
        return ""
    known = set(_rows(splits.train, _AMONG))
    looked_for = _rows(splits.validation, _LOOKED_UP)
    count = sum(row in known for row in looked_for)
    if not count:
        return ""
    part = f"all {count}" if count == len(looked_for) else f"{count} of {len(looked_for)}"
    return f"{part} validation rows are training rows, too: what is measured on them tells little of new rows"


def _faults(split: object, name: str, kind: Kind, outputs: int) -> Iterator[str]:
    """Yield what is wrong with one split by itself; the first of each kind only."""
    if not isinstance(split, Split):
        yield f"{name} must be an hpo.Split(x, y), but is {_what(split)}"
        return
    for part in ("x", "y", "weight"):
        value = getattr(split, part)
        if not isinstance(value, torch.Tensor) and not (part == "weight" and value is None):
            yield f"{part} of the {name} split must be a tensor, but is {_what(value)} (torch.from_numpy, torch.tensor)"
            return
    if not split.x.dim() or len(split.x) != len(split.y):
        counts = f"{tuple(split.x.shape)} and {tuple(split.y.shape)}"
        yield f"x and y of the {name} split need a row each for the same rows, but their shapes are {counts}"
        return
    if split.y.dim() != 1:
        remedy = " (y.squeeze(1))" if tuple(split.y.shape[1:]) == (1,) else ""
        yield f"y of the {name} split must have the shape [rows], but has {tuple(split.y.shape)}{remedy}"
        return
    if not len(split.y):
        if name != "test":
            yield f"the {name} split has no rows"
        return
    yield from _not_finite(split.x, f"x of the {name} split")
    wrong = list(_not_finite(split.y, f"y of the {name} split"))
    yield from wrong or _labels(split.y, name, kind, outputs)
    yield from _weights(split.weight, name, len(split.y))


def _labels(y: Tensor, name: str, kind: Kind, outputs: int) -> Iterator[str]:
    if kind == "regression":
        return
    found = torch.unique(y)
    if bool((found != found.round()).any()) if found.is_floating_point() else False:
        yield f"y of the {name} split holds {_listed(found)}, but labels of a {kind} task are whole numbers"
        return
    allowed = 2 if kind == "binary" else outputs
    if int(found[0]) >= 0 and int(found[-1]) < allowed:
        return
    if kind == "binary":
        yield f"y of the {name} split holds {_listed(found)}, but labels of a binary task are 0 and 1{_remedy(found)}"
        return
    shift = " (y - 1)" if int(found[0]) == 1 and int(found[-1]) == outputs else ""
    more = f"outputs={outputs}, so labels are 0 to {outputs - 1}{shift}"
    yield f"y of the {name} split holds {_listed(found)}, but {more}"


def _remedy(labels: Tensor) -> str:
    low, high = int(labels[0]), int(labels[-1])
    if len(labels) > 2:
        return " (kind = 'multiclass' has more than two)"
    if (low, high) == (1, 2):
        return " (y - 1)"
    return f" ((y == {high}).float())"


def _weights(weight: Tensor | None, name: str, rows: int) -> Iterator[str]:
    if weight is None:
        return
    if tuple(weight.shape) != (rows,):
        yield f"weight of the {name} split must have the shape [{rows}], but has {tuple(weight.shape)}"
        return
    wrong = list(_not_finite(weight, f"weight of the {name} split"))
    if not wrong and bool((weight < 0).any()):
        wrong = [f"weight of the {name} split has numbers below 0"]
    yield from wrong


def _not_finite(values: Tensor, what: str) -> Iterator[str]:
    if not values.is_floating_point() or bool(torch.isfinite(values).all()):
        return
    wrong = ~torch.isfinite(values)
    rows = wrong.reshape(len(values), -1).any(1)
    first = int(rows.nonzero()[0])
    kinds = "NaN" if bool(values[wrong].isnan().all()) else "infinite numbers" if not bool(values.isnan().any()) else \
        "NaN and infinite numbers"  # fmt: skip
    yield f"{what} has {kinds} in {int(rows.sum())} of {len(values)} rows, the first is row {first} (fill or drop them)"


def _outputs(splits: Splits, kind: Kind) -> Iterator[str]:
    if kind == "multiclass" and splits.outputs < 2:
        yield f"outputs must be the number of classes, at least 2, but is {splits.outputs}"
    if kind != "multiclass" and splits.outputs != 1:
        yield f"outputs must be 1 for a {kind} task, but is {splits.outputs}"


def _between(splits: Splits) -> Iterator[str]:
    """Yield what does not fit between the splits."""
    for name in NAMES[1:]:
        split = getattr(splits, name)
        if len(split) and (split.x.shape[1:], split.x.dtype) != (splits.train.x.shape[1:], splits.train.x.dtype):
            theirs, ours = (f"{tuple(each.x.shape[1:])} {each.x.dtype}" for each in (split, splits.train))
            yield f"a row of x is {ours} in the train split, but {theirs} in the {name} split"
    if splits.classes and len(splits.classes) != max(2, splits.outputs):
        yield f"classes has {len(splits.classes)} names, but there are {max(2, splits.outputs)} classes"


def _typed(split: Split, kind: Kind) -> Split:
    """Return a split whose y has the type that losses take, and weights of the type that y has where it is no class."""
    y = split.y.to(torch.int64 if kind == "multiclass" else torch.get_default_dtype())
    weight = None if split.weight is None else split.weight.to(torch.get_default_dtype())
    same = y is split.y and weight is split.weight
    return split if same else Split(split.x, y, weight)


def _rows(split: Split, most: int) -> list[int]:
    """Return a number for each of a split's first rows: equal where x and y are, to the bit."""
    x = split.x[:most].detach().cpu().contiguous().numpy()
    return [hash((row.tobytes(), label)) for row, label in zip(x, split.y[:most].tolist(), strict=True)]


def _listed(labels: Tensor) -> str:
    texts = [f"{label:g}" for label in labels.tolist()]
    if len(texts) <= _SHOWN:
        return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else texts[0]
    return f"{', '.join(texts[: _SHOWN - 1])}, ..., {texts[-1]}"


def _what(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    if type(value).__module__ == "numpy":  # which is not loaded for this
        return f"a NumPy array {value.shape}"
    return shown(value)
