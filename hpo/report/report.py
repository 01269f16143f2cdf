"""`hpo report`: one page on a study, its plots as PNG files beside it, and both in MLflow."""

from __future__ import annotations

import errno
import importlib.util
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hpo.files import write_whole
from hpo.ledger.study.confirmations import confirming
from hpo.ledger.study.home import Home
from hpo.report.facts import StudyFacts
from hpo.report.logged import log_report
from hpo.report.page import rendered
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.faults import UserError

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
# What reports have called their plots: a folder may hold other pictures of the user's.
_PLOTS = re.compile(
    r"(best-so-far|importance|isolation|parallel-coordinates|contour|choices-\d+|learning-curves|troubles|layers"
    r"|learning-rates|cost|noise)\.png"
)
IN_MLFLOW = "report.html"  # the page's path among the artefacts of the sweep's run; the plots' folder is "report"


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written. note: why it lies elsewhere than it was to; "": it doesn't. unlogged: why MLflow does
    not have it; "": it has."""

    study: RecordedStudy
    page: Path
    plots: Path  # a folder of PNG files
    pictures: int  # in it
    note: str
    unlogged: str

    def lines(self) -> list[str]:
        """Return where everything lies, for people."""
        count = f"{self.pictures} PNG file{'' if self.pictures == 1 else 's'}"
        lines = [f"report    {self.page}"]
        lines += [f"plots     {self.plots} ({count})"] if self.pictures else []
        lines += [f"mlflow    {IN_MLFLOW}, an artefact of the sweep's run"] if not self.unlogged else []
        return lines

    def troubles(self) -> list[str]:
        """Return what went otherwise than it was to, for people."""
        unlogged = f"the report is not logged to MLflow: {self.unlogged}" if self.unlogged else ""
        return [text for text in (self.note, unlogged) if text]


def write_report(home: Home, name: str, output: Path | None = None) -> WrittenReport:
    """Write the report of a study, in place of an earlier one, and log it to the sweep's run in MLflow.

    output: the page's file; None: `reports/NAME.html` in the home, or `NAME.html` in the working directory, if the home
    can't be written. The plots are in a folder beside it, with `-plots` in place of the file's ending; what an earlier
    report has left there is removed, other files stay.

    Raises UserError if there is no such study, if it is a confirmation, or if the page can't be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("a report needs Matplotlib, which is not installed (pip install 'hpo-sweep[plots]')")
    study = read_study(home, name)
    if (what := confirming(study.attributes)) is not None:
        raise UserError(f"the study {name!r} confirms {what.study!r}: the report of that one has what came out")
    page, pictures = rendered(StudyFacts(home, study, time.time()))
    content, note = page.encode("utf-8", "backslashreplace"), ""
    path = output.absolute() if output is not None else home.reports / f"{name}.html"
    try:
        try:
            plots = _write(path, content, pictures, makes_folder=output is None)
        except OSError as error:
            if output is not None or error.errno not in _NOT_WRITABLE:
                raise
            note = f"the home can't be written ({error.strerror}): the report is in this folder"
            path = Path(f"{name}.html").absolute()
            plots = _write(path, content, pictures)
    except OSError as error:
        remedy = "--output FILE writes another one" if output is None else "name another file by --output"
        raise UserError(f"the report {path} can't be written: {error.strerror or error} ({remedy})") from None
    in_mlflow = {IN_MLFLOW: content} | {f"report/{file}": picture for file, picture in pictures.items()}
    return WrittenReport(study, path, plots, len(pictures), note, log_report(home, study, in_mlflow))


def why_there_is_none(error: Exception) -> str:
    """Return why a report was not written, for who has a finished sweep in hand, which must not be lost by it. With
    its traceback, where it is no fault of the user's."""
    return str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error)).rstrip()


def _write(path: Path, content: bytes, pictures: Mapping[str, bytes], makes_folder: bool = False) -> Path:
    """Write a page and its pictures; return the folder of these. Raises OSError."""
    if makes_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    folder = path.with_name(f"{path.stem}-plots")
    if pictures:
        folder.mkdir(exist_ok=True)
    for file, picture in pictures.items():
        write_whole(folder / file, picture)
    for old in folder.glob("*.png"):  # of an earlier report, which had more to show
        if old.name not in pictures and _PLOTS.fullmatch(old.name):
            old.unlink()
    return folder
