"""What is said of a trial that raised, and of which kind its failure is."""

from __future__ import annotations

import sys
import traceback

from hpo.events import Failed, FailureKind, Stopped
from hpo.objective.base import Pruned

_WORDS = ("out of memory", "outofmemoryerror", "memoryerror", "allocate memory", "not enough memory")

# What a user's code raises to end its trial. Not all of BaseException: the driver's end passes through it.
RAISED = (Exception, SystemExit, KeyboardInterrupt)


# The last line of a program's standard error, if it pruned itself.
_PRUNED = (f"{Pruned.__module__}.{Pruned.__qualname__}", "optuna.exceptions.TrialPruned")


def ending_of(number: int, error: BaseException) -> Stopped | Failed:
    """Return the event for a trial that raised, untold: it pruned itself, or it failed."""
    return Stopped(number, by_itself=True) if is_pruning(error) else failed(number, error)


def is_pruning(error: BaseException) -> bool:
    """Whether an exception says that a trial stops, and that this is no failure: hpo.Pruned, or Optuna's TrialPruned,
    which code that was written for Optuna raises."""
    optuna = sys.modules.get("optuna.exceptions")  # if it is not there, nobody has raised it
    return isinstance(error, Pruned) or (optuna is not None and isinstance(error, optuna.TrialPruned))


def says_pruned(line: str) -> bool:
    """Whether a program's last line is that of an uncaught exception which says that its trial is pruned."""
    return line.partition(":")[0].strip() in _PRUNED


def failed(number: int, error: BaseException) -> Failed:
    """Return the event for a trial that raised: "Type: message" on one line, the traceback, and the kind."""
    if kind_of(error) is FailureKind.OUT_OF_MEMORY:
        traceback.clear_frames(error.__traceback__)  # they hold what filled the memory, and the rest needs some
    return Failed(number, one_line(error), "".join(traceback.format_exception(error)), kind_of(error))


def one_line(error: BaseException) -> str:
    """Return `Type: message` (or `Type`, if there is none) on one line, at most 500 characters."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = "(its text can't be shown)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= 500 else text[:497] + "..."


def kind_of(error: BaseException) -> FailureKind:
    """Return a failure's kind. Torch says in words alone that the host's memory is spent."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return FailureKind.OUT_OF_MEMORY
    spent = isinstance(error, RuntimeError | OSError) and says_memory(one_line(error))
    return FailureKind.OUT_OF_MEMORY if spent else FailureKind.ERROR


def says_memory(text: str) -> bool:
    """Whether an error's text, such as the last line of a program's, says that memory was too small."""
    return any(words in text.lower() for words in _WORDS)
