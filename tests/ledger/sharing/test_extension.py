"""What `--extend N` makes of a study's budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.ledger.sharing.extension import Extension, extend, extended
from hpo.ledger.study.home import Home, make_home

FILE = 6


def test_a_study_that_was_extended_goes_on_to_what_it_was_extended_to():
    noted = extend(None, 4, FILE, done=6).noted()
    assert extended(noted, FILE) == 10
    assert extended(None, FILE) == FILE
    assert extended(extend(None, 2, FILE, done=1).noted(), FILE) == FILE  # no less than the file says
    assert extended(noted, 8) == 8  # the file was changed since


def test_an_extension_that_is_not_there_yet_goes_on_and_another_one_counts_from_what_is_done():
    noted = extend(None, 4, FILE, done=6).noted()
    assert extend(noted, 4, FILE, done=8).to == 10
    assert extend(noted, 3, FILE, done=8).to == 11
    assert extend(noted, 4, FILE, done=10).to == 10  # its command was killed before it had ended
    assert extend(noted | {"closed": True}, 4, FILE, done=10).to == 14
    assert extend(noted, 4, 7, done=8).to == 12


def test_drivers_that_share_a_study_share_its_extension():
    first = extend(None, 4, FILE, done=2, recorded=FILE, driver=2, others={1})
    assert first == Extension(to=10, by=4, file=FILE, driver=2)  # the other one brings it to 6
    assert extend(first.noted(), 4, FILE, done=10, recorded=10, driver=3, others={1, 2}).to == 10  # it is still there
    assert extend(first.noted(), 4, FILE, done=10, recorded=10, driver=4, others={1}).to == 10  # a latecomer
    closed = first.noted() | {"closed": True}
    assert extend(closed, 4, FILE, done=10, recorded=10, driver=4, others={1}).to == 14
    assert extend(first.noted(), 5, FILE, done=7, recorded=FILE, driver=4, others={2}).to == 15


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("a/b.log", "{here}/a/b.log"),
        ("sqlite:///a.db?timeout=3", "sqlite:///{here}/a.db?timeout=3"),
        ("sqlite:////a.db", "sqlite:////a.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://h/a", "postgresql://h/a"),
    ],
)
def test_what_a_command_is_given_means_the_same_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///m.db")
    here = str(tmp_path)
    assert make_home("x", given) == Home(tmp_path / "x", meant.format(here=here), f"sqlite:///{here}/m.db")
