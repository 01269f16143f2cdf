"""The files that decide what a trial's values mean: the objective's code and the data. Each with a digest.

A study that goes on with other code or data would mix values that can't be compared (hpo/ledger/study/sources.py).
"""

from __future__ import annotations

import ast
import hashlib
import stat
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.objective.code_text import Counting, Words, parsed, words
from hpo.objective.live import is_nowhere
from hpo.objective.locate import parts_of, user_folders
from hpo.objective.user_path import SHIPPED
from hpo.spec.faults import UserError
from hpo.spec.paths import looks_like_a_file, program_path, resolve_path

if TYPE_CHECKING:
    from hpo.spec.named import Named

_OURS = (Path(__file__).resolve().parents[1], Path(SHIPPED))
_INSTALLED = {"site-packages", "dist-packages"}
_MOST_FILES = 500  # of code
_WHOLE = 64 * 2**20  # bytes up to which a data file is read whole
_BLOCKS, _BLOCK = 256, 2**16  # of a larger one: evenly chosen, the last one among them
_DIGITS = 16


def sources_of(named: Named) -> dict[str, str]:
    """Return {file: digest} of the code and the data that a sweep file names.

    Code: the objective's file or the program's, and what these import, and so on, by plain `import` statements,
    from the user's folders and PYTHONPATH; neither the platform's own nor what is installed. Of the objective's
    own file counts what the objective uses (code_text.py says which), of the others all. A notebook's function is
    known by its name alone. Data: each file that a text in `data` names, if it looks like one (a suffix, or a
    folder before it); of one beyond 64 MiB its size and 256 evenly chosen parts. Folders are not looked into.
    Files are named as seen from the folder in which they were found. Several of one name have one digest together.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for label, digest in [*_code(named), *_data(named.data, named.folder)]:
        found[label].append(digest)
    return {
        label: each[0] if len(each) == 1 else _hash(" ".join(sorted(each))) for label, each in sorted(found.items())
    }


def words_of(named: Named) -> Words | None:
    """Return the words in an objective's code (`sources_of`); None if not all of it can be read."""
    found: Words | None = None
    first, attribute, roots = _first(named)
    for _, counting, tree in _files(first, attribute, roots, named.program is not None):
        if tree is None:
            return None
        own = words(counting.statements(tree))
        found = own if found is None else found | own
    return found


def _code(named: Named) -> Iterator[tuple[str, str]]:
    first, attribute, roots = _first(named)
    for path, counting, tree in _files(first, attribute, roots, named.program is not None):
        yield _label(path, roots), _content(path) if tree is None else _hash(counting.text(tree))


def _files(
    first: Sequence[Path], attribute: str | None, roots: Sequence[Path], as_program: bool
) -> Iterator[tuple[Path, Counting, ast.Module | None]]:
    """Yield the files of the code, which of their statements count, and all of these; None: it is no Python."""
    known: set[Path] = set()
    waiting = list(first)
    while waiting and len(known) < _MOST_FILES:
        path = waiting.pop(0)
        if path in known or _is_installed(path):
            continue
        known.add(path)
        tree, counting = parsed(path), Counting(attribute if path == first[0] else None, as_program)
        yield path, counting, tree
        for level, name in counting.imports(tree) if tree is not None else ():
            near = [path.parents[level - 1]] if 0 < level <= len(path.parents) else roots
            waiting += _modules(name, near)


def _first(named: Named) -> tuple[list[Path], str | None, list[Path]]:
    """Return the files with which the code begins, what in the first one of them is the objective (None: all of it),
    and the folders in which modules are looked for."""
    path = [Path(entry or ".") for entry in sys.path if not _is_installed(Path(entry or ".").resolve())]
    if named.program is not None:
        first = [Path(program_path(named.program, named.folder))]
        attribute, roots = None, [first[0].parent, Path.cwd(), named.folder, *path]
    elif named.objective is None or is_nowhere(named.objective):
        return [], None, []
    else:
        place, attribute = parts_of(named.objective)
        roots = [*map(Path, user_folders(named.objective, named.folder)), *path]
        first = [resolve_path(place, named.folder)] if place.endswith(".py") else list(_modules(place, roots))
    roots = [root.resolve() for root in roots]
    return [file.resolve() for file in first if file.is_file()], attribute, roots


def _is_installed(path: Path) -> bool:
    library = (Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
    return bool(_INSTALLED & set(path.parts)) or any(path.is_relative_to(each) for each in (*_OURS, *library))


def _modules(name: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that importing a module runs: its own first, then those of the packages it is in."""
    parts = name.split(".") if name else []
    for root in roots:
        files = [root.joinpath(*parts[:count], "__init__.py") for count in range(len(parts), 0, -1)]
        module = root.joinpath(*parts).with_suffix(".py") if parts else root / "__init__.py"
        if there := [file.resolve() for file in (module, *files) if file.is_file()]:
            yield from there
            return


def _data(data: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the files that texts in a `data` section name."""
    if isinstance(data, Mapping | list | tuple):
        for value in data.values() if isinstance(data, Mapping) else data:
            yield from _data(value, folder)
    elif isinstance(data, str) and looks_like_a_file(data):
        try:
            path = resolve_path(data, folder)
            if stat.S_ISREG(path.stat().st_mode):
                yield _label(path.resolve(), [folder.resolve(), Path.cwd()]), _content(path)
        except (OSError, UserError, ValueError):
            return  # no path, or nothing to be read


def _content(path: Path) -> str:
    """Return a digest of a file's content. Raises OSError."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
        else:
            for place in range(_BLOCKS):
                file.seek((size - _BLOCK) * place // (_BLOCKS - 1))
                digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:_DIGITS]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def _label(path: Path, roots: Sequence[Path]) -> str:
    root = next((root for root in roots if path.is_relative_to(root)), None)
    return path.relative_to(root).as_posix() if root is not None else path.name
