"""What a define-by-run objective asks for, recorded as it is asked for: in its trial, and in the study's space."""

from __future__ import annotations

from typing import Any

from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.shown_space import SPACE, attribute_of, objection, shown_space, with_parameter
from hpo.spec.space import Parameter


class ShownSpace:
    """Writes the parameters of running trials, which the objective asks for one by one."""

    def __init__(self, book: StudyBook) -> None:
        self._book = book
        self._space = shown_space(book.attributes)

    def objection(self, parameter: Parameter) -> str:
        """Return why the study can't have a parameter beside those that it has; "": it can."""
        return objection(self._space, parameter)

    def take(self, record: TrialRecord, parameter: Parameter, value: Any) -> None:
        """Record a parameter of a running trial. The space first: who reads the trial finds its parameters there."""
        wider = with_parameter(self._space, parameter)
        if wider is not self._space:
            self._space = wider
            self._book.set_attribute(SPACE, attribute_of(wider))
        self._book.suggest(record.number, parameter, value)
        record.params = {**record.params, parameter.name: value}
