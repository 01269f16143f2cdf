"""The rules of the house that a reader could not keep in mind: what is small stays small (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES, MOST_METHODS, MOST_ATTRIBUTES = 300, 25, 15
FILES = sorted((ROOT / "hpo").rglob("*.py"))


def classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]


def methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [each for each in node.body if isinstance(each, ast.FunctionDef)]


def fields(node: ast.ClassDef) -> set[str]:
    """Return the names that a class's body gives values or types: a dataclass's fields, say."""
    targets: list[ast.expr] = []
    for each in node.body:
        targets += (
            [each.target] if isinstance(each, ast.AnnAssign) else each.targets if isinstance(each, ast.Assign) else []
        )
    return {target.id for target in targets if isinstance(target, ast.Name)}


def assigned(method: ast.FunctionDef) -> set[str]:
    """Return the attributes of `self` that a method sets."""
    return {
        node.attr
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name) and node.value.id == "self"
    }  # fmt: skip


def complaints(node: ast.ClassDef) -> Iterator[str]:
    in_init = {name for method in methods(node) if method.name == "__init__" for name in assigned(method)}
    known = in_init | fields(node)
    lines, names = (node.end_lineno or 0) - node.lineno + 1, {method.name for method in methods(node)}
    if lines > MOST_LINES:
        yield f"{lines} lines"
    if len(methods(node)) > MOST_METHODS:
        yield f"{len(methods(node))} methods"
    if len(known) > MOST_ATTRIBUTES:
        yield f"{len(known)} attributes"
    if late := {name for method in methods(node) for name in assigned(method)} - known - names:
        yield f"attributes that first appear outside __init__: {', '.join(sorted(late))}"


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_a_class_is_one_thing(path: Path) -> None:
    found = {node.name: list(complaints(node)) for node in classes(path)}
    assert {name: said for name, said in found.items() if said} == {}


def test_a_name_means_one_thing() -> None:
    """Two classes of one name would be two things under one word; a leading underscore makes no difference."""
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in classes(path):
            places.setdefault(node.name.lstrip("_"), []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
