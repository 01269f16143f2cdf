"""A confirmation in the records: in the study that is confirmed, in the confirming one, and beside both in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.ledger.mirror.aside import carry_out
from hpo.ledger.mirror.process import Notice
from hpo.ledger.outputs import KeptOutputs
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.confirmations import (
    CONFIRMATION,
    CONFIRMATIONS,
    LOOKS,
    Confirmation,
    confirmations_in,
)
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.restored import find_study, sweep_of, sweep_record_of

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

Attributes = dict[str, Any]


def all_studies(storage: BaseStorage) -> dict[str, Mapping[str, Any]]:
    """Return the attributes of all studies of a storage, by name."""
    return {study.study_name: study.user_attrs for study in storage.get_all_studies()}


def change(home: Home, study: str, key: str, changed: Callable[[Attributes], Any]) -> None:
    """Set an attribute of a study, as its owner. changed: returns it, given the study's attributes.

    Raises UserError if somebody runs the study.
    """
    storage, found = find_study(home, study)
    sweep = sweep_of(study, found.user_attrs)
    with owned(home, sweep, storage):
        book = StudyBook(sweep, home, storage)
        with book.together():
            book.set_attribute(key, changed(book.attributes))


def refuse_running(home: Home, study: str) -> None:
    """Raise UserError if somebody runs a study."""
    storage, found = find_study(home, study)
    with owned(home, sweep_of(study, found.user_attrs), storage, to_look=True):
        pass


def note_look(home: Home, study: str, confirming: str, data: str, moment: float) -> None:
    """Record that test rows are about to be looked at, once for a confirmation, however often it is run."""

    def changed(attributes: Attributes) -> list[dict[str, Any]]:
        looks: list[dict[str, Any]] = list(attributes.get(LOOKS, ()))
        if any((look["study"], look["data"]) == (confirming, data) for look in looks):
            return looks
        return [*looks, {"study": confirming, "data": data, "moment": round(moment, 3)}]

    change(home, study, LOOKS, changed)


def record(home: Home, study: str, found: Confirmation) -> None:
    """Record what came out in the study that is confirmed, once."""

    def changed(attributes: Attributes) -> list[Any]:
        known = list(attributes.get(CONFIRMATIONS, ()))
        if any(each.study == found.study for each in confirmations_in(attributes)):
            return known
        return [*known, found.attribute()]

    change(home, study, CONFIRMATIONS, changed)


def complete(home: Home, found: Confirmation) -> None:
    """Do what follows once a confirmation is recorded: the confirming study has it, too, and what the models have left
    is of no more use. Can be called again."""
    _end(home, found.study, found.attribute())


def give_up(home: Home, confirming: str) -> None:
    """Record that nothing will come of a confirmation, since what its models have left is not all there, or of no use;
    so the rest of it isn't, either. Can be called again."""
    _end(home, confirming, {})


def _end(home: Home, confirming: str, outcome: Attributes) -> None:
    change(home, confirming, CONFIRMATION, lambda attributes: outcome)
    attributes = find_study(home, confirming)[1].user_attrs
    KeptOutputs(home.outputs / str(attributes["id"])).remove()


def describe(home: Home, studies: Sequence[str], hurry: Callable[[], bool] = lambda: False) -> list[Notice]:
    """Have the parent runs of studies in MLflow say what is recorded of their confirmations. Returns what the user
    should know."""
    known = all_studies(open_storage(home))
    return carry_out(home, [("describe", sweep_record_of(name, known[name], 0.0)) for name in studies], hurry)
