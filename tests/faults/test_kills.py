"""SIGKILL at random moments: of the driver, a worker, MLflow's writer, or all at once. Nothing is lost or doubled."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from e2e import test_cohorts
from e2e.support import Place
from waiting import wait_for

from .support import LONG, assert_gone, assert_whole, everybody, family, finish, kill, started

pytestmark = pytest.mark.slow

SWEEPS = 50 if LONG else 3
TRIALS = 14
WORK = """
import time

def work(trial):
    for epoch in range(1, 10):
        time.sleep(0.04)
        trial.report(epoch, score=trial.params["x"] - 1 / epoch, twice=2 * trial.params["x"])
"""
ASHA = {"type": "asha", "min_iter": 1, "eta": 3}
TARGETS = ("driver", "driver", "worker", "server", "mirror", "everybody")


def write(place: Place, kind: str) -> Path:
    if kind == "cohorts":
        return test_cohorts.write(
            place, budget={"trials": TRIALS, "epochs": 81}, engine={"workers": 2, "cohort": 4}, early_terminate=ASHA
        )
    (place.folder / "kills.py").write_text(WORK)
    return place.write("none", objective="kills.py:work", budget={"trials": TRIALS, "epochs": 9}, early_terminate=ASHA)


def known(place: Place) -> dict[int, tuple[Any, ...]]:
    """Return what the study says of each trial whose outcome is noted."""
    trials = place.trials() if place.ended() else []
    return {
        trial.number: (trial.params, trial.user_attrs["outcome"], trial.user_attrs["history"])
        for trial in trials
        if "outcome" in trial.user_attrs
    }


def strike(place: Place, path: Path, rng: random.Random, counts: Counter[str]) -> str:
    """Run the sweep and kill a part of it at a random moment, while it starts, works, or winds up; return which."""
    target, delay, left = rng.choice(TARGETS), rng.uniform(0, 0.4), TRIALS - place.ended()
    when = TRIALS - left + rng.randint(1, left) if left > 0 and rng.random() < 0.8 else -1
    with started(place, "sweep", path) as process:
        if when < 0:
            time.sleep(rng.uniform(0.2, 4.0))
        else:
            wait_for(lambda: place.ended() >= when or process.poll() is not None, f"{when} trials")
            time.sleep(delay)
        everyone = everybody(process.pid)
        parts = family(process.pid)
        victims = {"driver": everyone[:1], "everybody": rng.sample(everyone, len(everyone))}.get(target)
        if victims is None:
            victims = parts[target][:1]
        works = process.poll() is None
        counts[f"killed: {target}" if works else "came too late"] += kill(victims) > 0 or not works
        if target in ("driver", "everybody"):
            process.communicate(timeout=60)
            return target  # the next starts at once, while workers and MLflow's writer find out
        output, errors = process.communicate(timeout=180)  # it goes on without
        assert process.returncode == 0, output + errors
    assert_gone(everyone)
    return target


@pytest.mark.parametrize("seed", range(SWEEPS))
def test_killed_sweeps_lose_nothing(place: Place, seed: int, injected: Counter[str]):
    rng = random.Random(seed)
    place.torch = seed % 3 == 2
    path = write(place, "cohorts" if place.torch else "function")
    before: dict[int, tuple[Any, ...]] = {}
    struck = set()
    for _ in range(rng.randint(1, 3)):
        struck.add(strike(place, path, rng, injected))
        before |= known(place)
    finish(place, path)
    assert_whole(place, TRIALS)
    after = known(place)
    assert {number: after.get(number) for number in before} == before
    repeats = Counter(trial.user_attrs.get("retry_of") for trial in place.trials())
    del repeats[None]
    interrupted = [trial.number for trial in place.trials() if trial.user_attrs.get("interrupted")]
    assert set(repeats.values()) <= {1}  # each is run again once
    assert set(repeats) == set(interrupted)
    injected["sweeps"] += 1
    injected["trials with results"] += TRIALS
    injected["trials run again"] += len(interrupted)
    injected["trials lost"] += len(before.keys() - after.keys())
