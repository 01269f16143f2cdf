"""Objectives that a program hands over as objects (`hpo.run(objective=my_function)`), from a script or a notebook.

A study names its objective by text, and workers are processes of their own. So an object gets a name here:

- what a module has under its name is `module:name`, and workers import it from there;
- what a script has is `script.py:name`. Workers get it pickled by value (cloudpickle) and don't import the script, so
  that needs no `if __name__ == "__main__"`. Whoever finds the name in the study later imports the file;
- what no file has under a name (a notebook's function, a lambda, what a function returns) is
  `place:name (code 1a2b3c4d)`, also pickled by value. The code is in the name because the text of the function is
  nowhere else: other code is another objective, with which a study doesn't go on.

An object is known by its name as long as the program keeps it.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from hpo.objective.code_digest import code_digest
from hpo.spec.faults import UserError, shortened
from hpo.spec.paths import absolute_reference

_MAIN = "__main__"
_known: WeakValueDictionary[str, Any] = WeakValueDictionary()


def script() -> Path | None:
    """Return the file of the program that runs; None at a prompt, in a notebook, or of a module (`python -m`)."""
    main = sys.modules.get(_MAIN)
    file = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is not None or not isinstance(file, str) or not file.endswith(".py"):
        return None
    return Path(file).resolve() if Path(file).is_file() else None


def _place_of_main(folder: Path) -> str:
    """Return where others find what the running program has: its file, its module, or `__main__`, which is nowhere."""
    if (file := script()) is not None:
        return file.name if file.parent == folder.resolve() else str(file)
    spec = getattr(sys.modules.get(_MAIN), "__spec__", None)
    return _MAIN if spec is None else str(spec.name)


def name_of(objective: Any) -> str:
    """Return the name of a function, a class or an instance: `my_function`, `Mine`."""
    if isinstance(objective, functools.partial):
        return name_of(objective.func)
    name = getattr(objective, "__qualname__", None)
    return name if isinstance(name, str) else type(objective).__qualname__


def refer(objective: Any, folder: Path) -> str:
    """Return what a sweep file in `folder` would have as `objective` for an object, and know the object by it.

    Raises UserError if it is nothing that could be called later.
    """
    module, name = getattr(objective, "__module__", None) or type(objective).__module__, name_of(objective)
    has_name = _found(module, name) is objective
    place = _place_of_main(folder) if module == _MAIN else module
    reference = f"{place}:{name}"
    if has_name and module != _MAIN:
        return reference
    if not has_name or place == _MAIN:
        reference += f" (code {code_digest(objective)})"
    try:
        _known[absolute_reference(reference, folder)] = objective
    except TypeError:  # a number, a list
        what = f"an objective is a function or a class derived from hpo.TorchTask, but got {shortened(repr(objective))}"
        raise UserError(what) from None
    return reference


def is_nowhere(reference: str) -> bool:
    """Whether a name says that no file has the object."""
    return " (code " in reference


def find(reference: str, folder: Path) -> Any:
    """Return the object that is known by this name; None if there is none, or none any more."""
    return _known.get(absolute_reference(reference, folder))


def packed(reference: str | None, folder: Path) -> bytes | None:
    """Return the object that is known by this name for other processes (`unpacked`); None if there is none.

    Raises UserError if it can't be pickled, with what it holds on to.
    """
    objective = find(reference, folder) if reference is not None else None
    if objective is None:
        return None
    import cloudpickle

    try:
        content: bytes = cloudpickle.dumps(objective)
    except Exception as error:  # whatever the objects that it refers to raise
        raise UserError(
            f"the objective {name_of(objective)} can't be sent to worker processes: {' '.join(str(error).split())} "
            "(make that inside of the function, put the objective into a file and name it 'file.py:name', or train in "
            "this process: workers=0)"
        ) from error
    return content


def unpacked(content: bytes, reference: str, folder: Path) -> Any:
    """Return the object that `packed` packed in another process, known here by the same name."""
    import cloudpickle

    objective = cloudpickle.loads(content)
    _known[absolute_reference(reference, folder)] = objective
    return objective


def _found(module: str, name: str) -> Any:
    """Return what a module that is loaded has under a name, dots and all; None if there is nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
