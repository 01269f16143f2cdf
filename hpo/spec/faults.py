"""Faults: what is wrong with what the user wrote, where, and what to do about it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ConfigPath = tuple[str | int, ...]

_MOST_SHOWN = 200  # faults
_LONGEST_WORD = 100  # characters: a longer one has no neighbours that anybody meant
_MOST_OPTIONS = 40  # that are listed; and so many times 25 are compared


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
        more = [f"... and {len(ordered) - _MOST_SHOWN:,} faults more"] if len(ordered) > _MOST_SHOWN else []
        return "\n".join([*(render_fault(fault, self.source) for fault in ordered[:_MOST_SHOWN]), *more])


class Bug(SpecError):
    """A sweep file on which the reading itself failed: our fault, not the file's. The exception is the cause."""


class Misread(Exception):
    """Reading failed by an exception that nobody expected, which is the cause. path: of the key that was read."""

    def __init__(self, path: ConfigPath) -> None:
        super().__init__(dotted(path))
        self.path = path


@contextmanager
def reading(path: ConfigPath = ()) -> Iterator[None]:
    """Say of an unexpected exception at which key of the sweep file it came up: raises Misread."""
    try:
        yield
    except (UserError, Misread):
        raise
    except Exception as error:
        raise Misread(path) from error


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


def shortened(text: str, most: int = 200) -> str:
    """Return a text as messages show it: of one that is longer than `most` characters the beginning, and how long it
    is."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def series(words: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def closest(word: str, options: Iterable[str]) -> str | None:
    """Return the option that `word` was probably meant to be, None if none is close."""
    known = sorted(set(itertools.islice(options, 25 * _MOST_OPTIONS)))
    if len(word) > _LONGEST_WORD:
        return None
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return "did you mean 'learning_rate'?" for the closest option, or the list of options if none is close."""
    known = sorted(set(itertools.islice(options, 25 * _MOST_OPTIONS)))
    close = closest(word, known)
    if close is not None:
        return f"did you mean {close!r}?"
    more = ", ..." if len(known) > _MOST_OPTIONS else ""
    return f"one of: {', '.join(known[:_MOST_OPTIONS])}{more}" if known else ""
