"""Plain values: what a sweep file can say and every record can keep, and what of Python, NumPy and Torch is one.

Loads neither library. `objective/values.py` says which of them are numbers.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hpo.spec.faults import ConfigPath, Fault, shortened

_EXACT = (type(None), bool, int, float, str)
_RULE = "must be a number, text, true, false or null, or a list or a mapping of them"


def plain(value: Any, path: ConfigPath, faults: list[Fault]) -> Any:
    """Return a value as a sweep file would have it: scalars, lists, and mappings with text as keys.

    A scalar of NumPy or Torch (of no dimensions) is what its `item()` is, a tuple a list. Anything else (an array, a
    path, a member of an enumeration, a date, what is masked) is added to the faults, with its place below `path` and
    what to write instead; it is None in what is returned.
    """
    try:
        return _plain(value, path, faults)
    except RecursionError:
        faults.append(Fault("must not be nested so deeply, nor hold itself", path))
        return None


def _plain(value: Any, path: ConfigPath, faults: list[Fault]) -> Any:
    if type(value) in _EXACT:
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or isinstance(key, enum.Enum):
                faults.append(
                    Fault(f"must have text as keys, but got {shown(key)}", path, remedy=f"write {str(key)!r}")
                )
        return {str(key): _plain(entry, (*path, str(key)), faults) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry, (*path, index), faults) for index, entry in enumerate(value)]
    scalar = _scalar(value)
    if type(scalar) in _EXACT:
        return scalar
    faults.append(Fault(f"{_RULE}, but got {shown(value)}", path, remedy=_remedy(value)))
    return None


def _scalar(value: Any) -> Any:
    """Return the plain scalar that a value is, else the value itself."""
    if isinstance(value, enum.Enum) or is_masked(value):
        return value
    if isinstance(value, str):  # NumPy's text is text, too
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        try:
            return value.item()
        except (TypeError, ValueError, RuntimeError):  # a tensor without data, say
            return value
    return value


def is_masked(value: Any) -> bool:
    """Whether a value is of NumPy's masked ones, of which `item()` and `float` make a number."""
    # Only where NumPy's part for it is loaded, whole, can there be masked elements; an import may have been cut off.
    masked_array = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return masked_array is not None and isinstance(value, masked_array) and bool(value.mask.any())


def shown(value: Any) -> str:
    """Return a value as Python shows it, whatever its class makes of that."""
    try:
        return shortened(repr(value))
    except Exception:
        return f"a {type(value).__name__} that can't be shown"


def _remedy(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"write {type(value).__name__}.{value.name}.value, or its name, and look the member up where it is used"
    if isinstance(value, PurePath):
        return "write str(path)"
    if hasattr(value, "tolist") and not is_masked(value):
        return "write its tolist()"
    if hasattr(value, "as_integer_ratio") or hasattr(value, "__float__"):
        return "write float(...) or int(...) of it"
    if hasattr(value, "isoformat"):
        return "write its isoformat()"
    if isinstance(value, set | frozenset | range):
        return "write a list"
    return "name it by text, and look the object up where it is used"
