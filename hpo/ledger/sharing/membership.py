"""A driver's part in a study: its right to write it, its signs of life, its budget, and the other drivers."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError

from hpo.ledger.sharing.budget import StudyBudget
from hpo.ledger.sharing.estate import Estate, Settle
from hpo.ledger.sharing.heartbeat import Heartbeat
from hpo.ledger.sharing.others import News, Others, Refusal
from hpo.ledger.sharing.owners import OwnershipLost
from hpo.ledger.sharing.ownership import Ownership
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.patience import SECONDS as PATIENCE_SECONDS
from hpo.spec.sweep import Sweep


class Membership:
    """What the driver of a study is among all that run it: the only one, unless it joined others."""

    def __init__(
        self,
        sweep: Sweep,
        book: StudyBook,
        ownership: Ownership,
        known: Collection[int] | None,
        clock: Callable[[], float],
    ) -> None:
        """known: the ended trials that a driver which shares the study has taken in; None: it has the study alone."""
        self._ownership = ownership
        self._book = book
        self.heartbeat = Heartbeat(ownership, clock)
        self.budget = StudyBudget(sweep, book, ownership, shared=known is not None)
        self._others = Others(book, sweep.space, ownership.number, known) if known is not None else None
        self._estate = Estate(ownership, self.heartbeat, self._others) if self._others is not None else None
        self.last = True  # whether no other driver is left

    @property
    def joined(self) -> bool:
        """Whether other drivers may run the study at the same time."""
        return self._others is not None

    @property
    def number(self) -> int:
        """This driver's number among all that ever ran a study of a database."""
        return self._ownership.number

    @property
    def alone(self) -> bool:
        """Whether there was no other driver when this one came."""
        return self._ownership.alone

    @property
    def stream(self) -> int:
        """What makes this driver's proposals differ from those of others; 0 for one that found the study free."""
        return 0 if self._ownership.alone else self._ownership.number

    @property
    def elsewhere(self) -> int:
        """Trials of other drivers that use up the budget and of whose ends `news` has not told yet."""
        return self._others.open if self._others is not None else 0

    def take_notes(self) -> list[str]:
        """Return what the user should know of dead drivers; each thing is returned once."""
        owners, self._ownership.taken_over = self._ownership.taken_over, []
        return [f"took over from {owner}, which is dead or silent" for owner in dict.fromkeys(owners)]

    def wait_for_database(self, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        """From now on, wait a few minutes for a database that is away, unless told to `hurry`; `tell` the user so.
        After that every call to the ledger may raise DatabaseAway, an OSError."""
        self._ownership.wait_while_away(PATIENCE_SECONDS, tell, hurry)
        self._book.wait_with(tell, hurry)

    def news(self, settle: Settle) -> News:
        """See what other drivers do, and take over what dead ones left (Estate.news)."""
        assert self._estate is not None, "nobody shares the study"
        news = self._estate.news(settle)
        news.notes = self.take_notes()
        return news

    def refusal(self, params: Mapping[str, Any], repeats: bool, number: float = math.inf) -> Refusal | None:
        """Return why a trial of a shared study must not run, None if it may. repeats: it repeats an interrupted trial;
        number: that it has got (default: the next)."""
        if self._others is None:
            return None
        sweep = self.budget.sweep
        once = sweep.duplicates == "skip" or sweep.method == "grid" or sweep.is_baseline(params)
        self._others.look()
        return self._others.refusal(dict(params), sweep.budget.trials, once and not repeats, repeats, number)

    def hold(self, number: int) -> None:
        """See once more that the study is this driver's, now that it has added a trial: it may have slept since it last
        looked. A trial that came too late is withdrawn.

        Raises OwnershipLost.
        """
        try:
            self.heartbeat.stay_owner()
        except OwnershipLost:
            with suppress(UpdateFinishedTrialError):  # who took over has settled it
                self._book.withdraw(number, "its driver had lost the study before it was added")
            raise

    def all_ended(self) -> list[Any]:
        """Return the ended trials of all drivers, as the study has them now."""
        assert self._others is not None, "nobody shares the study"
        self._others.look()
        return [trial for trial in self._others.trials if trial.state.is_finished()]

    def leave(self) -> bool:
        """Begin to end; return whether no other driver is left. Raises OwnershipLost."""
        with self.heartbeat.noticing_loss():
            self.last = self._ownership.leave()
        return self.last

    def give_up(self) -> None:
        """End this driver's part."""
        self._ownership.give_up()
