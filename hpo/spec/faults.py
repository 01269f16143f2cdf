"""Faults: what is wrong with what the user wrote, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ConfigPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Fault:
    """One fault: the rule with the value that breaks it, where it stands, and the remedy if one is known."""

    message: str
    path: ConfigPath = ()  # key path in the sweep file, e.g. ("parameters", "momentum", "max")
    line: int | None = None  # 1-based; filled in from `path` if the file has it
    remedy: str = ""
    source: str = ""  # the file, or "-o" for an override


class UserError(Exception):
    """Bad input. The command line prints the message and ends with exit code 2, without a traceback."""


class RecordsGone(OSError):
    """What was recorded is not where it was: somebody deleted it, and no command brings it back."""


class SpecError(UserError):
    """All the faults found in one sweep file."""

    def __init__(self, faults: Iterable[Fault], source: str | Path = "") -> None:
        self.faults = tuple(faults)
        self.source = str(source)
        super().__init__(self.render())

    def render(self) -> str:
        """Return one line a fault, sorted by line: `file:line: key: message (remedy)`."""
        ordered = sorted(self.faults, key=lambda fault: (fault.line is None, fault.line or 0, fault.path))
        return "\n".join(render_fault(fault, self.source) for fault in ordered)


def render_fault(fault: Fault, source: str = "") -> str:
    """Return `file:line: key: message (remedy)`, without the parts that are unknown."""
    where = fault.source or source
    if fault.line is not None and not fault.source.startswith("-o"):
        where = f"{where}:{fault.line}"
    key = dotted(fault.path)
    remedy = f" ({fault.remedy})" if fault.remedy else ""
    return ": ".join(part for part in (where, key, fault.message) if part) + remedy


def dotted(path: ConfigPath) -> str:
    """Return a key path as users write it: ("forbid", 0, "loss") is `forbid[0].loss`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def closest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that `word` was probably meant to be, None if none is close."""
    return next(iter(difflib.get_close_matches(word, sorted(set(options)), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return "did you mean 'learning_rate'?" for the closest option, or the list of options if none is close."""
    known = sorted(set(options))
    close = closest(word, known)
    if close is not None:
        return f"did you mean {close!r}?"
    return "one of: " + ", ".join(known) if known else ""
