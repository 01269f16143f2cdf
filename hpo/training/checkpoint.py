"""Checkpoints of a trial: what its training needs to go on in another process, as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import Reported
from hpo.lazy import lazy_import
from hpo.training.contract import contract_of
from hpo.training.run import BestEpoch

if TYPE_CHECKING:
    import torch

    from hpo.training.run import Run
else:
    torch = lazy_import("torch")

_FORMAT = 2
_WORTH = 5.0  # seconds of training still to come from which a pause saves more than it costs


def resumed(begin: Callable[[], list[Run]]) -> list[Run]:
    """Return a trial's runs where its checkpoint is; before their first step, if there is no checkpoint, or none of the
    trial.

    A file that can't be used is told on standard error, and removed; a want of memory passes.

    begin: returns the runs of all members before their first step. It is called a second time where half of a
    checkpoint was taken up.
    """
    runs = begin()
    path = Path(runs[0].trial.checkpoint)
    if not runs[0].trial.checkpoint or not path.exists():
        return runs
    try:
        _restore(runs, path)
    except Exception as error:  # another release's, or not a checkpoint at all: the trial starts over
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise  # no fault of the file
        print(f"the checkpoint {path} can't be used: {type(error).__name__}: {error}", file=sys.stderr)
        path.unlink(missing_ok=True)
        return begin()
    return runs


def _restore(runs: Sequence[Run], path: Path) -> None:
    kept = torch.load(path, map_location="cpu", weights_only=True)
    if len(kept["trial"]) != len(runs) or any(map(differences, kept["trial"], runs)):
        return
    if runs[0].trial.best_step is not None and "best" not in kept:
        return  # nobody wanted the best epoch's weights then, and they are gone
    reports = [Reported(runs[0].trial.number, **report) for report in kept["reports"]]
    for run, state in zip(runs, kept["members"], strict=True):
        run.model.load_state_dict(state["model"])
        run.optimizer.load_state_dict(state["optimizer"])
        for name, generator in _generators(run).items():
            generator.set_state(state["generators"][name])
        for report in reports:
            run.record(report)
    if runs[0].trial.best_step is not None and kept["best"] is not None:
        runs[0].best = BestEpoch(**kept["best"])


class Keeper:
    """Keeps checkpoints of trials that train together, each with all its members in a file of its own, and knows when.

    A file is written whole or not at all (a draft, then a rename), and there is only ever one a trial. It is read as
    plain tensors and numbers (torch.load with weights_only): nothing in it can run code. It is the same whether the
    trial trained alone or in a stack.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """seconds: of training between two checkpoints."""
        self._seconds = seconds
        self._clock = clock
        self._began = self._kept = clock()
        self._trained = 0  # epochs since

    def epoch_trained(self) -> None:
        """Take in that an epoch was trained in this process."""
        self._trained += 1

    @property
    def due(self) -> bool:
        return self._clock() - self._kept >= self._seconds

    def worth(self, epochs_left: int) -> bool:
        """Whether to stop here and go on another time saves more than it costs."""
        return epochs_left * (self._clock() - self._began) / max(1, self._trained) > _WORTH

    def save(self, runs: Sequence[Run], states: Sequence[Mapping[str, Any]]) -> bool:
        """Keep all members of a trial, which has a file for them, as they are after their last completed epoch.

        Returns whether it could be written: a full disk must not end the trial.

        states: of their training, as hpo.training.epochs.Trainee.state_of returns it.
        """
        first = runs[0]
        kept: dict[str, Any] = {
            "trial": [identity(run) for run in runs],
            "members": [
                {**state, "generators": {name: each.get_state() for name, each in _generators(run).items()}}
                for run, state in zip(runs, states, strict=True)
            ],
            "reports": [{k: v for k, v in asdict(report).items() if k != "number"} for report in first.reports],
        }
        if first.trial.best_step is not None:
            kept["best"] = None if first.best is None else dict(vars(first.best))
        fault = write_tensors(kept, Path(first.trial.checkpoint))
        if fault:
            print(f"the checkpoint {first.trial.checkpoint} can't be written: {fault}", file=sys.stderr)
        self._kept = self._clock()
        return not fault


def write_tensors(kept: Mapping[str, Any], path: Path) -> str:
    """Write tensors and plain data as torch.save does, whole or not at all. Returns "", or why it was not possible."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            torch.save(kept, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, RuntimeError) as error:  # Torch's writer raises RuntimeError on a full disk
        with contextlib.suppress(OSError):
            draft.unlink()
        return f"{type(error).__name__}: {error}"
    return ""


def _generators(run: Run) -> Mapping[str, torch.Generator]:
    return {"weights": run.streams.weights, "order": run.streams.order, "noise": run.streams.noise}


def differences(kept: Mapping[str, Any], run: Run) -> list[str]:
    """Return the keys in which an `identity` that was written differs from a run's, in order.

    A hyperparameter that the release which wrote it did not know yet was what its default is now.
    """
    own, known = identity(run), contract_of(run.task).parameters
    news = {
        name: text
        for name, text in own["params"].items()
        if name not in kept.get("params", {}) and name in known
        and text == repr(known[name].default_beside(run.params))
    }  # fmt: skip
    before = {**kept, "params": {**news, **kept.get("params", {})}}
    return [key for key, value in own.items() if before.get(key) != value]


def identity(run: Run) -> dict[str, Any]:
    """Return what a checkpoint must have in common with a trial that goes on from it."""
    params = {name: repr(value) for name, value in sorted(run.params.items())}
    return {
        "format": _FORMAT, "torch": str(torch.__version__), "params": params, "seed": run.seed,
        "epochs": run.epochs, "parts": run.batching.parts, "rows": len(run.train), "device": run.device.type,
    }  # fmt: skip
