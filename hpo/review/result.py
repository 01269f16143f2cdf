"""`hpo.load`: a study in a script or a notebook.

result = hpo.load("binary")
result.trials.groupby("optimizer")["val_accuracy"].max()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.study.home import Home, make_home
from hpo.ledger.study.urls import masked
from hpo.review.certainty import Certainty, certainty_of
from hpo.review.studies import RecordedStudy, best_of, read_study
from hpo.review.trials import table_of

if TYPE_CHECKING:
    import optuna
    import pandas as pd


@dataclass(frozen=True)
class Best:
    """A study's best trial: the complete one with the best value, of equal ones the earlier."""

    number: int
    value: float
    params: Mapping[str, Any]  # the configuration: active parameters, constants included
    seed: int
    certainty: Certainty  # how many other trials lie within the noise of it


class Result:
    """What is recorded of a study, as it was when it was loaded; `reload()` reads it again.

    Made by `hpo.load`. It writes nothing, and holds no state but its own.
    """

    def __init__(self, home: Home, study: RecordedStudy) -> None:
        self._home = home
        self._study = study

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.name

    @property
    def path(self) -> Path:
        """The home: the folder with the records of the study, unless its storage is elsewhere."""
        return self._home.path

    @property
    def sweep(self) -> dict[str, Any]:
        """The resolved sweep, every default filled in, as plain values: what MLflow has as resolved.yaml."""
        return self._study.config

    @property
    def trials(self) -> pd.DataFrame:
        """A new DataFrame with a row a trial, by number: the columns of `hpo trials` (docs/decision.md). Lists and
        mappings among a parameter's choices are Python's own; what a trial has not is missing."""
        return table_of(self._study).frame

    @property
    def best(self) -> Best | None:
        """The best trial; None while no trial is complete."""
        if not self._study.complete:
            return None
        best = best_of(self._study)
        assert best.value is not None
        return Best(best.number, best.value, dict(best.params), best.seed, certainty_of(self._study))

    @property
    def optuna(self) -> optuna.Study:
        """The Optuna study itself, from the same storage, for Optuna's own functions; it is live.

        Lists, mappings and some booleans among choices are kept there as JSON text, constants are not parameters, and
        a study that several drivers share may hold withdrawn trials, failed ones with the attribute `surplus`. Read
        it; trials that are added to it by other means than a sweep are not in MLflow.
        """
        import optuna

        return optuna.load_study(study_name=self.name, storage=self._study.storage)

    def reload(self) -> Result:
        """Return the study as it is now."""
        return Result(self._home, read_study(self._home, self.name))

    def __repr__(self) -> str:
        where = masked(self._home.storage_url)
        return f"<hpo.Result {self.name!r}, {len(self._study.trials):,} trials, in {where!r}>"


def load(study: str, home: str | Path | None = None, storage: str | None = None) -> Result:
    """Return what is recorded of a study.

    home: the folder where everything is kept, default `mlruns` in the working directory. storage: another Optuna
    storage in place of the journal there, a database's URL or a journal's path; as the options of the command line.

    Raises hpo.UserError if there is no such study (with its likely name), if it was not made by hpo, or if the storage
    can't be opened.
    """
    found = make_home(home, storage)
    return Result(found, read_study(found, study))
