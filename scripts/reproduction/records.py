"""What is recorded in a home. Its journal is read through once, and then only on: it has each report of each trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import hpo
from hpo.ledger.study.home import Home
from hpo.review.studies import RecordedStudy, read_study

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


class Records:
    """The studies of a home, as they are when they are asked for."""

    def __init__(self, home: Path) -> None:
        self._home = Home(home)
        self._storage: BaseStorage | None = None

    def study(self, name: str) -> RecordedStudy:
        """Return a study. Raises hpo.UserError if there is none."""
        study = read_study(self._home, name, self._storage)
        self._storage = study.storage
        return study

    def result(self, name: str) -> hpo.Result:
        """Return a study as `hpo.load` does. Raises hpo.UserError if there is none."""
        return hpo.Result(self._home, self.study(name))
