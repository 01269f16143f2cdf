"""What the engine tells the driver at its next poll."""

from __future__ import annotations

from hpo.engines.base import Message, Note


class Outbox:
    """Messages for the driver, in order. However many workers say a thing, the user is told once."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._noted: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._messages)

    def add(self, *messages: Message) -> None:
        """Add messages."""
        self._messages += messages

    def note(self, text: str, warning: bool = False) -> None:
        """Tell the user something, if that was not told yet."""
        if text not in self._noted:
            self._noted.add(text)
            self.add(Note(text, warning))

    def take(self) -> list[Message]:
        """Return the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages
