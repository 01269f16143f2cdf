"""What a trial changes in its process is put back: the next trial finds what the first one found."""

from __future__ import annotations

import decimal
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import sklearn
import torch
from torch import nn
from training.tiny import splits_of, task_of

from hpo.events import Assignment, Event, Failed, Finished, TrialSpec
from hpo.objective.function import FunctionObjective, Trial
from hpo.objective.surroundings import Surroundings
from hpo.objective.torch_task import TorchObjective
from hpo.training.task import TorchTask

from .program_support import RecordingChannel, worker_environment


def _environment() -> None:
    os.environ["HPO_TEST_NEW"] = "1"
    os.environ["HOME"] = "/nowhere"
    os.environ.pop("PATH")


def _handlers() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.alarm(1000)


def _limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (min(1234, hard) if hard >= 0 else 1234, hard))


def _plot() -> None:
    from matplotlib import pyplot

    matplotlib.use("svg")
    pyplot.rcParams["lines.linewidth"] = 17
    pyplot.figure()


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {  # what changes it, and how it shows
    "environment": (_environment, lambda: dict(os.environ)),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "umask": (lambda: os.umask(0), lambda: oct(_mode())),
    "locale": (lambda: locale.setlocale(locale.LC_ALL, "C"), lambda: locale.setlocale(locale.LC_ALL)),
    "warnings": (lambda: warnings.simplefilter("error"), lambda: list(warnings.filters)),
    "stdout": (lambda: setattr(sys, "stdout", sys.stderr), lambda: id(sys.stdout)),
    "logging": (
        lambda: logging.basicConfig(level=5, force=True), lambda: (logging.root.level, logging.root.handlers[:]),
    ),
    "arguments": (lambda: sys.argv.append("--fast"), lambda: list(sys.argv)),
    "switching": (lambda: sys.setswitchinterval(0.5), sys.getswitchinterval),
    "digits": (lambda: sys.set_int_max_str_digits(0), sys.get_int_max_str_digits),
    "sklearn": (lambda: sklearn.set_config(transform_output="pandas"), sklearn.get_config),
    "onednn": (lambda: setattr(torch.backends.mkldnn, "enabled", False), lambda: torch.backends.mkldnn.enabled),
    "denormals": (lambda: torch.set_flush_denormal(True), lambda: (torch.tensor(1e-40) * 1).item()),
    "recursion": (lambda: sys.setrecursionlimit(4321), sys.getrecursionlimit),
    "gc": (gc.disable, gc.isenabled),
    "decimal": (lambda: setattr(decimal.getcontext(), "prec", 3), lambda: decimal.getcontext().prec),
    "socket": (lambda: socket.setdefaulttimeout(1), socket.getdefaulttimeout),
    "tempdir": (lambda: setattr(tempfile, "tempdir", "/"), lambda: tempfile.tempdir),
    "spawn": (
        lambda: multiprocessing.set_start_method("forkserver", force=True),
        lambda: multiprocessing.get_start_method(allow_none=True),
    ),
    "limits": (_limit, lambda: resource.getrlimit(resource.RLIMIT_CORE)),
    "signals": (_handlers, lambda: (signal.getsignal(signal.SIGUSR1), _armed())),
    "seterr": (lambda: np.seterr(all="raise"), np.geterr),
    "printing": (lambda: np.set_printoptions(precision=1), np.get_printoptions),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), lambda: torch.zeros(1).dtype),
    "device": (lambda: torch.set_default_device("meta"), lambda: torch.zeros(1).device),
    "grad": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True), torch.are_deterministic_algorithms_enabled,
    ),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
    "cudnn": (lambda: setattr(torch.backends.cudnn, "benchmark", True), lambda: torch.backends.cudnn.benchmark),
    "precision": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "threads": (lambda: torch.set_num_threads(3), torch.get_num_threads),
    "plots": (_plot, lambda: (matplotlib.rcParams["lines.linewidth"], dict.get(matplotlib.rcParams, "backend"))),
}  # fmt: skip


def _mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("what", CHANGES)
def test_the_next_trial_finds_what_the_first_one_found(what: str) -> None:
    change, look = CHANGES[what]
    seen = []

    def objective(trial: Trial) -> float:
        seen.append(look())
        change()
        assert look() != seen[0], "nothing was changed"
        return 1.0

    channel = RecordingChannel()
    bound = FunctionObjective(objective, "acc", {})
    assert bound.prepare() == []
    bound.run(Assignment(1, (TrialSpec(0, {}, 1), TrialSpec(1, {}, 1))), channel)
    assert channel.events == [Finished(0, 1.0), Finished(1, 1.0)]
    assert seen[0] == seen[1] == look()


def _armed() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def test_what_cannot_be_put_back_is_said_once() -> None:
    held: list[Any] = []

    def objective(trial: Trial) -> float:
        if not held:
            held.append(torch.inference_mode())
            held[0].__enter__()
        return 1.0

    channel = RecordingChannel()
    try:
        FunctionObjective(objective, "acc", {}).run(Assignment(1, (TrialSpec(0, {}, 1), TrialSpec(1, {}, 1))), channel)
    finally:
        held[0].__exit__(None, None, None)
    notes: list[Event] = channel.events
    assert [list(event.info.get("notes", {})) for event in notes if isinstance(event, Finished)] == [
        ["Torch's inference mode"],
        [],
    ]


def test_output_that_was_closed_and_opened_again_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull, "w") as first, open(os.devnull, "w") as second:  # noqa: PTH123
        monkeypatch.setattr("sys.stdout", first)
        surroundings = Surroundings()
        first.close()
        assert surroundings.put_back() == {}
        sys.stdout = second  # as a worker does
        assert surroundings.put_back() == {}
        assert sys.stdout is second


def test_nothing_changed_costs_little() -> None:
    surroundings = Surroundings()
    began = time.process_time()
    assert [surroundings.put_back() for _ in range(100)] == [{}] * 100
    assert time.process_time() - began < 0.5  # a trial's part: 5 ms, on a busy machine


def test_libraries_that_a_trial_is_the_first_to_use(tmp_path: Path) -> None:
    """They are looked at when they are loaded, before the trial can change them."""
    code = """
        import sys
        from hpo.events import Assignment, TrialSpec
        from hpo.objective.function import FunctionObjective

        def objective(trial):
            import matplotlib, numpy, torch
            from matplotlib import pyplot
            seen = str([torch.zeros(1).dtype, numpy.geterr(), matplotlib.rcParams["axes.grid"], pyplot.get_fignums()])
            torch.set_default_dtype(torch.float64)
            numpy.seterr(all="raise")
            matplotlib.use("svg")
            pyplot.rcParams["axes.grid"] = True
            pyplot.figure()
            print(seen, flush=True)
            return 1.0

        class Channel:
            def exchange(self, events):
                print(events[0].info, file=sys.stderr)
                return {}

        bound = FunctionObjective(objective, "acc", {})
        bound.prepare()
        assert not {"torch._C", "matplotlib"} & set(sys.modules)
        bound.run(Assignment(1, tuple(TrialSpec(number, {}, 1) for number in range(3))), Channel())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=worker_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second, third = done.stdout.splitlines()
    assert first == second == third
    assert "float32" in first
    assert done.stderr.split() == ["{}"] * 3


def test_torch_tasks_find_the_same_whatever_trained_before() -> None:
    drawn: list[tuple[float, float, torch.dtype]] = []

    def model(self: TorchTask, params: Any, features: torch.Size, outputs: int) -> nn.Module:
        drawn.append((random.random(), float(np.random.random()), torch.get_default_dtype()))
        made = nn.Sequential(nn.Linear(features[0], outputs), nn.Flatten(0))
        if len(drawn) == 2:
            torch.set_default_dtype(torch.float64)
            torch.use_deterministic_algorithms(True)
        return made

    task = task_of("binary", model=model, splits=lambda self, data: splits_of("binary"))
    bound = TorchObjective(task, {})
    for number in range(3):
        channel = RecordingChannel()
        bound.run(Assignment(1, (TrialSpec(number, {"learning_rate": 0.1}, 7, 1),)), channel)
        assert isinstance(channel.ending, Failed if number == 1 else Finished), channel.ending
    assert drawn[0] == drawn[1] == drawn[2]
    assert torch.get_default_dtype() == torch.float32
    assert not torch.are_deterministic_algorithms_enabled()
