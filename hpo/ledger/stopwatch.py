"""How long a sweep has run, over all the times that it was run."""

from __future__ import annotations

from collections.abc import Callable

from hpo.ledger.study.book import StudyBook

_SECONDS_BETWEEN_NOTES = 10.0


class Stopwatch:
    """Measures a sweep's wall time, and notes it in the study now and then."""

    def __init__(self, book: StudyBook, clock: Callable[[], float]) -> None:
        self._book = book
        self._clock = clock
        self.began = self._noted = clock()
        self._earlier = float(book.attributes.get("seconds", 0.0))

    def start(self) -> None:
        """Start again from here: starting workers is no part of a sweep's time."""
        self.began = self._noted = self._clock()

    @property
    def seconds(self) -> float:
        return self._earlier + self._clock() - self.began

    @property
    def due(self) -> bool:
        """Whether it is time for a note."""
        return abs(self._clock() - self._noted) > _SECONDS_BETWEEN_NOTES  # abs: a clock may be set back

    def note(self) -> None:
        """Note the time in the study."""
        self._noted = self._clock()
        self._book.set_attribute("seconds", round(self.seconds, 3))
