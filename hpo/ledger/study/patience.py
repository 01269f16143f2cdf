"""What to do when the database with the studies is away: wait for it, for a while, and say so."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hpo.ledger.study.urls import masked

R = TypeVar("R")

SECONDS = 300.0  # that a driver waits for its database
_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0)  # seconds between tries; the first is for a connection that was closed meanwhile
_FULL = ("disk is full", "disk full", "no space left", "could not extend", "readonly database", "read-only", "disk i/o")


class DatabaseAway(OSError):
    """The database can't be reached, or can't write. What was recorded before is safe."""


def _tell_nobody(text: str) -> None: ...


def _in_no_hurry() -> bool:
    return False


@dataclass
class DatabasePatience:
    """Carries out calls to a database, again and again while it is away."""

    seconds: float = 0.0  # in all, of one call; the first repeat comes at once
    tell: Callable[[str], None] = _tell_nobody
    hurry: Callable[[], bool] = _in_no_hurry  # whether not to wait any longer

    def carry_out(self, call: Callable[[bool], R]) -> R:
        """Return what a call returns. It is told whether it may have been carried out before.

        Raises DatabaseAway if the database does not come back, or if its disk is full; whatever else the call raises.
        """
        began, tries = time.monotonic(), 0
        while True:
            try:
                result = call(tries > 0)
            except Exception as error:
                reason = _reason(error)
                if reason is None:
                    raise
                if _is_full(reason):
                    raise DatabaseAway(errno.ENOSPC, f"the database can't write: {reason}") from error
                if tries and (time.monotonic() - began > self.seconds or self.hurry()):
                    raise DatabaseAway(f"the database can't be reached: {reason}") from error
                if tries == 1:
                    self.tell(f"the database can't be reached, waiting up to {self.seconds:.0f} s for it: {reason}")
                time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1
            else:
                if tries > 1:
                    self.tell("the database is back, the sweep goes on")
                return result


def _reason(error: BaseException | None) -> str | None:
    """Return what a database that can't be used says; None if an error means something else."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError

    while error is not None and not isinstance(error, DBAPIError):
        # Optuna's, of SQLAlchemy's; or Optuna went on asking by a connection that was lost meanwhile.
        error = error.__context__ if isinstance(error, PendingRollbackError) else error.__cause__
    if error is None:
        return None
    if not (error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)):
        return None
    return masked(" ".join(str(error.orig).split()))[:300]


def _is_full(reason: str) -> bool:
    return any(sign in reason.lower() for sign in _FULL)


def options(url: str) -> dict[str, Any]:
    """Return what SQLAlchemy's engine is to be made with, so that a server that is away is noticed."""
    if url.startswith("postgres") and "connect_timeout" not in url:
        return {"connect_args": {"connect_timeout": 10}}  # seconds
    return {}
