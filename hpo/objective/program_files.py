"""Files in which a program leaves its reports: found by `report: {csv: ..., tensorboard: ...}`, read while it runs."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpo.objective.program_environment import HPO_VARIABLES
from hpo.objective.program_events import EventReader, RunNames
from hpo.objective.program_reports import Report
from hpo.objective.program_tables import TableReader
from hpo.spec.faults import Fault, did_you_mean

Reader = TableReader | EventReader

_KEYS = ("csv", "tensorboard")  # of `report`
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_EVENTS = "*tfevents*"  # in the name of each event file


def path_faults(reports: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the paths of such files. reports: `report` of the sweep file."""
    for key in [key for key in _KEYS if key in reports]:
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
            for key in _KEYS
            if key in reports
        }
        self._readers: dict[Path, Reader] = {}
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._names = RunNames(metric)
        self.doubts: dict[str, str] = {}
        for key, pattern in self._patterns.items():
            for file, root in _files(key, pattern):
                with contextlib.suppress(OSError):  # told when its reports are read
                    self._stamps[file] = _stamp(file)
                    self._reader(key, file, root).skip()

    @property
    def refused(self) -> str:
        """Why the trial must end: nobody knows which of its numbers is the sweep's metric; "": it needn't."""
        return self._names.refused

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def read(self, last: bool = False) -> Iterator[Report]:
        """Yield the reports that have come to the files. last: nothing more will."""
        for key, pattern in self._patterns.items():
            for file, root in _files(key, pattern):
                try:
                    if last or self._stamps.get(file) != _stamp(file):
                        self._stamps[file] = _stamp(file)
                        reader = self._reader(key, file, root)
                        yield from reader.read(last)
                        self.doubts |= reader.doubts | self._names.doubts
                except FileNotFoundError:  # it is being replaced, or was removed
                    continue
                except OSError as error:
                    text = f"report.{key}: {file} can't be read: {error.strerror}"
                    self.doubts.setdefault(f"unread {key}", text)
            if last and not _files(key, pattern):
                self.doubts[f"no {key}"] = f"report.{key}: there is no file {pattern}"

    def _reader(self, key: str, file: Path, root: Path) -> Reader:
        if file not in self._readers:
            table = key == "csv"
            made = TableReader(file, self._metric) if table else EventReader(file, self._metric, self._names, root)
            self._readers[file] = made
        return self._readers[file]


def _stamp(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _from(folder: Path, pattern: str) -> str:
    return pattern if pattern.startswith("/") else f"{glob.escape(str(folder))}/{pattern}"


def _files(key: str, pattern: str) -> list[tuple[Path, Path]]:
    """Return the files of a pattern in their names' order, each with the folder that is read; of TensorBoard, those in
    the folder and below it."""
    places = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 (it may be absolute)
    found: dict[Path, Path] = {}
    for place in places:
        if key == "tensorboard" and place.is_dir():
            root = place.parent if glob.has_magic(Path(pattern).name) else place  # of any name: one of several runs
            found |= {file: root for file in sorted(place.rglob(_EVENTS)) if file not in found}
        else:
            found.setdefault(place, place.parent)
    return [(file, root) for file, root in found.items() if file.is_file()]
