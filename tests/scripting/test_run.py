"""`hpo.run`: real sweeps with real workers, driven from this process."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.support import Place, assert_records_agree
from warm import Warm

import hpo

pytestmark = pytest.mark.slow

PARAMETERS = {"x": {"min": -5.0, "max": 5.0}}
Run = Callable[..., hpo.Result]


def a_function(scale: float = 1.0) -> Callable[[Any], float]:
    """Return a function that only this process has."""

    def parabola(trial: Any) -> float:
        for step in (1, 2):
            trial.report(step, score=-scale * trial.params["x"] ** 2 / step, step_squared=step**2)
        return -scale * float(trial.params["x"]) ** 2

    return parabola


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    assert callable(hpo.run)  # now: what is imported for it draws random numbers
    with Warm.WORKERS.lent_here():
        yield Place(tmp_path_factory.mktemp("run"))


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`hpo.run` with what all sweeps here have in common."""
    monkeypatch.chdir(place.folder)

    def run(*arguments: Any, **keys: Any) -> hpo.Result:
        common = {"parameters": PARAMETERS, "metric": "score", "goal": "maximize", "method": "random", "seed": 1}
        return hpo.run(*arguments, **{**common, "home": place.home.path, "workers": 2, "trials": 4, **keys})

    return run


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C as in a terminal, also where the tests run with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def state() -> dict[str, Any]:
    """Return what belongs to this process, and is not to change."""
    return {
        "folder": Path.cwd(),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "handlers": {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)},
        "loggers": [logging.getLogger(name).level for name in ("", "optuna", "optuna.storages", "mlflow", "hpo")],
        "handlers of the root logger": list(logging.root.handlers),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "random": random.getstate(),
        "numpy": repr(np.random.get_state()),
        "main": sys.modules["__main__"],
        "streams": (sys.stdout, sys.stderr),
        "threads": threading.active_count(),
        "children": multiprocessing.active_children(),
    }


@pytest.fixture(scope="module")
def done(place: Place) -> tuple[hpo.Result, str]:
    """A finished sweep of a function that no file has, and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        patch.setattr(sys, "path", ["", *sys.path])  # as at a prompt
        before = state()
        with contextlib.redirect_stdout(io.StringIO()) as said:
            result = hpo.run(
                objective=a_function(), parameters=PARAMETERS, metric="score", goal="maximize", trials=6, workers=2,
                method="random", seed=1, home=place.home.path,
            )  # fmt: skip
        assert state() == before
    return result, said.getvalue()


def test_a_function_that_no_file_has(done: tuple[hpo.Result, str], place: Place) -> None:
    result, _ = done
    assert result.name == "parabola" and list(result.trials["state"]) == ["complete"] * 6
    assert list(result.trials["step_squared"]) == [4.0] * 6
    curves = result.curves
    curves["number"] = -1  # the frame is the caller's own
    assert list(result.curves.columns) == ["number", "step", "seconds", "score", "step_squared"]
    last = result.curves.groupby("number").last()
    assert list(last["score"]) == list(result.trials["score"]) and last["seconds"].le(result.trials["duration"]).all()
    best = result.best
    assert best is not None and best.value == -(best.params["x"] ** 2) == result.trials["value"].max()
    assert set(result.trials["worker"]) == {"worker-0", "worker-1"}
    assert_records_agree(place, "parabola")


def test_what_is_printed(done: tuple[hpo.Result, str]) -> None:
    lines = done[1].splitlines()
    assert any(line.startswith("[1/6] 1 complete") for line in lines)
    assert any(line.startswith("parabola: 6 complete, 0 pruned, 0 failed in ") for line in lines)
    assert not any("hpo sweep" in line for line in lines)


def test_the_same_call_goes_on_and_other_code_does_not(
    done: tuple[hpo.Result, str], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(objective=a_function(), trials=7)
    assert list(result.trials["number"]) == list(range(7)) and result.trials["value"][:6].equals(
        done[0].trials["value"]
    )
    assert "note: going on with study 'parabola': 6 of 7 trials are done" in capsys.readouterr().out
    with pytest.raises(hpo.UserError, match=r"exists with another definition:\n  objective: .*\(code "):
        run(objective=a_function(2.0))
    assert capsys.readouterr().out == ""


def test_in_another_thread_and_inside_an_event_loop(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found: list[hpo.Result] = []
    thread = threading.Thread(
        target=lambda: found.append(run(objective=a_function(), name="thread", trials=2, progress=False))
    )
    before = state()
    thread.start()

    async def main() -> hpo.Result:
        return run(objective=a_function(), name="loop", trials=2, progress=False)

    found.append(asyncio.run(main()))
    thread.join(120)
    assert sorted((result.name, len(result.trials)) for result in found) == [("loop", 2), ("thread", 2)]
    assert state() == before
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.usefixtures("heard")
def test_ctrl_c_ends_it_cleanly_and_the_same_call_goes_on(run: Run, place: Place) -> None:
    driver, flag = os.getpid(), place.folder / "interrupted once"

    def interrupting(trial: Any) -> float:
        if trial.number == 2 and not flag.exists():
            flag.touch()
            os.kill(driver, signal.SIGINT)
        return float(trial.params["x"])

    before = state()
    with pytest.raises(KeyboardInterrupt, match=r"study 'interrupting' has [34] of 6 trials: the same call"):
        run(objective=interrupting, trials=6, progress=False)
    assert state() == before
    assert_records_agree(place, "interrupting")
    assert len(run(objective=interrupting, trials=6, progress=False).trials) == 6


def test_a_handler_of_the_programs_own_hears_of_the_signal(run: Run) -> None:
    driver, heard = os.getpid(), []

    def terminating(trial: Any) -> float:
        if trial.number == 1:
            os.kill(driver, signal.SIGTERM)
        return float(trial.params["x"])

    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        result = run(objective=terminating, trials=50, progress=False, workers=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] and len(result.trials) < 50


@pytest.mark.usefixtures("heard")
def test_a_program_that_ignores_ctrl_c_has_its_whole_sweep(run: Run) -> None:
    driver = os.getpid()

    def unheard(trial: Any) -> float:
        if trial.number == 1:
            os.kill(driver, signal.SIGINT)
        return float(trial.params["x"])

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    result = run(objective=unheard, progress=False)
    assert list(result.trials["state"]) == ["complete"] * 4 and signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_in_this_process_the_function_is_the_object_itself(run: Run) -> None:
    lock, seen = threading.Lock(), []

    def here(trial: Any) -> float:
        with lock:
            seen.append((trial.params["x"], random.random(), np.random.rand()))
        return float(trial.params["x"])

    before = state()
    result = run(objective=here, workers=0, trials=3, progress=False)
    assert [x for x, *_ in seen] == list(result.trials["x"]) and state() == before
    with pytest.raises(hpo.UserError, match=r"here can't be sent to worker processes: .*lock"):
        run(objective=here, name="here-2", trials=3, progress=False)


def test_a_confirmed_winner(run: Run, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    def noisy(trial: Any) -> dict[str, float]:
        score = float(trial.params["x"]) + (trial.seed % 7) / 100
        return {"score": score, "test_score": score}

    before = state()
    keys = {"baselines": [{"x": 1}], "parameters": {"x": {"values": [1, 2, 3, 4]}}, "confirm": {"top": 1, "seeds": 3}}
    result = run(objective=noisy, **keys)
    found = result.confirmation
    assert found is not None and found.winner.params == {"x": 4} and found.baseline.params == {"x": 1}
    assert found.verdict == found.plain["verdict"] and str(found) in capsys.readouterr().out
    assert state() == before and result.name == "noisy"
    again = result.confirm(progress=False)
    assert again == found and repr(found).startswith("<hpo.ConfirmResult ")
    assert capsys.readouterr().out == ""
    for wrong, words in (({"seeds": 1}, "confirm: seeds must be a whole number, 2 to 10,000, but got 1"),
                         ({"top": True}, "confirm: top must be a whole number, 1 or more, but got True")):  # fmt: skip
        with pytest.raises(hpo.UserError, match=words):
            result.confirm(**wrong)


def test_a_sweep_without_a_complete_trial(run: Run) -> None:
    def failing(trial: Any) -> float:
        raise ValueError("no luck")

    said = r"(?s)no trial of study 'failing' is complete \(.*\): .*no luck"
    with pytest.raises(hpo.SweepFailed, match=said) as caught:
        run(objective=failing, trials=2, progress=False)
    assert isinstance(caught.value, hpo.UserError)
    assert set(caught.value.result.trials["reason"]) == {"ValueError: no luck"}


def test_bad_input_is_raised_before_anything_begins(run: Run, place: Place, tmp_path: Path) -> None:
    for keys, words in (
        ({"extend": 0}, "extend must be a whole number, 1 or more, but got 0"),
        ({"progress": 1}, "progress must be True or False, but got 1"),
        ({"home": "sqlite:///x"}, "a home is a folder"),
        ({"home": 5}, "hpo.run: home must be a path, but got 5"),
        ({"storage": 5}, "hpo.run: storage must be text, but got 5"),
        ({"join": True}, "--join needs a database"),
        ({"trials": 2.5}, "budget.trials"),
    ):
        with pytest.raises(hpo.UserError, match=words):
            run(**{"objective": a_function(), "name": "bad", **keys})
    with pytest.raises(hpo.UserError, match="there is no study 'bad'"):
        hpo.load("bad", place.home.path)


def test_after_an_error_at_the_start_the_study_is_free(run: Run, place: Place) -> None:
    class Unpicklable:
        def __reduce__(self) -> str:
            raise ValueError("not to be had in a worker")

    holder = Unpicklable()

    def held(trial: Any) -> float:
        return float(trial.params["x"]) if holder else 0.0

    for _ in range(2):  # the second one would be told that the first still runs it
        with pytest.raises(hpo.UserError, match="can't be sent to worker processes: not to be had"):
            run(objective=held, progress=False)
