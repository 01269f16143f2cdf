"""Where everything lies: the home folder and the two stores in it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.spec.faults import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


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
        return self.tracking or f"sqlite:///{self.mlflow_database}"

    @property
    def artifacts(self) -> str | None:
        """Where MLflow keeps files; None: a tracking server decides itself."""
        if self.tracking is not None and not self.tracking.startswith("sqlite:"):
            return None
        return (self.path.resolve() / "artifacts").as_uri()

    @property
    def locks(self) -> Path:
        return self.path / "locks"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

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
    """Return the home of a command: its --home (default `mlruns`), --storage, and MLFLOW_TRACKING_URI."""
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "").strip() or None
    return Home(Path(path or "mlruns"), storage, tracking)


def open_storage(home: Home) -> BaseStorage:
    """Open the Optuna storage of a home. Raises UserError if it can't be opened."""
    from optuna.storages import JournalStorage, RDBStorage

    from hpo.ledger.journal import SafeJournal

    try:
        if home.storage is not None and "://" in home.storage:
            return RDBStorage(home.storage)
        return JournalStorage(SafeJournal(home.storage_url))
    except Exception as error:  # SQLAlchemy's, a driver's, the operating system's: all mean that it can't be used
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"the storage {_without_password(home.storage_url)} can't be opened: {reason}") from None


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    if not separator or not at:
        return url
    return f"{scheme}://{credentials.partition(':')[0]}:***@{place}"
