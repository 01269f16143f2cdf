"""Whether there is use in starting another actor, where some died while they started."""

from __future__ import annotations

import time

from hpo.engines.base import EngineError

_MOST_IN_A_ROW = 3  # actors that die before any has worked: no use in starting more
_LONGEST_PAUSE = 60.0  # seconds until another actor is started where several died


class StartFailures:
    """Counts the actors in a row that died while they started, and makes the pauses between them longer."""

    def __init__(self) -> None:
        self.any_worked = False  # an actor of this sweep
        self._in_a_row = 0
        self._not_before = 0.0

    def may_start(self) -> bool:
        """Whether another actor may be started now."""
        return time.monotonic() >= self._not_before

    def take_success(self) -> None:
        """Take in that an actor works."""
        self._in_a_row, self.any_worked = 0, True

    def take_failure(self, cause: str) -> None:
        """Take in that an actor died while it started. Raises EngineError if several did and none ever worked."""
        self._in_a_row += 1
        if self._in_a_row >= _MOST_IN_A_ROW and not self.any_worked:
            raise EngineError(f"workers die while they start: {cause}")
        self._not_before = time.monotonic() + min(_LONGEST_PAUSE, 2.0**self._in_a_row)
