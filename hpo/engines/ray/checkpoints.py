"""How checkpoints travel: they are on the disk of the worker's machine while a trial runs, and a copy is on the
driver's, from which the trial goes on anywhere. The weights that a trial leaves at its end go the same way."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hpo.engines.ray.messages import CheckpointContent
from hpo.events import Assignment, TrialSpec

# On the driver's machine.


def read_checkpoints(assignment: Assignment) -> dict[int, bytes]:
    """Return the checkpoints from which the trials of an assignment go on, by trial; those that have none are left
    out."""
    found = {}
    for trial in assignment.trials:
        with contextlib.suppress(FileNotFoundError):
            if trial.checkpoint:
                found[trial.number] = Path(trial.checkpoint).read_bytes()
    return found


def write_checkpoint(path: Path, content: bytes) -> None:
    """Put a trial's checkpoint, or its weights, in the place of the one before.

    Raises OSError, and leaves that one as it is.
    """
    draft = path.with_name(f"{path.name}.ray")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


# On the worker's machine.


class LocalCheckpoints:
    """The checkpoints of the trials that run in an actor, on its machine's disk; it is seen when there are new ones."""

    def __init__(self, folder: Path) -> None:
        """folder: where they are kept."""
        self._folder = folder
        # By file: whose it is, whether it has weights, and when it was written when last seen.
        self._files: dict[Path, tuple[int, bool, int]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def redirect(self, assignment: Assignment, contents: Mapping[int, bytes]) -> Assignment:
        """Return an assignment whose trials keep their checkpoints here, and begin with those of `contents`, by
        trial."""
        self._files = {}
        trials: list[TrialSpec] = []
        for trial in assignment.trials:
            if trial.weights is not None:
                path = self._folder / f"{trial.number}.weights"
                path.unlink(missing_ok=True)
                trial = replace(trial, weights=replace(trial.weights, file=str(path)))
                self._files[path] = (trial.number, True, 0)
            if trial.checkpoint:
                path = self._folder / f"{trial.number}.pt"
                path.unlink(missing_ok=True)
                if (content := contents.get(trial.number)) is not None:
                    path.write_bytes(content)
                trial = replace(trial, checkpoint=str(path))
                self._files[path] = (trial.number, False, _time_written(path))
            trials.append(trial)
        return replace(assignment, trials=tuple(trials))

    def changed(self) -> list[CheckpointContent]:
        """Return the checkpoints and weights that were written since the last call."""
        found = []
        for path, (number, weights, seen) in self._files.items():
            if (written := _time_written(path)) != seen:
                self._files[path] = (number, weights, written)
                if written:
                    found.append(CheckpointContent(number, path.read_bytes(), weights))
        return found

    def remove(self) -> None:
        """Forget the trials, and delete their files."""
        for path in self._files:
            for left in path.parent.glob(f"{path.name}*"):  # with drafts of a worker that was killed
                left.unlink(missing_ok=True)
        self._files = {}


def _time_written(path: Path) -> int:
    """Return when a file was written, in ns; 0 if there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
