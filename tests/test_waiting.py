"""Waiting ends: when the condition holds, when its time is up, or when whoever should bring it about is gone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from waiting import wait_for


def test_what_the_condition_gave_is_returned():
    answers = iter([0, "", [], ["here"]])
    assert wait_for(lambda: next(answers), "an answer") == ["here"]


def test_what_never_holds_is_named_with_what_was_seen_last():
    with pytest.raises(AssertionError, match=r"^not within 0\.1 s: a second trial; last seen: \[\]$"):
        wait_for(lambda: [], "a second trial", seconds=0.1)


def test_what_the_condition_raises_is_not_waited_out():
    with pytest.raises(KeyError):
        wait_for(lambda: {}["gone"], "a key")


def test_a_process_that_ends_is_not_waited_for():
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.exit('it fell')"], stderr=subprocess.PIPE, text=True
    )
    with pytest.raises(AssertionError, match=r"ended \(1\) before: its word; last seen: ''\nit fell"):
        wait_for(lambda: "", "its word", process=process)


def test_a_process_that_ends_once_it_has_done_its_part_is_no_fault():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    answers = iter([False, True])
    assert wait_for(lambda: next(answers), "its part", process=process)
