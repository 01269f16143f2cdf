"""What a sweep changes in its process is put back, also where sweeps overlap."""

from __future__ import annotations

import logging
import os
import random
from contextlib import ExitStack

from hpo.objective.from_file import VARIABLE
from hpo.scripting.surroundings import process_kept


def state() -> tuple[object, ...]:
    return os.environ.get(VARIABLE), logging.getLogger("optuna").level, random.getstate()


def test_of_overlapping_sweeps_the_last_puts_all_back() -> None:
    before = state()
    with ExitStack() as second:
        with process_kept():
            os.environ[VARIABLE] = "random.py"
            logging.getLogger("optuna").setLevel(logging.CRITICAL)
            second.enter_context(process_kept())
            random.random()
            now = state()
        assert state() == now  # the second one still goes by it
    assert state() == before
    with process_kept():
        random.random()
    assert state() == before
