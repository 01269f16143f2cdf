"""A sweep's parent run: ended once, described by nobody else, and running while somebody runs the sweep."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from hpo.ledger.mirror.book import MlflowBook
from hpo.ledger.mirror.notes import NOTE, parent_note
from hpo.ledger.study.home import Home

from .test_mlflow_ways import (
    SWEEP,
)


@pytest.fixture
def book(home: Home) -> MlflowBook:
    """A driver's, whose sweep has begun."""
    return opened(home)


def opened(home: Home) -> MlflowBook:
    book = MlflowBook(home)
    book.prepare()
    book.open(SWEEP, [])
    return book


def parent_of(book: MlflowBook) -> tuple[str, str]:
    """Return the parent run's status and description."""
    run = MlflowClient(book._home.tracking_uri).get_run(book.parent_id)
    return run.info.status, run.data.tags[NOTE]


@pytest.mark.parametrize("by", ["its status", "its description"])
def test_a_parent_run_that_another_driver_has_ended_stays_as_it_is(book: MlflowBook, home: Home, by: str):
    """The driver slept, another one took the study over and is done with it: nobody runs it now."""
    opened(home).close("FINISHED", {"outcome": "done"})
    client = MlflowClient(home.tracking_uri)
    if by == "its description":
        client.update_run(book.parent_id, "RUNNING")
    else:
        client.set_tag(book.parent_id, NOTE, parent_note(SWEEP))
    ended = parent_of(book)
    book.interrupted(lambda study: False)
    assert parent_of(book) == ended


def test_a_parent_run_that_a_person_has_described_is_ended_with_that_description(book: MlflowBook, home: Home):
    MlflowClient(home.tracking_uri).set_tag(book.parent_id, NOTE, "mine")
    book.interrupted(lambda study: False)
    assert parent_of(book) == ("KILLED", "mine")


@pytest.mark.parametrize("look", [1, 2, 3])
def test_a_driver_that_comes_while_a_parent_run_is_being_ended_has_it_running(book: MlflowBook, home: Home, look: int):
    looks: list[int] = []

    def is_run(study: str) -> bool:
        looks.append(1)
        if len(looks) == look:
            opened(home)
        return len(looks) >= look

    begun = parent_of(book)
    book.interrupted(is_run)
    assert len(looks) == look
    assert parent_of(book) == begun


def test_a_parent_run_that_could_not_be_ended_is_not_described_as_interrupted(
    book: MlflowBook, monkeypatch: pytest.MonkeyPatch
):
    begun = parent_of(book)
    monkeypatch.setattr(book._mlflow.client, "set_terminated", refused)
    with pytest.raises(OSError, match="down"):
        book.interrupted(lambda study: False)
    assert parent_of(book) == begun


def refused(*_: object, **__: object) -> None:
    raise OSError("the server is down")
