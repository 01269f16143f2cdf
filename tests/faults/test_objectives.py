"""Objectives that misbehave: each is contained and told by its kind, and the sweep's other trials complete."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.support import Place, assert_records_agree
from waiting import wait_for

from hpo.output import LOG_LIMIT

from .support import LONG, assert_gone, assert_whole, everybody, finish, how, started

pytestmark = pytest.mark.slow

MEGABYTES = 300 if LONG else 60

FUNCTIONS = """
import asyncio, ctypes, os, random, signal, sys, tempfile, threading, time
from pathlib import Path

HOARD = []

def good(trial):
    print("a word")
    assert Path("here").exists(), "somebody changed the folder"
    for step in range(1, 4):
        trial.report(step, score=step)

def raises(trial):
    raise ValueError("no luck")

def raises_once(trial):
    marker = Path(f"raised-{trial.number}")
    if not marker.exists():
        marker.touch()
        raise ValueError("no luck this time")
    return 1.0

def shrinks(trial):
    marker = Path(f"shrunk-{trial.number}")
    first = not marker.exists()
    marker.touch()
    for step in range(1, 6 if first else 3):
        trial.report(step, score=step)
    if first:
        raise ValueError("no luck this time")

class Mute(Exception):
    def __str__(self):
        raise RuntimeError("an error without words")

def mute(trial):
    raise Mute

def half_a_pair(trial):
    raise ValueError("\\udcff and \\0")

def cancelled(trial):
    raise asyncio.CancelledError

def system_exit(trial):
    raise SystemExit(0)

def keyboard_interrupt(trial):
    raise KeyboardInterrupt

def returns_nan(trial):
    return float("nan")

def reports_nan(trial):
    trial.report(1, score=1.0)
    trial.report(2, score=float("inf"))

def string(trial):
    return "a good one"

def hangs(trial):
    while True:
        time.sleep(1)

def endless(trial):
    for step in range(1, 100_000):
        time.sleep(0.2)
        trial.report(step, score=step)

def deaf(trial):
    for step in range(1, 100_000):
        time.sleep(0.2)
        try:
            trial.report(step, score=step)
        except Exception:
            pass

def allocates(trial):
    held = []
    while True:
        held.append(bytearray(50_000_000))

def crumbs(trial):
    held = []
    while True:
        held.append(bytes(400))

def hoards(trial):
    while True:
        HOARD.append(bytearray(1_000_000))

def killed(trial):
    os.kill(os.getpid(), signal.SIGKILL)

def killed_once(trial):
    trial.report(1, score=1.0)
    marker = Path(f"killed-{trial.number}")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    trial.report(2, score=2.0)

def segfault(trial):
    ctypes.string_at(0)

def child():
    if (pid := os.fork()) == 0:
        while True:
            time.sleep(1)
    with Path("children").open("a") as file:
        file.write(f"{pid}\\n")

def forks(trial):
    child()
    return 1.0

def forks_and_dies(trial):
    child()
    os._exit(7)

def forks_and_hangs(trial):
    child()
    while True:
        time.sleep(1)

def fork_returns(trial):
    os.fork()
    trial.report(1, score=1.0)
    return 1.0

def prints(trial):
    line = "0123456789" * 1000
    for number in range(trial.data["megabytes"] * 100):
        print(line)
    return 1.0

def threads(trial):
    def sit():
        while True:
            time.sleep(1)
    def fall():
        raise RuntimeError("in a thread")
    threading.Thread(target=sit).start()
    threading.Thread(target=fall).start()
    return 1.0

def closes_stdout(trial):
    sys.stdout.close()
    return 1.0

def closes_files(trial):
    os.close(1)
    os.close(2)
    return 1.0

def changes_folder(trial):
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    return 1.0

def signals(trial):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(os.getpid(), signal.SIGINT)
    return 1.0

def zoo(trial):
    trial.params["twin"]
    return globals()[trial.params["kind"]](trial)
"""

# How each ends, and after how many runs; the slowest first.
ENDS = {
    "good": ("complete", 1),
    "endless": ("timeout", 1),
    "deaf": ("timeout", 1),
    "raises": ("error", 2),
    "raises_once": ("complete", 2),
    "shrinks": ("complete", 2),
    "mute": ("error", 2),
    "half_a_pair": ("error", 2),
    "cancelled": ("error", 2),
    "system_exit": ("error", 2),
    "keyboard_interrupt": ("error", 2),
    "returns_nan": ("diverged", 1),
    "reports_nan": ("diverged", 1),
    "string": ("error", 2),
    "hangs": ("timeout", 1),
    "allocates": ("out_of_memory", 2),
    "crumbs": ("out_of_memory", 2),
    "hoards": ("out_of_memory", 2),
    "killed": ("died", 2),
    "killed_once": ("complete", 2),
    "segfault": ("died", 2),
    "forks": ("complete", 1),
    "forks_and_dies": ("died", 2),
    "forks_and_hangs": ("timeout", 1),
    "fork_returns": ("complete", 1),
    "prints": ("complete", 1),
    "threads": ("complete", 1),
    "closes_stdout": ("complete", 1),
    "closes_files": ("complete", 1),
    "changes_folder": ("complete", 1),
    "signals": ("complete", 1),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def write(place: Place, order: list[str], ends: dict[str, tuple[str, int]], **keys: Any) -> Path:
    """Write a sweep that trains these kinds in this order; its budget is spent when each has ended as it should."""
    (place.folder / "zoo.py").write_text(FUNCTIONS)
    (place.folder / "here").touch()
    fine = sum(ends[kind][0] in ("complete", "diverged") for kind in order)
    given = {
        "objective": "zoo.py:zoo",
        "data": {"megabytes": MEGABYTES},
        "budget": {"trials": fine, "failures": 1000, "stall_seconds": 6, "trial_seconds": 8},
        "retry": {"error": 1, "died": 1},
        "engine": {"workers": 2, "memory_gb": 0.5},
        "parameters": {"kind": {"values": list(ends)}, "twin": {"min": 0, "max": 1000}},
        "baselines": [{"kind": kind, "twin": number} for number, kind in enumerate(order)],
    }
    return place.write("none", **(given | keys))


def ends_of(place: Place) -> dict[str, set[tuple[str, int]]]:
    """Return how trials ended, and after how many runs, by their kind."""
    found: dict[str, set[tuple[str, int]]] = {}
    for trial in place.trials():
        found.setdefault(trial.params["kind"], set()).add((how(trial), trial.user_attrs.get("attempts", 1)))
    return found


def test_functions(place: Place):
    order = [kind for bad in ENDS if bad != "good" for kind in (bad, "good")]
    path = write(place, order, ENDS)
    finish(place, path)
    assert ends_of(place) == {kind: {end} for kind, end in ENDS.items()}
    assert len(place.trials()) == len(order)
    assert_records_agree(place)
    (shrunk,) = [trial for trial in place.trials() if trial.params["kind"] == "shrinks"]
    assert (shrunk.value, shrunk.user_attrs["history"]["steps"]) == (2, [1, 2])  # of the run that counts
    logs = sorted((place.home.logs / "small").glob("worker-*.log"))
    assert len(logs) == 2
    assert all(log.stat().st_size <= 1.2 * LOG_LIMIT for log in logs)
    assert_no_child_is_left(place)


def test_what_a_trial_without_memory_has_left_in_its_process_costs_no_other(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "hoard.py").write_text(
        "HOARD = []\n"
        "def hoard(trial):\n"
        "    while trial.number == 0:\n"
        "        HOARD.append(bytearray(1_000_000))\n"
        "    return float(len(HOARD))\n"
    )
    engine = {"workers": 1, "memory_gb": 0.5}
    keys: dict[str, Any] = {"objective": "hoard.py:hoard", "budget": {"trials": 2}, "retry": {"out_of_memory": 0}}
    place.sweep(place.write("none", **keys, engine=engine))
    spent, *others = place.trials()
    assert how(spent) == "out_of_memory"
    assert [trial.value for trial in others] == [0.0, 0.0]


PROGRAM = """
import argparse, json, os, signal, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--kind")
parser.add_argument("--twin")
kind = parser.parse_args().kind

def report(step, value):
    print(json.dumps({"epoch": step, "score": value}), flush=True)

report(1, 1.0)
if kind == "raises":
    raise ValueError("no luck")
elif kind == "nan":
    report(2, float("nan"))
    time.sleep(1000)
elif kind == "hangs":
    time.sleep(1000)
elif kind == "endless":
    for step in range(2, 100_000):
        time.sleep(0.2)
        report(step, step)
elif kind == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for step in range(2, 100_000):
        time.sleep(0.2)
        report(step, step)
elif kind == "allocates":
    held = []
    while True:
        held.append(bytearray(50_000_000))
elif kind == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif kind == "forks":
    child = subprocess.Popen(["sleep", "1000"])
    with open("children", "a") as file:
        file.write(f"{child.pid}\\n")
elif kind == "prints":
    for number in range(3000):
        print("0123456789" * 1000)
elif kind == "closes_stdout":
    os.close(1)
report(2, 2.0) if kind != "closes_stdout" else None
"""
PROGRAM_ENDS = {
    "good": ("complete", 1),
    "raises": ("error", 2),
    "nan": ("diverged", 1),
    "hangs": ("timeout", 1),
    "endless": ("timeout", 1),
    "deaf": ("timeout", 1),
    "allocates": ("out_of_memory", 2),
    "killed": ("died", 2),
    "forks": ("complete", 1),
    "prints": ("complete", 1),
    "closes_stdout": ("complete", 1),
}


def test_programs(place: Place):
    (place.folder / "train.py").write_text(PROGRAM)
    order = [kind for bad in PROGRAM_ENDS if bad != "good" for kind in (bad, "good")]
    path = write(place, order, PROGRAM_ENDS, objective=None, program="train.py")
    finish(place, path)
    assert ends_of(place) == {kind: {end} for kind, end in PROGRAM_ENDS.items()}
    assert_records_agree(place)
    assert_no_child_is_left(place)


def assert_no_child_is_left(place: Place) -> None:
    """The processes that objectives started are gone."""
    listed = [int(pid) for pid in (place.folder / "children").read_text().split()]
    assert_gone([psutil.Process(pid) for pid in listed if psutil.pid_exists(pid)])


TASK = """
import os, time
from pathlib import Path
import hpo

class Zoo(hpo.TorchTask):
    kind = "binary"

    def splits(self, data):
        import numpy as np
        x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
        return hpo.split_arrays(x, (x[:, 0] > 0).astype(int), self.kind)

    def model(self, params, features, outputs):
        if params["learning_rate"] == 0.1:
            raise ValueError("no such model")
        if params["learning_rate"] == 0.2:
            raise SystemExit("in the model")
        return hpo.mlp(params, features, outputs)

    def batch(self, x, params, generator):
        if generator is not None and params["learning_rate"] == 0.3:
            raise KeyboardInterrupt
        if generator is not None and params["learning_rate"] == 0.4:
            os._exit(7)
        if generator is not None and params["learning_rate"] == 0.5:
            time.sleep(1000)
        return x.float()

zoo = Zoo()
"""
TASK_ENDS = {0.1: "error", 0.2: "error", 0.3: "error", 0.4: "died", 0.5: "timeout", 1e30: "diverged"}


def test_torch_tasks_in_cohorts(place: Place):
    (place.folder / "task.py").write_text(TASK)
    place.cold, place.torch = False, True
    # The one that hangs starts together with good ones, before any death has made their cohorts smaller.
    rates = [0.5, 0.01, 0.02, 0.03, *(rate for rate in TASK_ENDS if rate != 0.5)]
    others = {"optimizer": "sgd", "hidden_layers": [8]}
    path = place.write(
        "none",
        objective="task.py:zoo",
        metric={"name": "val_accuracy"},
        method="grid",
        budget={"epochs": 3, "failures": 100, "stall_seconds": 8},
        retry={"died": 0},  # of a cohort that dies, nobody knows who it was: that counts for none
        engine={"workers": 2, "cohort": 5},
        parameters={"learning_rate": {"values": rates}, **{name: {"value": value} for name, value in others.items()}},
        baselines=[{"learning_rate": rate, **others} for rate in rates],
    )
    finish(place, path)
    ends = {trial.params["learning_rate"]: how(trial) for trial in place.trials()}
    assert ends == {rate: TASK_ENDS.get(rate, "complete") for rate in rates}
    assert_records_agree(place)


def test_a_sweep_that_only_fails_is_stopped_with_its_reason(place: Place):
    path = write(place, [], ENDS, objective="zoo.py:raises", budget={"trials": 100}, retry={})
    said = finish(place, path, code=1)
    assert "hpo: the first 5 trials all failed with the same error" in said
    assert "ValueError: no luck" in said
    assert 5 <= len(place.trials()) <= 7  # those that ran end, too
    assert {how(trial) for trial in place.trials()} == {"error"}
    assert_records_agree(place)


def test_in_this_process(place: Place):
    kinds = ["raises", "system_exit", "keyboard_interrupt", "cancelled", "returns_nan", "string", "changes_folder"]
    path = write(place, [kind for bad in kinds for kind in (bad, "good")], ENDS, engine={"workers": 0})
    finish(place, path)
    assert ends_of(place) == {kind: {ENDS[kind]} for kind in ["good", *kinds]}
    assert_records_agree(place)


def test_a_driver_that_was_suspended_takes_no_trial_for_a_hung_one(place: Place):
    path = place.write("slow", budget={"trials": 16, "stall_seconds": 4, "trial_seconds": 6})
    place.cold = True  # so that `everybody` is all that writes
    with started(place, "sweep", path) as process:
        wait_for(lambda: place.ended() >= 2, "two trials", process=process)
        everyone = everybody(process.pid)
        for one in everyone:
            one.suspend()  # a laptop that is closed: workers, too, else they have ended their trials when it looks
        time.sleep(7)
        for one in everyone:
            one.resume()
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    assert_whole(place, 16)
    assert {how(trial) for trial in place.trials()} == {"complete"}
