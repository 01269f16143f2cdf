"""A Python file as a text that changes when what it does changes: not with comments, layout, docstrings or the release
of Python that reads it. Of an objective's own file, only what the objective uses."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SAYS_NOTHING = {"ctx", "type_comment", "type_params", "kind"}  # fields that some releases lack, or nobody runs


def parsed(path: Path) -> ast.Module | None:
    """Return a file's statements; None of a file that is no Python, or too deep to be read."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


@dataclass(frozen=True)
class Counting:
    """Which of a file's statements count.

    of: the name of the objective in it, and what that uses counts; None: all. as_program: also what stands under
    `if __name__ == "__main__":`.
    """

    of: str | None
    as_program: bool

    def text(self, module: ast.Module) -> str:
        """Return a text that tells them from others."""
        return " ".join(token for statement in self.statements(module) for token in _tokens(statement))

    def imports(self, module: ast.Module) -> Iterator[tuple[int, str]]:
        """Yield the modules that they import: how many folders up (0: an absolute name), and the name. What may be a
        module or a name in one comes as if it were a module, too."""
        for statement in self.statements(module):
            for node in ast.walk(statement):
                if isinstance(node, ast.Import):
                    yield from ((0, each.name) for each in node.names)
                elif isinstance(node, ast.ImportFrom):
                    base = [node.module] if node.module else []
                    for name in [".".join(base), *(".".join([*base, each.name]) for each in node.names)]:
                        yield node.level, name

    def statements(self, module: ast.Module) -> list[ast.stmt]:
        """Return them."""
        body = [each for each in module.body if self.as_program or not _is_main_guard(each)]
        definitions: dict[str, list[int]] = defaultdict(list)
        for place, statement in enumerate(body):
            for name in _names_given(statement):
                definitions[name].append(place)
        if self.of is None or self.of not in definitions:  # or it comes about in a way of its own
            return body
        reached = set(definitions["*"])
        names, known = [self.of], {self.of}
        while names:
            for place in set(definitions[names.pop()]) - reached:
                reached.add(place)
                used = {node.id for node in ast.walk(body[place]) if isinstance(node, ast.Name)} - known
                names += used
                known |= used
        return [body[place] for place in sorted(reached)]


@dataclass(frozen=True)
class Words:
    """The texts and the names that a piece of code has in it; no docstrings, nor other texts that nobody uses, nor
    names under which a task describes its hyperparameters (`{"width": hpo.Known(...)}`)."""

    texts: frozenset[str]
    names: frozenset[str]

    def __or__(self, other: Words) -> Words:
        return Words(self.texts | other.texts, self.names | other.names)

    def may_say(self, key: str) -> bool:
        """Whether the code may look something up by this key: it has the key in it, or a text that may be a part of it
        (`f"units_{layer}"`)."""
        if key in self.names or any(re.search(rf"\b{re.escape(key)}\b", text) for text in self.texts):
            return True
        parts = (text for text in self.texts if len(text) > 1)
        return any(key.startswith(part) or key.endswith(part) for part in parts)


def words(statements: Sequence[ast.stmt]) -> Words:
    """Return the words of statements."""
    texts, names = set(), set()
    for statement in statements:
        idle = {id(each) for node in ast.walk(statement) for each in _idle(node)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant):
                texts |= {node.value} if isinstance(node.value, str) and id(node) not in idle else set()
            else:
                names |= {text for _, text in ast.iter_fields(node) if isinstance(text, str)}
    return Words(frozenset(texts), frozenset(names))


def _idle(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what says nothing of what a node's code looks up."""
    if isinstance(node, ast.Expr):
        yield node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            function = value.func if isinstance(value, ast.Call) else None
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if key is not None and name == "Known":
                yield key


def _names_given(statement: ast.stmt) -> Iterator[str]:
    """Yield the names of the module that a statement at its top defines or changes; "*": nobody knows which."""
    if isinstance(statement, _DEFINES):
        yield statement.name
    elif isinstance(statement, ast.Expr):
        call = statement.value  # NAMES.update(...), say
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
        ):
            yield call.func.value.id
    else:
        for node in _inside(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from ((each.asname or each.name).partition(".")[0] for each in node.names)
            elif isinstance(node, _DEFINES):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield from (each.id for each in ast.walk(node.value) if isinstance(each, ast.Name))


def _inside(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield a statement's nodes, but for those inside of functions and classes that it defines."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _DEFINES) or node is statement:
            waiting += ast.iter_child_nodes(node)


def _is_main_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _tokens(statement: ast.stmt) -> Iterator[str]:
    """Yield a statement's nodes and values in order. Not by recursion: a long sum is deep."""
    waiting: list[object] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.AST):
            yield type(node).__name__
            fields = [(name, getattr(node, name, None)) for name in node._fields if name not in _SAYS_NOTHING]
            for name, value in reversed(fields):
                if value is not None and value != []:
                    waiting += [_without_docstring(node, name, value), _Mark(f"{name}:")]
        elif isinstance(node, list):
            waiting += [_Mark("end:"), *reversed(node)]
        else:
            yield node if isinstance(node, _Mark) else repr(node)


class _Mark(str):
    """Where something begins or ends; no text that stands in the code."""


def _without_docstring(node: ast.AST, name: str, value: object) -> object:
    if (
        name == "body"
        and isinstance(node, _DEFINES)
        and isinstance(value, Sequence)
        and ast.get_docstring(node) is not None
    ):
        return value[1:]
    return value
