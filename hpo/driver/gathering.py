"""What the workers tell, gathered: reports that nobody waits for may wait for others a little."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpo.engines.base import Artifact, Engine, Message, Note, TrialEvents
from hpo.events import Reported

_SECONDS = 0.1  # that a report waits at most


class Gathering:
    """Polls an engine for news that are taken in, and written to the study, together.

    Each write costs as much as many reports. What a worker waits for, or what makes one idle, waits for nothing.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._clock = clock

    def poll(self, timeout: float) -> list[Message]:
        """Return what has happened, in each worker's order; wait up to `timeout` seconds for something, then, if it can
        wait, a tenth of a second for more."""
        news = self._engine.poll(timeout)
        messages = list(news)
        since = self._clock()
        while news and _can_wait(news) and 0 <= (waited := self._clock() - since) < _SECONDS:
            news = self._engine.poll(_SECONDS - waited)
            messages += news
        return messages


def _can_wait(messages: Sequence[Message]) -> bool:
    for message in messages:
        if isinstance(message, TrialEvents):
            if message.waiting or not all(isinstance(event, Reported) for event in message.events):
                return False
        elif not isinstance(message, Note | Artifact):
            return False
    return True
