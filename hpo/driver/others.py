"""What one of several drivers that share a study (`--join`) does about the others."""

from __future__ import annotations

from collections.abc import Callable

from hpo.driver.backlog import Backlog
from hpo.driver.tally import Tally
from hpo.driver.termination import Termination
from hpo.driver.trials import RunningTrials
from hpo.ledger.ledger import Ledger
from hpo.search.searcher import Searcher
from hpo.standing import SweepListener

_SECONDS_BETWEEN_LOOKS = 2.0


class OtherDrivers:
    """Learns from trials that other drivers ended, and takes over what dead ones left."""

    def __init__(
        self,
        ledger: Ledger,
        searcher: Searcher,
        backlog: Backlog,
        trials: RunningTrials,
        tally: Tally,
        termination: Termination,
        listener: SweepListener,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._searcher = searcher
        self._backlog = backlog
        self._trials = trials
        self._tally = tally
        self._termination = termination
        self._listener = listener
        self._clock = clock
        self._looked = 0.0  # when it was last looked

    def look(self) -> None:
        """See every few seconds what they do. Call it often."""
        now = self._clock()
        if abs(now - self._looked) < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        self.take_news()
        asks = not self._termination.reason
        waits = asks and not len(self._trials) and (self._backlog.used_up or self._trials.room <= 0)
        number = self._ledger.membership.elsewhere
        what = f"waiting for {number} trial{'s' if number != 1 else ''} of other drivers"
        self._tally.standing.activity.phase = what if waits and number else ""

    def take_news(self) -> None:
        """Take in what they have done since the last time."""
        news = self._ledger.news()
        for note in news.notes:
            self._listener.note(note)
        self._searcher.learn(trial for trial, _ in news.ended)
        self._searcher.avoid(news.begun)
        self._backlog.repeat(news.again)
        for _, record in news.ended:
            self._termination.remember(record)
            self._tally.take(record)
            self._listener.trial(record, self._tally.standing)
            self._termination.check_target(record)
