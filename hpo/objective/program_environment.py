"""What a program finds when it is started for a trial: its environment, and a folder of the trial's own.

The environment is the worker's, and

- HPO_TRIAL: the trial's number in its study; HPO_SEED: its seed
- HPO_EPOCHS: the epochs that the sweep gives each trial, if it does
- HPO_FOLDER: an empty folder of the trial's own, which is removed when the program has ended
- HPO_PARAMS_FILE: a JSON file with the hyperparameters by their (dotted) names, removed then as well
- HPO_DATA_JSON: the sweep file's `data` section, if there is one
- PYTHONUNBUFFERED: 1, so that reports arrive when they are printed
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.events import TrialSpec
from hpo.objective.program_command import args_json


@dataclass(frozen=True)
class TrialFiles:
    """What lies in the temporary folder of a trial beside its log, while its program runs."""

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
        if python_path is not None:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(python_path), env.get("PYTHONPATH"))))
        return env


@contextlib.contextmanager
def trial_files(log: Path, params: Mapping[str, Any]) -> Iterator[TrialFiles]:
    """Make a trial's files beside its log, and remove them in the end. Raises OSError if they can't be written."""
    files = TrialFiles(log.with_name("own"), log.with_name("params.json"))
    try:
        files.folder.mkdir()
        files.params.write_text(args_json(params), encoding="utf-8")
        yield files
    finally:
        shutil.rmtree(files.folder, onerror=_once_more)
        files.params.unlink(missing_ok=True)


def _once_more(remove: Any, path: str, error: Any) -> None:
    """Remove what a program has made that may not be removed: from a folder that is read-only, say."""
    with contextlib.suppress(OSError):
        for each in (Path(path).parent, Path(path)):
            each.chmod(0o700)
        Path(path).unlink() if not Path(path).is_dir() else shutil.rmtree(path, ignore_errors=True)
