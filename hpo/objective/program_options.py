"""Which options a Python program declares, as far as its text tells: by argparse's add_argument, or click's option."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.objective.code_text import parsed

_CALLS = ("add_argument", "option")
_VALUELESS = ("store_true", "store_false", "store_const", "append_const", "count", "BooleanOptionalAction")


@dataclass(frozen=True)
class Options:
    """The names of a program's options, without their hyphens; and of these the flags, which take no value."""

    names: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()

    def grouped(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return hyperparameters as W&B passes nested ones to a program that declares the outer name only: all of
        `optimizer.lr` and `optimizer.name` as one `optimizer`, an object."""
        found: dict[str, Any] = {}
        for name, value in params.items():
            outer, dot, inner = name.partition(".")
            if not dot or outer in params or name in self.names or outer not in self.names:
                found[name] = value
                continue
            place = found.setdefault(outer, {})
            *groups, last = inner.split(".")
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return found


def options_of(path: Path) -> Options:
    """Return the options that a file declares; none of a file that is no Python, or none that can be read."""
    tree = parsed(path) if path.suffix == ".py" else None
    names: set[str] = set()
    flags: set[str] = set()
    for node in ast.walk(tree) if tree is not None else ():
        if not isinstance(node, ast.Call) or _last_name(node.func) not in _CALLS:
            continue
        texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        declared = {part for text in texts for part in text.split("/") if part.startswith("--")}  # click: --a/--no-a
        own = {part.lstrip("-") for part in declared}
        names |= own
        if len(declared) > len([text for text in texts if text.startswith("--")]) or _is_flag(node):
            flags |= own
    return Options(frozenset(names), frozenset(flags))


def _is_flag(call: ast.Call) -> bool:
    for keyword in call.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else _last_name(keyword.value)
        if (keyword.arg == "action" and value in _VALUELESS) or (keyword.arg == "is_flag" and value is True):
            return True
    return False


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
