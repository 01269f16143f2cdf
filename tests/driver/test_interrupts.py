"""Ctrl-C and SIGTERM: counted, and what comes of them before the driver counts them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.support import Place

from hpo.cli.signals import hear_interrupts
from hpo.driver.interrupts import Interrupts


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where the tests run with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_interrupts_are_counted_inside_the_block_only() -> None:
    seen: list[int] = []
    interrupts = Interrupts(lambda: seen.append(interrupts.count))
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.counted():
        assert not interrupts
        os.kill(os.getpid(), signal.SIGTERM)
        hurry = interrupts.another()
        assert interrupts and not hurry()
        os.kill(os.getpid(), signal.SIGINT)
        assert hurry() and not interrupts.another()()
    assert seen == [1, 2]
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert interrupts.count == 2


@pytest.mark.usefixtures("heard")
def test_what_a_program_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts = Interrupts(lambda: None)
    with interrupts.counted():
        signal.raise_signal(signal.SIGINT)
        assert not interrupts and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("heard")
def test_a_command_hears_ctrl_c_where_it_was_begun_with_it_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        hear_interrupts()
        for number in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_counted_and_nothing_changed() -> None:
    found = []

    def enter() -> None:
        with Interrupts(lambda: None).counted():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(60)
    assert found == [signal.getsignal(signal.SIGINT)]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_while_the_sweep_file_is_read_is_an_interrupt(tmp_path: Path, name: str):
    place = Place(tmp_path, fresh=True)
    path = place.write("none", objective="early.py:objective")
    lines = ["import os, signal", f"os.kill(os.getpid(), signal.{name})", "def objective(trial):", "    return 1.0"]
    (place.folder / "early.py").write_text("\n".join(lines) + "\n")
    done = place.run("sweep", path)
    assert (done.returncode, done.stderr.strip()) == (130, "hpo: interrupted")
    assert not place.home.journal.exists()


@pytest.mark.slow
def test_two_signals_at_once_are_an_interrupt_too(tmp_path: Path):
    place = Place(tmp_path)
    path = place.write("none", objective="both.py:objective", engine={"workers": 0})
    lines = ["import os, signal", "def objective(trial):"]
    lines += ["    for number in (signal.SIGINT, signal.SIGTERM) if trial.number == 1 else ():"]
    lines += ["        os.kill(os.getpid(), number)", "    trial.report(1, score=1.0)", "    return 1.0"]
    (place.folder / "both.py").write_text("\n".join(lines) + "\n")
    done = place.run("sweep", path)
    assert done.returncode == 130, done.stdout + done.stderr
    assert "ended early: interrupted" in done.stdout
    assert "continue " in done.stdout
