"""The files that decide what a trial's values mean: the objective's code and the data. Each with a digest.

A study that goes on with other code or data would mix values that can't be compared (hpo/ledger/study/sources.py).
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo.objective.live import is_nowhere
from hpo.objective.locate import place_of, user_folders
from hpo.spec.faults import UserError
from hpo.spec.load import Named
from hpo.spec.paths import program_path, resolve_path

_OURS = Path(__file__).resolve().parents[1]
_MOST_FILES = 500  # of code, or in a folder of data
_WHOLE = 64 * 2**20  # bytes up to which a data file is read whole
_BLOCKS, _BLOCK = 256, 2**16  # of a larger one: evenly chosen, the last one among them
_DIGITS = 16


def sources_of(named: Named) -> dict[str, str]:
    """Return {file: digest} of the code and the data that a sweep file names.

    Code: the objective's or the program's file, and what it imports, and these import, from the user's folders by plain
    `import` statements. Of a Python file comments and layout make no difference, nor does, in an objective's, what
    stands under `if __name__ == "__main__":` or after a script's own `hpo.run`. Not the platform's own files, nor
    installed packages; a notebook's function is known by its name. Data: each file, and each folder by the names and
    sizes of its files, that a text in `data` names; of a file beyond 64 MiB its size and 256 evenly chosen parts.
    Files are named as seen from the sweep file's folder, else by their names.
    """
    folder = named.folder.resolve()
    of_program = named.program is not None
    found = {_label(path, folder): _code_digest(path, of_program) for path in _code(named)}
    for path in _paths(named.data, named.folder):
        digest = _folder_digest(path) if path.is_dir() else _data_digest(path)
        if digest:
            found[_label(path, folder)] = digest
    return dict(sorted(found.items()))


def _code(named: Named) -> list[Path]:
    if named.program is not None:
        first, folders = Path(program_path(named.program, named.folder)), [Path.cwd(), named.folder]
    else:
        reference = named.objective or ""
        if is_nowhere(reference):
            return []
        folders = [Path(each) for each in user_folders(reference, named.folder)]
        place = place_of(reference)
        first = resolve_path(place, named.folder) if place.endswith(".py") else next(_modules(place, folders), Path())
    if not first.is_file():
        return []
    roots = [folder.resolve() for folder in (first.parent, *folders)]
    found: dict[Path, None] = {}
    waiting = [first.resolve()]
    while waiting and len(found) < _MOST_FILES:
        path = waiting.pop()
        if path not in found and not _is_installed(path):
            found[path] = None
            waiting += _imported_by(path, roots)
    return list(found)


def _is_installed(path: Path) -> bool:
    return path.is_relative_to(_OURS) or "site-packages" in path.parts or path.is_relative_to(Path(sys.base_prefix))


def _imported_by(path: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the user's files that a Python file imports."""
    tree = _tree(path)
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            for each in node.names:
                yield from _modules(each.name, roots)
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1] if 0 < node.level <= len(path.parents) else None
            places = [base] if base is not None else roots
            parts = [node.module] if node.module else []
            for name in [".".join(parts), *(".".join([*parts, each.name]) for each in node.names)]:
                yield from _modules(name, places)


def _modules(name: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that importing a module runs: its own, and those of the packages it is in."""
    parts = name.split(".") if name else []
    for root in roots:
        files = [root.joinpath(*parts[:count], "__init__.py") for count in range(1, len(parts) + 1)]
        module = root.joinpath(*parts).with_suffix(".py") if parts else root / "__init__.py"
        there = [file for file in (module, *reversed(files)) if file.is_file()]
        if there:
            yield from (file.resolve() for file in there)
            return


def _tree(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # no Python, as a program may be


def _code_digest(path: Path, of_program: bool) -> str:
    tree = _tree(path)
    if tree is None:
        return _data_digest(path)
    content = "\n".join(map(ast.dump, tree.body if of_program else _that_count(tree)))
    return hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def _that_count(module: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module that an objective in it can depend on: not what only runs as a program, nor what
    a script does from its own call of `hpo.run` on, unless it defines something."""
    begun = False
    for statement in module.body:
        begun = begun or any(_starts_a_sweep(node) for node in ast.walk(statement))
        defines = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if not _is_main_guard(statement) and (defines or not begun):
            yield statement


def _starts_a_sweep(node: ast.AST) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "run" and getattr(called.value, "id", "") == "hpo"


def _is_main_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(statement.test)
    )


def _paths(data: Any, folder: Path) -> Iterator[Path]:
    """Yield the files and folders that texts in a `data` section name."""
    if isinstance(data, str):
        try:
            path = resolve_path(data, folder)
            if path.exists() and data not in ("", "."):
                yield path.resolve()
        except (OSError, UserError, ValueError):
            return  # no path
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _paths(value, folder)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _paths(value, folder)


def _data_digest(path: Path) -> str:
    """Return a digest of a file's content; "" of what can't be read."""
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(file.read())
            else:
                for place in range(_BLOCKS):
                    file.seek((size - _BLOCK) * place // (_BLOCKS - 1))
                    digest.update(file.read(_BLOCK))
    except OSError:
        return ""
    return digest.hexdigest()[:_DIGITS]


def _folder_digest(folder: Path) -> str:
    """Return a digest of the names and sizes of the files in a folder; "" of what can't be read."""
    try:
        there = sorted(path for path in folder.iterdir() if path.is_file())[:_MOST_FILES]
        listed = [f"{path.name} {path.stat().st_size}" for path in there]
    except OSError:
        return ""
    return hashlib.sha256("\n".join(listed).encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def _label(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
