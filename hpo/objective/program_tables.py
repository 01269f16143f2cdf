"""Reports in the rows of a CSV file that grows while its program runs: of Keras, of Lightning, or of a script's own."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

from hpo.objective.program_reports import Report, report_of
from hpo.objective.steps import STEP_KEYS

_SEPARATORS = ",;\t"


class TableReader:
    """Reads the rows that come to a CSV file, each once. Its first line names the columns.

    Columns `epoch` and `step`, whatever their capitals, name the step; every other number is a metric. A file that is
    written anew counts from its beginning, but for rows that were there before (Lightning writes all of them again when
    a column joins).
    """

    def __init__(self, path: Path, metric: str) -> None:
        """metric: the sweep's."""
        self.doubts: dict[str, str] = {}
        self._path = path
        self._metric = metric
        self._offset = 0  # bytes that are read
        self._digest = hashlib.sha256()  # of these
        self._columns: list[str] = []
        self._separator = ","
        self._rows: list[bytes] = []  # a digest each

    def read(self, last: bool = False) -> Iterator[Report]:
        """Yield the reports of new rows. last: the file is complete, so a last row needs no end of line.

        Raises OSError if the file can't be read.
        """
        content = self._path.read_bytes()
        known = 0
        if hashlib.sha256(content[: self._offset]).digest() != self._digest.digest():
            known, self._offset, self._digest, self._columns = len(self._rows), 0, hashlib.sha256(), []
        end = len(content) if last else content.rfind(b"\n") + 1
        new = content[self._offset : end]
        self._digest.update(new)
        self._offset = max(self._offset, end)
        found = list(self._parsed(new.decode("utf-8-sig", "replace")))
        digests = [hashlib.sha256(repr(sorted(row.items())).encode()).digest() for row in found]
        if known and digests[:known] == self._rows:
            found, digests = found[known:], digests[known:]
        elif known:
            self._rows = []
        self._rows += digests
        for row in found:
            if report := report_of(row, self._metric):
                yield report

    def _parsed(self, text: str) -> Iterator[dict[str, float]]:
        """Yield the numbers of each row by their columns."""
        if not self._columns and text.strip():
            self._separator = max(_SEPARATORS, key=text.splitlines()[0].count)
        try:
            for cells in csv.reader(io.StringIO(text), delimiter=self._separator):
                if not self._columns:
                    names = [cell.strip() for cell in cells]
                    self._columns = [name.lower() if name.lower() in STEP_KEYS else name for name in names]
                elif any(cells):
                    yield self._numbers(cells)
        except csv.Error as error:
            self.doubts.setdefault("csv", f"report.csv: {self._path} is no CSV file: {error}")

    def _numbers(self, cells: list[str]) -> dict[str, float]:
        row = {}
        for name, cell in zip(self._columns, cells, strict=False):
            try:
                row[name] = float(cell)
            except ValueError:
                if name == self._metric and cell.strip():
                    text = f"report.csv: {name!r} in {self._path} is {cell[:40]!r}, no number"
                    self.doubts.setdefault("csv", text)
        return row
