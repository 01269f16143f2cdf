"""The rows that a task gives, as training takes them; or in words why it can't: wrong labels are learned without a
murmur, and a column too many in y makes each row be compared with each other's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from hpo.lazy import lazy_import
from hpo.spec.faults import UserError, series
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
_LOOKED_UP, _AMONG, _BYTES = 20_000, 500_000, 2**28  # validation rows that are looked for; among training rows, bytes
_BY_CHANCE = 0.01  # of the validation rows may be training rows, too, before it is told
_PART = 2**22  # numbers that are looked at in one go
_EXACT = 2**24  # beyond, float32 has not all whole numbers


def checked_kind(kind: object, who: str) -> Kind:
    """Return a task's kind. Raises UserError if there is none of that name."""
    if kind not in _KINDS:
        listed = ", ".join(map(repr, _KINDS))
        raise UserError(f"{who}.kind is {shown(kind)}, but a task's kind is one of {listed}")
    return kind


def checked_splits(found: object, kind: Kind, who: str, thorough: bool = True) -> Splits:
    """Return what a task's `splits` gave, with y in the type that losses take.

    Whole numbers and booleans are taken for y of any kind. who: the task's class, for messages. thorough: look at all
    numbers of x, y and weights, not at shapes and types only.

    Raises UserError, which names the split and what to do, if it is no `Splits`; a tensor is none; x and y differ in
    length; rows differ in shape or type between splits; there is no training or validation row; y has another shape
    than [N], labels that its kind has not, or fractions for classes; or x, y or a weight is NaN or infinite, or a
    weight negative.
    """
    if not isinstance(found, Splits):
        raise UserError(f"{who}.splits must return hpo.Splits(train, validation, test), but returned {_what(found)}")
    faults = list(_outputs(found, kind))
    faults = faults or [
        fault for name in NAMES for fault in _faults(getattr(found, name), name, kind, found.outputs, thorough)
    ]
    faults = faults or list(_between(found))
    if faults:
        raise UserError("; ".join(f"{who}.splits: {fault}" for fault in faults))
    train, validation, test = (_typed(getattr(found, name), kind) for name in NAMES)
    return replace(found, train=train, validation=validation, test=test)


def shared_rows(splits: Splits) -> str:
    """Return a note on validation rows that are training rows, too (x and y alike), if there are clearly more than
    training rows repeat each other; "" if not.

    At most 20,000 validation rows are looked for, among as many training rows as have 256 MiB.
    """
    x = splits.train.x
    if x.layout != torch.strided or not x[:1].numel():
        return ""
    training = _rows(splits.train, min(_AMONG, max(1, _BYTES // (x[:1].numel() * x.element_size()))))
    known = set(training)
    looked_for = _rows(splits.validation, min(_LOOKED_UP, len(training)))
    count = sum(row in known for row in looked_for)
    repeated = 1 - len(known) / len(training)
    if count <= len(looked_for) * (2 * repeated + _BY_CHANCE):
        return ""
    part = f"all {count}" if count == len(looked_for) else f"{count} of {len(looked_for)}"
    return f"{part} validation rows are training rows, too: what is measured on them tells little of new rows"


def _faults(split: object, name: str, kind: Kind, outputs: int, thorough: bool) -> Iterator[str]:
    """Yield what is wrong with one split by itself; the first of each kind only."""
    if not isinstance(split, Split):
        yield f"{name} must be an hpo.Split(x, y), but is {_what(split)}"
        return
    for part in ("x", "y", "weight"):
        value = getattr(split, part)
        if not isinstance(value, torch.Tensor) and not (part == "weight" and value is None):
            yield f"{part} of the {name} split must be a tensor, but is {_what(value)} (torch.from_numpy, torch.tensor)"
            return
    if not split.x.dim() or not split.y.dim() or len(split.x) != len(split.y):
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
    if not thorough:
        return
    yield from _not_finite(split.x, f"x of the {name} split")
    wrong = list(_not_finite(split.y, f"y of the {name} split"))
    yield from wrong or _labels(split.y, name, kind, outputs)
    yield from _weights(split.weight, name, len(split.y))


def _labels(y: Tensor, name: str, kind: Kind, outputs: int) -> Iterator[str]:
    if y.is_complex():
        yield f"y of the {name} split has complex numbers"
        return
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
    """Yield that there are numbers that are none; nothing of tensors that are not looked through (sparse ones)."""
    if not values.is_floating_point() or values.layout != torch.strided:
        return
    count, first, nans, infinite = 0, -1, False, False
    for begin, part in _parts(values):
        wrong = ~torch.isfinite(part)
        if not bool(wrong.any()):
            continue
        rows = wrong.reshape(len(part), -1).any(1)
        first = begin + int(rows.nonzero()[0]) if first < 0 else first
        count += int(rows.sum())
        nans, infinite = nans or bool(part.isnan().any()), infinite or bool(part.isinf().any())
    if count:
        kinds = " and ".join([*(["NaN"] if nans else []), *(["infinite numbers"] if infinite else [])])
        yield f"{what} has {kinds} in {count} of {len(values)} rows, the first is row {first} (fill or drop them)"


def _parts(values: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of the first row of each part, and its rows: a few megabytes at a time, in a type that Torch
    compares in."""
    rows = max(1, _PART // max(1, values[:1].numel()))
    for begin in range(0, len(values), rows):
        part = values[begin : begin + rows]
        yield begin, part.float() if part.element_size() == 1 else part


def _outputs(splits: Splits, kind: Kind) -> Iterator[str]:
    if not isinstance(splits.outputs, int) or isinstance(splits.outputs, bool):
        yield f"outputs must be a whole number, but is {shown(splits.outputs)}"
        return
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
    """Return a split with y in a type that losses take. Numbers of a regression that have fractions stay as they are:
    they are scaled first."""
    y, usual = split.y, torch.get_default_dtype()
    if kind == "multiclass":
        y = y.to(torch.int64)
    elif kind == "binary":
        y = y.to(usual)
    elif not y.is_floating_point():
        y = y.to(torch.float64 if len(y) and int(y.abs().max()) > _EXACT else usual)
    weight = None if split.weight is None else split.weight.to(usual)
    return split if y is split.y and weight is split.weight else Split(split.x, y, weight)


def _rows(split: Split, most: int) -> list[int]:
    """Return a number for each of a split's first rows: equal where x and y are, to the bit."""
    x = split.x[:most].detach().cpu().contiguous()
    numbers = x.reshape(len(x), -1).view(torch.uint8).numpy()
    return [hash((row.tobytes(), label)) for row, label in zip(numbers, split.y[:most].tolist(), strict=True)]


def _listed(labels: Tensor) -> str:
    texts = [f"{label:g}" for label in labels.tolist()]
    if len(texts) <= _SHOWN:
        return series(texts)
    return f"{', '.join(texts[: _SHOWN - 1])}, ..., {texts[-1]}"


def _what(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"a {type(value).__name__} of {len(value)}"
    if type(value).__module__ == "numpy":  # which is not loaded for this
        return f"a NumPy array {value.shape}"
    return shown(value)
