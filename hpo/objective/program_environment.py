"""What a program finds when it is started for a trial: its environment, and a file with its hyperparameters.

The environment is the worker's, and

- HPO_TRIAL: the trial's number in its study; HPO_SEED: its seed
- HPO_EPOCHS: the epochs that the sweep gives each trial, if it does
- HPO_FOLDER: an empty folder of the trial's own, gone when the program has ended; its files are kept by `keep.files`
- HPO_PARAMS_FILE: a JSON file with the hyperparameters by their (dotted) names, removed then as well
- HPO_DATA_JSON: the sweep file's `data` section, if there is one
- PYTHONUNBUFFERED: 1, so that reports arrive when they are printed
- PYTHONPATH: as it was, with the sweep file's folder before it where the program is a module there, and behind it the
  folder with the stand-in for wandb, unless HPO_WANDB=off
- no WANDB_MODE and no WANDB_DISABLED, where HPO_WANDB=stand-in
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.events import TrialSpec
from hpo.objective.program_command import args_json
from hpo.spec.faults import Fault

HPO_VARIABLES = ("HPO_TRIAL", "HPO_SEED", "HPO_EPOCHS", "HPO_FOLDER", "HPO_PARAMS_FILE", "HPO_DATA_JSON")
_SETTING = "HPO_WANDB"
_SETTINGS = ("stand-in", "off")  # the stand-in even where the package would work; none at all
_SILENCING = ("WANDB_MODE", "WANDB_DISABLED")
_STAND_IN = Path(__file__).with_name("stand_in")


@dataclass(frozen=True)
class OwnFiles:
    """What is there of a trial while its program runs: the trial's folder, and a file beside its log."""

    folder: Path
    params: Path

    def environment(self, trial: TrialSpec, data: Mapping[str, Any], python_path: Path | None) -> dict[str, str]:
        """Return the environment of a trial's program. python_path: a folder that Python must look into for it."""
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        known = {
            "HPO_TRIAL": str(trial.number),
            "HPO_SEED": str(trial.seed),
            "HPO_EPOCHS": None if trial.epochs is None else str(trial.epochs),
            "HPO_FOLDER": str(self.folder),
            "HPO_PARAMS_FILE": str(self.params),
            "HPO_DATA_JSON": json.dumps(dict(data), default=str) if data else None,
        }
        for name, text in known.items():  # one that is stale, of a sweep that runs this one, must not be taken for it
            env.pop(name, None)
            if text is not None:
                env[name] = text
        if env.get(_SETTING) == "stand-in":  # takes what is logged, whatever the shell says of the package
            for name in _SILENCING:
                env.pop(name, None)
        stand_in = "" if env.get(_SETTING) == "off" else str(_STAND_IN)
        places = [str(python_path or ""), env.get("PYTHONPATH", ""), stand_in]
        if any(places):
            env["PYTHONPATH"] = os.pathsep.join(filter(None, places))
        return env


def setting_faults() -> list[Fault]:
    """Return what is wrong with the settings that programs are started by."""
    setting = os.environ.get(_SETTING, "")
    if setting in ("", *_SETTINGS):
        return []
    rule = f"the environment variable {_SETTING} must be {' or '.join(_SETTINGS)}, but got {setting!r}"
    return [Fault(rule, ("program",), remedy=f"unset {_SETTING}")]


@contextlib.contextmanager
def own_files(log: Path, folder: Path, params: Mapping[str, Any]) -> Iterator[OwnFiles]:
    """Make the file with a trial's hyperparameters beside its log, and remove it in the end. Raises OSError if it can't
    be written."""
    files = OwnFiles(folder, log.with_name("params.json"))
    try:
        files.params.write_text(args_json(params), encoding="utf-8")
        yield files
    finally:
        files.params.unlink(missing_ok=True)
