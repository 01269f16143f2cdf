"""What Tune trains in these tests. Imports nothing heavy: each of Ray's workers imports this module."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ray import tune

STEPS = 9


def climb(config: dict[str, Any]) -> None:
    """Report all kinds of things; the better, the larger `x`."""
    for step in range(1, STEPS + 1):
        tune.report({"score": config["x"] + step / 100, "inner": {"loss": 1 / step}, "name": "a word"})


class Climber(tune.Trainable):
    """The same as a class that is used again, and paused and resumed."""

    def setup(self, config: dict[str, Any]) -> None:
        self.x = config["x"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.x = new_config["x"]
        return True

    def step(self) -> dict[str, Any]:
        return {"score": self.x + (self.iteration + 1) / 100, "done": self.iteration + 1 == STEPS}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "state.json").write_text(json.dumps(self.iteration))

    def load_checkpoint(self, checkpoint: str | None) -> None:
        pass


def odd(config: dict[str, Any]) -> None:
    """Go wrong in the way that the configuration says."""
    kind = config["kind"]
    if kind == "silent":
        return
    tune.report({"score": 1.0, "flag": True})
    if kind == "raises":
        raise RuntimeError("no luck\nat all")
    if kind == "prunes":
        import optuna

        raise optuna.TrialPruned("not worth it")
    if kind == "dies":
        os._exit(7)
    if kind == "nan":
        tune.report({"score": float("nan")})
        return
    if kind == "once":
        marker = Path(config["folder"]) / "marker"
        if not marker.exists():
            marker.touch()
            tune.report({"score": 3.0, "extra": 1.0})
            tune.report({"score": 3.0, "extra": 1.0})
            raise RuntimeError("the first time")
    tune.report({"score": 2.0})
