"""Files in which a program leaves its reports: found by `report: {csv: ..., tensorboard: ...}`, read while it runs."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hpo.objective.program_environment import HPO_VARIABLES
from hpo.objective.program_events import EventReader
from hpo.objective.program_reports import Report
from hpo.objective.program_tables import TableReader
from hpo.spec.faults import Fault, did_you_mean

Reader = TableReader | EventReader

_READERS: dict[str, Callable[[Path, str], Reader]] = {"csv": TableReader, "tensorboard": EventReader}
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_EVENTS = "*tfevents*"  # in the name of each event file


def path_faults(reports: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the paths of such files. reports: `report` of the sweep file."""
    for key in _READERS.keys() & reports.keys():
        for name in _VARIABLE.findall(reports[key]):
            if name not in HPO_VARIABLES and name not in os.environ:
                remedy = did_you_mean(name, HPO_VARIABLES)
                yield Fault(f"there is no environment variable {name!r}", ("report", key), remedy=remedy)


class ReportFiles:
    """The files of one trial. What was in them before the trial began is none of its reports.

    doubts: what was found and can't be taken, by kind, in words; in the end also which files never came.
    """

    def __init__(self, reports: Mapping[str, Any], environment: Mapping[str, str], folder: Path, metric: str) -> None:
        """reports: `report` of the sweep file. environment: the program's. folder: where it runs, and what relative
        paths mean. metric: the sweep's."""
        self._metric = metric
        values = {name: glob.escape(text) for name, text in environment.items()}
        self._patterns = {
            key: _from(folder, _VARIABLE.sub(lambda found: values.get(found[1], ""), reports[key]))
            for key in _READERS
            if key in reports
        }
        self._readers: dict[Path, Reader] = {}
        self._stamps: dict[Path, tuple[int, int]] = {}
        self.doubts: dict[str, str] = {}
        for _ in self.read(last=True):
            pass
        self.doubts.clear()

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def read(self, last: bool = False) -> Iterator[Report]:
        """Yield the reports that have come to the files. last: nothing more will."""
        for key, pattern in self._patterns.items():
            for file in _files(key, pattern):
                if file not in self._readers:
                    self._readers[file] = _READERS[key](file, self._metric)
                try:
                    stat = file.stat()
                    stamp = (stat.st_mtime_ns, stat.st_size)
                    if last or self._stamps.get(file) != stamp:
                        self._stamps[file] = stamp
                        yield from self._readers[file].read(last)
                        self.doubts |= self._readers[file].doubts
                except FileNotFoundError:  # it is being replaced, or was removed
                    continue
                except OSError as error:
                    text = f"report.{key}: {file} can't be read: {error.strerror}"
                    self.doubts.setdefault(f"unread {key}", text)
            if last and not _files(key, pattern):
                self.doubts[f"no {key}"] = f"report.{key}: there is no file {pattern}"


def _from(folder: Path, pattern: str) -> str:
    return pattern if pattern.startswith("/") else f"{glob.escape(str(folder))}/{pattern}"


def _files(key: str, pattern: str) -> list[Path]:
    """Return the files of a pattern in their names' order; of TensorBoard, those in the folder and below it."""
    found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (it may be absolute)
    if key == "tensorboard":
        found = [file for place in found for file in (sorted(place.rglob(_EVENTS)) if place.is_dir() else [place])]
    return [file for file in found if file.is_file()]
