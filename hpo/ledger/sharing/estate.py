"""What drivers that are gone have left behind: trials that still run in the study, and trials to be run again.

Whose trials are whose is in the study's `owners`: an entry's estate is the numbers of the drivers before it whose
trials it sees to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial

from hpo.ledger.sharing.heartbeat import Heartbeat
from hpo.ledger.sharing.others import News, Others
from hpo.ledger.sharing.ownership import Ownership
from hpo.ledger.study.book import ended_copy
from hpo.ledger.study.records import TrialRecord

Settle = Callable[[Sequence[FrozenTrial]], list[TrialRecord]]


class Estate:
    """Takes over the trials of drivers that are gone, and tells of those of drivers that live."""

    def __init__(self, ownership: Ownership, heartbeat: Heartbeat, others: Others) -> None:
        self._ownership = ownership
        self._heartbeat = heartbeat
        self._others = others
        self._seen_to: frozenset[int] = frozenset()  # drivers whose trials were taken over

    def news(self, settle: Settle) -> News:
        """Look at what other drivers do, and take over what those that are gone have left.

        settle: ends trials that they left running, in the records, and returns their records.
        Raises OwnershipLost.
        """
        news = News()
        if self._others.owe:  # so that they wait no longer than they must, once they are this driver's
            self._heartbeat.beat()
        if new := self._ownership.estate - self._seen_to:
            self._others.look()
            news = self._take_over(new, settle)
            self._seen_to |= new
        self._others.look()
        found = self._others.news()
        return News(found.ended + news.ended, found.begun, news.again)

    def _take_over(self, drivers: frozenset[int], settle: Settle) -> News:
        running, again = self._others.left(drivers)
        news = News(again=again)
        for trial, record in zip(running, settle(running), strict=True):
            news.ended.append((ended_copy(trial, record), record))
            news.again += [record] if record.interrupted else []
        return news
