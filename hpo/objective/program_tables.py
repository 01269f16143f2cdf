"""Reports in the rows of a CSV file that grows while its program runs: of Keras, of Lightning, or of a script's own."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpo.objective.program_reports import Report, report_of
from hpo.objective.steps import STEP_KEYS

_SEPARATORS = ",;\t"
_COMMENT = "#"


class TableReader:
    """Reads the rows that come to a CSV file, each once. Its first line names the columns.

    Columns `epoch` and `step`, whatever their capitals, name the step; every other number is a metric. A line that
    names columns again (a fold's header, behind the rows of another) holds for the rows behind it. Lines that begin
    with # are comments at the file's beginning; the last of them has the names if a row of numbers follows.

    A file that is written anew counts from its beginning, but for the rows that were reported from there: those that
    are the same, in the same places (Lightning writes all of them again when a column joins), however much of them is
    there when the file is looked at.

    doubts: what can't be taken, by kind, in words: the first of each.
    """

    def __init__(self, path: Path, metric: str) -> None:
        """metric: the sweep's."""
        self.doubts: dict[str, str] = {}
        self._path = path
        self._metric = metric
        self._columns = _Header()
        self._offset = 0  # bytes that are read
        self._digest = hashlib.sha256()  # of these
        self._stamp: tuple[int, int] | None = None  # of the file as it was left alone: its inode, its time of change
        self._row = 0  # the place of the row that comes next
        self._rows: list[bytes] = []  # a digest of each that was reported, by its place

    def skip(self) -> None:
        """Pass over what is there: it is another trial's. Raises OSError if the file can't be read."""
        stat = self._path.stat()
        for _ in self._new_rows(last=True):
            pass
        self._stamp = (stat.st_ino, stat.st_mtime_ns)
        self._row = 0

    def read(self, last: bool = False) -> Iterator[Report]:
        """Yield the reports of new rows. last: the file is complete, so a last row needs no end of line.

        Raises OSError if the file can't be read.
        """
        for row in self._new_rows(last):
            digest = hashlib.sha256(repr(sorted(row.items())).encode()).digest()
            place, self._row = self._row, self._row + 1
            if place < len(self._rows) and self._rows[place] == digest:
                continue
            self._rows[place:] = [digest]
            if report := report_of(row, self._metric):
                yield report

    def _new_rows(self, last: bool) -> Iterator[dict[str, float]]:
        stat = self._path.stat()
        content = self._path.read_bytes()
        if self._is_anew(content, (stat.st_ino, stat.st_mtime_ns)):
            self._row, self._offset, self._digest, self._columns = 0, 0, hashlib.sha256(), _Header()
            self._stamp = None
        end = len(content) if last else content.rfind(b"\n") + 1
        new = content[self._offset : end]
        if new:
            self._stamp = None
        self._digest.update(new)
        self._offset = max(self._offset, end)
        yield from self._parsed(new.decode("utf-8-sig", "replace"))

    def _is_anew(self, content: bytes, stamp: tuple[int, int]) -> bool:
        """Whether what was read is no longer the file's beginning, or is there again: the same, of another trial."""
        if hashlib.sha256(content[: self._offset]).digest() != self._digest.digest():
            return True
        if self._stamp is None or self._stamp == stamp:
            return False
        return stamp[0] != self._stamp[0] or len(content) == self._offset  # else rows were added to it

    def _parsed(self, text: str) -> Iterator[dict[str, float]]:
        """Yield the numbers of each row by their columns."""
        columns = self._columns
        try:
            for cells in csv.reader(_lines_of(text, columns), delimiter=columns.separator):
                if not any(cell.strip() for cell in cells):
                    continue
                if not columns.names:
                    yield from self._headed(cells)
                elif columns.are_again(cells, self._metric):
                    columns.name(cells)
                else:
                    yield from self._numbers(cells)
        except csv.Error as error:
            self.doubts.setdefault("csv", f"report.csv: {self._path} is no CSV file: {error}")

    def _headed(self, cells: Sequence[str]) -> Iterator[dict[str, float]]:
        """Take the names of the columns from the file's first line that is no comment."""
        columns = self._columns
        if any(_number(cell) is None for cell in cells if cell.strip()):
            columns.name(cells)
        elif len(columns.comment) == len(cells):
            columns.name(columns.comment)
            yield from self._numbers(cells)
        else:
            columns.name([""] * len(cells))
            self.doubts.setdefault("csv", f"report.csv: the first line of {self._path} must name the columns: {cells}")

    def _numbers(self, cells: Sequence[str]) -> Iterator[dict[str, float]]:
        names = self._columns.names
        if any(cell.strip() for cell in cells[len(names) :]):
            text = f"a row has {len(cells)} columns, and its header {len(names)}"
            self.doubts.setdefault("csv", f"report.csv: a row of {self._path} is left out: {text}: {cells}"[:400])
            return
        row = {}
        for name, cell in zip(names, cells, strict=False):
            number = _number(cell)
            if number is not None and name:
                row[name] = number
            elif name == self._metric and cell.strip():
                text = f"report.csv: {name!r} in {self._path} is {cell[:40]!r}, no number"
                self.doubts.setdefault("csv", text)
        if not row.keys() - set(STEP_KEYS) and len(names) == 1 and names[0]:
            text = f"has one column, {names[0]!r}: columns are separated by a comma, a semicolon or a tab"
            self.doubts.setdefault("csv", f"report.csv: {self._path} {text}, and rows of {cells[0][:40]!r} have none")
        yield row


class _Header:
    """What is known of a table's columns. names: in their order; empty: of none that is taken."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.separator = ","
        self.comment: list[str] = []  # the cells of the last comment before them

    def name(self, cells: Sequence[str]) -> None:
        names = [cell.strip() for cell in cells]
        self.names = [name.lower() if name.lower() in STEP_KEYS else name for name in names]

    def are_again(self, cells: Sequence[str], metric: str) -> bool:
        """Whether a line names columns: it has no numbers, and a name that is known. metric: the sweep's."""
        words = [cell.strip() for cell in cells]
        if not all(words) or any(_number(word) is not None for word in words):
            return False
        known = {*self.names, metric, *STEP_KEYS}
        return any(word in known or word.lower() in STEP_KEYS for word in words)


def _lines_of(text: str, columns: _Header) -> io.StringIO:
    """Return a text without the comments at its beginning, and note its separator, where columns have no names yet."""
    start = 0
    while not columns.names:
        end = text.find("\n", start) + 1 or len(text)
        line = text[start:end].strip()
        if not line.startswith(_COMMENT):
            if line:
                columns.separator = max(_SEPARATORS, key=line.count)
                break
            if end == len(text):
                break
        else:
            words = line.lstrip(_COMMENT).strip()
            columns.comment = words.split(max(_SEPARATORS, key=words.count))
        if start == end:
            break
        start = end
    return io.StringIO(text[start:])


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
