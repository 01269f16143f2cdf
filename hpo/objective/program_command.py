"""The command line of a program: a list of items with W&B's macros, filled in for one trial."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hpo.objective.program_options import Options, options_of
from hpo.objective.program_target import (
    PROGRAM,
    Target,
    command_path,
    first_of,
    module_folder,
    program_faults,
    target_of,
)
from hpo.spec.faults import Fault, did_you_mean

DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")

_MACRO = re.compile(r"\$\{([^{}]*)\}")
_FLAGS = "${args_no_boolean_flags}"
_SINGLE = ("program", "interpreter", "args_json", "args_json_file")  # one argument each: may stand inside an item
_MANY = ("env", "args", "args_no_hyphens", "args_no_equals", "args_no_boolean_flags")
_PARAMETERS = tuple(name for name in (*_MANY, *_SINGLE) if name.startswith("args"))
_KNOWN = (*_MANY, *_SINGLE, "envvar:NAME")
_SERVICE = ("project", "entity")  # W&B's own


@dataclass(frozen=True)
class Command:
    """A command before its trial is known.

    An item that is one macro becomes that macro's arguments. Inside an item, macros of one argument are filled in, and
    anything else in `${...}` is left to the shell that the item may be meant for.
    """

    program: str
    items: tuple[str, ...] = DEFAULT_COMMAND
    folder: Path = Path()  # where it is started
    beside: Path = Path()  # the sweep file's folder, where a module may be

    def uses(self, *macros: str) -> bool:
        """Return whether one of these macros stands anywhere in the command."""
        return any(name in macros for item in self.items for name in _MACRO.findall(item))

    @property
    def target(self) -> Target:
        """What `program` names here."""
        return target_of(self.items, self.program, self.folder)

    @property
    def python_path(self) -> Path | None:
        """The folder that Python must look into for the program's module, as it doesn't by itself; None: none."""
        if self.target != "module":
            return None
        place = module_folder(self.program, (self.folder, self.beside))
        return place if place is not None and place.resolve() != self.folder.resolve() else None

    @cached_property
    def options(self) -> Options:
        """The options that the program declares, where it is a Python file."""
        return options_of(self.folder / self.program) if self.target == "file" else Options()

    @property
    def flags(self) -> dict[str, str]:
        """The options that take no value, each with what to write where a boolean would come as one: `--flag=True`."""
        if not self.uses("args", "args_no_equals"):
            return {}
        items = [_FLAGS if item in ("${args}", "${args_no_equals}") else item for item in self.items]
        return dict.fromkeys(sorted(self.options.flags), f"command: {json.dumps(items)}")

    def faults(self) -> list[Fault]:
        """Return what is wrong with the command; paths are keys of the sweep file."""
        found = [
            Fault(message, ("command", index), remedy=remedy)
            for index, item in enumerate(self.items)
            for message, remedy in _objections(item)
        ]
        if self.uses("program"):
            own = self.uses("interpreter") or any(shutil.which(item) == sys.executable for item in self.items)
            found += program_faults(self.target, self.program, self.folder, self.beside, own)
        return found or self._executable_faults()

    def notes(self, names: Sequence[str]) -> Iterator[str]:
        """Yield what the user should know of how the program gets its hyperparameters. names: theirs."""
        if not self.uses(*_PARAMETERS):
            yield (
                "the command passes no hyperparameters (it has no ${args}): the program has them only if it reads "
                "wandb.config, or the JSON file that HPO_PARAMS_FILE names"
            )
        nested = next((name for name in names if "." in name), None)
        if nested is not None and self.uses("args_json", "args_json_file"):
            group, _, inner = nested.partition(".")
            yield (
                f'the JSON of ${{args_json}} has {nested!r} under that name; W&B nests it: {{"{group}": {{"{inner}": '
                f"...}}}}"
            )

    def argv(self, params: Mapping[str, Any], args_file: Path) -> list[str]:
        """Return the arguments of one trial's process.

        args_file: where the caller keeps `args_json(params)` if the command uses `args_json_file`.
        Raises ValueError for a macro that cannot be filled in.
        """
        for item in self.items:
            for message, remedy in _objections(item):
                raise ValueError(f"{message} ({remedy})" if remedy else message)
        values = {
            **_arguments(self.options.grouped(params)),
            "args_json": [args_json(params)],
            "program": [self._program()],
            "interpreter": [sys.executable],
        }
        values["env"] = ["/usr/bin/env"] if os.name == "posix" else []
        values["args_json_file"] = [str(args_file)]
        line: list[str] = []
        for item in self.items:
            macro = _MACRO.fullmatch(item)
            line += values[macro[1]] if macro and macro[1] in values else [_fill(item, values)]
        return line

    @property
    def as_text(self) -> Callable[[Any], Hashable] | None:
        """How the program gets a hyperparameter's value; None: as JSON, which tells all values apart."""
        used = [macro for macro in _PARAMETERS if self.uses(macro)]
        if not used or any(macro in _SINGLE for macro in used):
            return None

        def texts(value: Any) -> Hashable:
            found = _arguments({"name": value})
            return tuple(part for macro in used for part in found[macro])

        return texts

    def _program(self) -> str:
        if self.target == "command":
            return command_path(self.program) or self.program
        # a file that is itself executed would be looked for on PATH
        executed = self.target == "file" and os.sep not in self.program and first_of(self.items) == PROGRAM
        return f"{os.curdir}{os.sep}{self.program}" if executed else self.program

    def _executable_faults(self) -> list[Fault]:
        line = self.argv({}, Path("args.json"))
        if line and line[0].endswith("/env"):
            line = [word for word in line[1:] if not word.startswith("-") and "=" not in word] or line
        if not line or not line[0]:
            return [Fault("the command is empty", ("command",))]
        name = line[0]
        path = self.folder / name
        if os.sep in name and path.is_file() and not os.access(path, os.X_OK):
            return [Fault(f"{name!r} may not be executed", ("command",), remedy=f"chmod +x {name}")]
        if shutil.which(str(path) if os.sep in name else name) is None:
            return [Fault(f"the command's executable {name!r} is not found", ("command",))]
        return []


def args_json(params: Mapping[str, Any]) -> str:
    """Return hyperparameters as JSON, with the names that the sweep file gives them (dotted, not nested)."""
    return json.dumps(dict(params))


def _arguments(params: Mapping[str, Any]) -> dict[str, list[str]]:
    plain = {name: _show(value) for name, value in params.items()}
    flags = {name: value for name, value in params.items() if isinstance(value, bool)}
    return {
        "args": [f"--{name}={text}" for name, text in plain.items()],
        "args_no_hyphens": [f"{name}={text}" for name, text in plain.items()],
        "args_no_equals": [part for name, text in plain.items() for part in (f"--{name}", text)],
        "args_no_boolean_flags": [
            f"--{name}" if name in flags else f"--{name}={text}"
            for name, text in plain.items()
            if flags.get(name, True)
        ],
        "args_json": [args_json(params)],
    }


def _show(value: Any) -> str:
    """Return a value as W&B writes it: `True`, `None`, `0.001`; lists and objects as JSON."""
    if isinstance(value, float):
        return float.__repr__(value)
    return json.dumps(value) if isinstance(value, list | tuple | Mapping) else str(value)


def _fill(item: str, values: Mapping[str, list[str]]) -> str:
    def text(macro: re.Match[str]) -> str:
        name = macro[1]
        if name.startswith("envvar:"):
            return os.environ[name.removeprefix("envvar:")]
        return values[name][0] if name in _SINGLE else macro[0]

    return _MACRO.sub(text, item)


def _objections(item: str) -> Iterator[tuple[str, str]]:
    """Yield a message and a remedy for each macro of a command's item that has no meaning."""
    alone = _MACRO.fullmatch(item) is not None
    for name in _MACRO.findall(item):
        if name in _SINGLE or (alone and name in _MANY):
            continue
        if name.startswith("envvar:"):
            variable = name.removeprefix("envvar:")
            if variable not in os.environ:
                yield (
                    f"${{{name}}} needs the environment variable {variable!r}, which is not set",
                    f"export {variable}=...",
                )
        elif name in _MANY:
            yield f"${{{name}}} stands for several arguments, but got {item!r}", "make it an item of its own"
        elif name in _SERVICE:
            yield f"${{{name}}} belongs to W&B's service, which is not used here", "write it out, or leave it away"
        elif alone or difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.8):
            yield f"unknown macro ${{{name}}}", did_you_mean(name, _KNOWN)
