"""The signs of life of a driver: by them the others know that its study is not free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from optuna.exceptions import UpdateFinishedTrialError

from hpo.ledger.sharing.owners import OWNER_SECONDS, OwnershipLost
from hpo.ledger.sharing.ownership import Ownership

SECONDS_BETWEEN_BEATS = 10.0


class Heartbeat:
    """Says that a driver lives, and notices when the study is not its own any more."""

    def __init__(self, ownership: Ownership, clock: Callable[[], float]) -> None:
        self._ownership = ownership
        self._clock = clock
        self._last = clock()
        self.lost = False  # whether another driver has taken the study over

    def beat(self) -> None:
        """Say that this driver lives. Raises OwnershipLost."""
        with self.noticing_loss():
            self._ownership.renew()
        self._last = self._clock()

    @contextmanager
    def noticing_loss(self) -> Iterator[None]:
        """Ask the ownership something inside the block, and remember it if that raises OwnershipLost."""
        try:
            yield
        except OwnershipLost:
            self.lost = True
            raise

    def stay_alive(self) -> None:
        """Say now and then that this driver lives. Raises OwnershipLost."""
        if self._older_than(SECONDS_BETWEEN_BEATS):
            self.beat()

    def stay_owner(self) -> None:
        """See before a write that the study is still this driver's, after a sleep in which it may have been taken over.

        Raises OwnershipLost.
        """
        if self._older_than(OWNER_SECONDS / 2):
            self.beat()

    def _older_than(self, seconds: float) -> bool:
        return abs(self._clock() - self._last) > seconds  # abs: a clock may be set back

    @contextmanager
    def unless_settled(self) -> Iterator[None]:
        """Write to a running trial inside the block. Raises OwnershipLost if another driver has ended it as a dead
        one's."""
        try:
            yield
        except UpdateFinishedTrialError:
            self.beat()
            raise

    def while_waiting(self, hurry: Callable[[], bool]) -> Callable[[], bool]:
        """Return `hurry` as a call that keeps this driver alive as well, for who waits long and asks it often."""

        def look() -> bool:
            self.stay_alive()
            return hurry()

        return look
