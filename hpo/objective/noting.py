"""A channel that adds facts to the ends of trials on their way to the driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpo.events import Answer, AskedParameter, Channel, Decision, Event, ReferenceMeasured, Reported, Returned


class Noting:
    """Another channel (hpo.events.Channel), to which each end of a trial goes with more in its `info`.

    facts: returns what is added, when an end passes. What an event says itself goes before it.
    """

    def __init__(self, channel: Channel, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._channel = channel
        self._facts = facts

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        return self._channel.exchange([self._noted(event) for event in events])

    def ask(self, asked: AskedParameter) -> Answer:
        return self._channel.ask(asked)

    def attach(self, number: int, name: str, path: str) -> None:
        self._channel.attach(number, name, path)

    def refer(self, measured: ReferenceMeasured) -> None:
        self._channel.refer(measured)

    def _noted(self, event: Event) -> Event:
        if isinstance(event, Reported | AskedParameter | Returned):
            return event
        return replace(event, info={**self._facts(), **event.info})
