"""Where everything lies: the home folder and the two stores in it."""

from __future__ import annotations

import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.ledger.study.urls import absolute_url, masked, sqlite_url
from hpo.spec.faults import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from hpo.ledger.study.database import PatientStorage

_TRIES = 10
# What databases say while another process makes the tables, too.
_BEING_MADE = ("already exists", "duplicate key", "unique constraint", "database is locked", "duplicate entry")


@dataclass(frozen=True)
class Home:
    """A folder with the Optuna journal, MLflow's database and artifacts, and the workers' logs.

    storage: another Optuna storage (a database URL, or the path of a journal file) in place of the journal here.
    tracking: another MLflow tracking URI in place of the database here.
    """

    path: Path
    storage: str | None = None
    tracking: str | None = None

    @property
    def journal(self) -> Path:
        return self.path / "studies.journal"

    @property
    def storage_url(self) -> str:
        """What to give `optuna-dashboard`: a database URL or a journal file's path."""
        return self.storage or str(self.journal)

    @property
    def mlflow_database(self) -> Path | None:
        """MLflow's own database; None where MLflow is elsewhere."""
        return self.path.resolve() / "mlflow.db" if self.tracking is None else None

    @property
    def tracking_uri(self) -> str:
        return self.tracking or sqlite_url(self.path.resolve() / "mlflow.db")

    @property
    def artifacts(self) -> str | None:
        """Where MLflow keeps files; None: a tracking server decides itself."""
        if self.tracking is not None and not self.tracking.startswith("sqlite"):
            return None
        return (self.path.resolve() / "artifacts").as_uri()

    @property
    def checkpoints(self) -> Path:
        return self.path.resolve() / "checkpoints"

    @property
    def kept(self) -> Path:
        """Weights of the best trials, a folder a study."""
        return self.path.resolve() / "kept"

    @property
    def models(self) -> Path:
        """Models that were made of trials, a folder a study."""
        return self.path / "models"

    @property
    def outputs(self) -> Path:
        """What models of confirmations say of test rows, until it is measured."""
        return self.path.resolve() / "test_outputs"

    @property
    def trial_files(self) -> Path:
        """What functions write into their trials' folders, a folder a study."""
        return self.path.resolve() / "trial_files"

    @property
    def reports(self) -> Path:
        """Pages on studies (`hpo report`)."""
        return self.path / "reports"

    @property
    def locks(self) -> Path:
        return self.path / "locks"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def database(self) -> str | None:
        """The URL of the database with the studies; None where they are in a journal file."""
        return self.storage if self.storage is not None and "://" in self.storage else None

    def owner_file(self, study: str) -> Path:
        """Return the file whose lock says who runs a study of a journal: the same from whichever home it is used."""
        journal = Path(self.storage_url).resolve()
        if journal.name == self.journal.name:
            return journal.parent / self.locks.name / f"{study}.owner"
        return journal.with_name(f"{journal.name}.{study}.owner")

    def prepare(self) -> None:
        """Make the folder and see that it can be written. Raises UserError with the reason."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=".writable"):
                pass
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(
                f"the home folder {self.path} can't be written: {reason} (choose another with --home DIR)"
            ) from None

    def exists(self) -> bool:
        """Whether a study may be kept here."""
        return self.storage is not None or self.journal.exists()


def make_home(path: str | Path | None, storage: str | None) -> Home:
    """Return the home of a command: its --home (default `mlruns`), --storage, and MLFLOW_TRACKING_URI.

    All paths are absolute: an objective may change the folder of its process. Raises UserError if the home is a URL.
    """
    if "://" in str(path):
        raise UserError(f"--home {path}: a home is a folder (--storage names a database)")
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or None
    if storage is not None and "://" not in storage:
        storage = str(Path(storage).absolute())
    return Home(
        Path(path or "mlruns").absolute(), storage and absolute_url(storage), tracking and absolute_url(tracking)
    )


def open_storage(home: Home) -> BaseStorage:
    """Open the Optuna storage of a home. Raises UserError if it can't be opened."""
    from hpo.ledger.study.compat import JournalStudies
    from hpo.ledger.study.journal import SafeJournal

    if home.database is not None:
        return open_database(home.database)
    try:
        return JournalStudies(SafeJournal(home.storage_url))
    except Exception as error:  # the operating system's, a line that is no log: all mean that it can't be used
        raise _unusable(home.storage_url, error) from None


def open_database(url: str) -> PatientStorage:
    """Open the Optuna storage in a database; make its tables if there are none. Raises UserError if it can't be."""
    from hpo.ledger.study.database import PatientStorage

    for left in reversed(range(_TRIES)):
        try:
            return PatientStorage(url)
        except Exception as error:  # SQLAlchemy's, a driver's: all mean that it can't be used
            if not left or not any(sign in str(error).lower() for sign in _BEING_MADE):
                raise _unusable(url, error) from None
        time.sleep(random.uniform(0.1, 0.5))
    raise AssertionError("the last try returns or raises")


def _unusable(url: str, error: Exception) -> UserError:
    reason = masked(" ".join(str(error).split()))[:300]
    return UserError(f"the storage {masked(url)} can't be opened: {reason}")
