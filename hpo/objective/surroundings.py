"""What a trial may change in its process, put back before the next one: a trial is a pure function.

Cheap where nothing has changed: each part is read and compared, some tenths of a millisecond in all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from hpo.lazy import when_loaded
from hpo.objective.surroundings_libraries import matplotlib_parts, numpy_parts, sklearn_parts, torch_parts
from hpo.objective.surroundings_parts import Part
from hpo.objective.surroundings_python import python_parts


class Surroundings:
    """The state of this process and of the libraries in it, as it was before the first trial.

    What belongs to it: surroundings_python.py and surroundings_libraries.py. Not to it: what modules keep in variables
    of their own, options of other libraries, files; those are the objective's own to look after. The generators of
    random numbers are not, either: each trial seeds them.
    """

    def __init__(self) -> None:
        """Look at the process; at libraries that are not loaded, as soon as somebody uses them."""
        self._parts: list[tuple[Part, Any]] = []
        self._late: dict[str, Callable[[], Sequence[Part]]] = {}  # what to look at once it is imported
        self._take(python_parts())
        for library, parts in (("numpy", numpy_parts), ("sklearn", sklearn_parts), ("torch", torch_parts)):
            when_loaded(library, "surroundings", lambda parts=parts: self._take(parts()))  # type: ignore[misc]
        if "matplotlib" in sys.modules:
            self._take(matplotlib_parts(fresh=False))
        else:
            self._late["matplotlib"] = lambda: matplotlib_parts(fresh=True)

    def _take(self, parts: Sequence[Part]) -> None:
        self._parts += [(part, part.read() if part.first is None else part.first()) for part in parts]

    def put_back(self) -> dict[str, str]:
        """Put back what has changed since. Returns what could not be, in words, by the part; each is returned once, and
        left alone from then on."""
        for library in [name for name in self._late if name in sys.modules]:
            self._take(self._late.pop(library)())
        left = {}
        for part, before in list(self._parts):
            try:
                now = part.read()
                if now != before:
                    part.write(before)
                reason = "" if now == before or part.read() == before else "it stays as it is"
            except Exception as error:
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if reason:
                left[part.name] = f"a trial changed {part.name}, which can't be put back for the next ones ({reason})"
        self._parts = [(part, before) for part, before in self._parts if part.name not in left]
        return left
