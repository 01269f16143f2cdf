"""A Torch task on a table: the user's own CSV file, or a source that the task loads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

from hpo.spec.contract import Known
from hpo.spec.faults import Fault, SpecError
from hpo.training.cuts import Cut, Fold
from hpo.training.data import kept_source
from hpo.training.data.csv_check import check_csv
from hpo.training.data.options import check_options, fill_options
from hpo.training.data.split_keys import SPLIT_KEYS
from hpo.training.data.splitting import SCALE_OPTIONS, SPLIT_OPTIONS, check_shares, split_arrays
from hpo.training.data.target_kind import target_kind
from hpo.training.task import Splits, TorchTask

CSV_LIBRARIES = ("pandas", "sklearn.compose", "sklearn.impute", "sklearn.pipeline")  # what reading a table needs


class TableTask(TorchTask):
    """Base class of Torch tasks on a table: what is left to say is `kind`, `model`, and where the rows come from.

    `data: {csv: path, target: column}` reads a CSV file (see `hpo.load_csv`); any other `data` section holds `options`
    and goes to `load_source`. Both take `validation` and `test` (shares of the rows), `split`, `split_seed`, `scale`,
    `resample` and `folds`; a file's rows are also split by `time`, `group`, `split_column` and `test_csv`. A class with
    `splits` of its own takes `cut`, too, and hands it on. One whose source makes its rows by code alone says
    `source_is_fixed = True`: later sweeps take them from the user's cache, and start sooner.
    """

    options: ClassVar[Mapping[str, Known]] = {}
    """The keys of `data` that say which rows `load_source` loads. Empty: the task reads CSV files only."""

    kinds: ClassVar[tuple[type[TableTask], ...]] = ()
    """A task for each kind that the target of a CSV file may ask for: this task is then one of them, by `target_kind`,
    and says nothing else itself. Without a file it is the first."""

    source_is_fixed: ClassVar[bool] = False
    """Whether what `load_source` returns follows from `options`, the file that this class is in, NumPy, SciPy and
    scikit-learn alone: the next sweep then takes it from the user's cache, and its workers need no scikit-learn. Not
    for a source that reads files or a database. A class with another `load_source` says it anew."""

    def for_data(self, data: Mapping[str, Any]) -> TorchTask:
        if not self.kinds or ("csv" not in data and "target" not in data):
            return self.kinds[0]() if self.kinds else self
        found = target_kind(data)
        task = next((each() for each in self.kinds if each.kind == found.kind), None)
        if task is None:
            told = f"{type(self).__name__} has no {found.kind} task, but {found.said or 'data.kind says so'}"
            raise SpecError([Fault(told, ("data", "target"))])
        task.kind_said = found.said
        return task

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return NumPy arrays x [rows, features] and y [rows], see `hpo.split_arrays`.

        options: the value of each of the task's `options`.
        """
        raise NotImplementedError

    def libraries(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        if "csv" in data:
            return (*super().libraries(data), *CSV_LIBRARIES)
        kept = kept_source.is_kept(self, fill_options(data, self.options))
        return (*super().libraries(data), *(() if kept else ("sklearn.datasets",)))

    def check_data(self, data: Mapping[str, Any]) -> list[Fault]:
        if "csv" in data or "target" in data:
            return check_csv(data, self.kind)
        if not self.options:
            return [Fault("there is no table", (), remedy="e.g. data: {csv: churn.csv, target: left}")]
        known = {**self.options, **SPLIT_OPTIONS, **SCALE_OPTIONS}
        foreign = [key for key in SPLIT_KEYS if key in data and key not in known]
        told = "is of a table in a file, but there is no `csv`"
        faults = [Fault(f"{key!r} {told}", (key,), remedy=f"leave {key} out") for key in foreign]
        rest = {key: value for key, value in data.items() if key not in foreign}
        return faults + check_options(rest, known) + check_shares(data)

    def describe_data(self, data: Mapping[str, Any]) -> Sequence[str]:
        if "csv" not in data:
            return ()
        from hpo.training.data.tabular import describe_csv

        folds = fill_options(data, SPLIT_OPTIONS)["folds"]
        notes = describe_csv(data, self.kind, Fold(0, folds) if data.get("resample") == "kfold" else None)
        return (*self._notes, *notes)

    @property
    def _notes(self) -> tuple[str, ...]:
        return (self.kind_said,) if self.kind_said else ()

    def splits(self, data: Mapping[str, Any], cut: Cut | None = None) -> Splits:
        """Load the table that `data` names, split as it says, or by `cut` where the trials have rows of their own."""
        if "csv" in data:
            from hpo.training.data.tabular import load_csv

            splits = load_csv(data, self.kind, cut)
            return replace(splits, notes=(*self._notes, *splits.notes))
        options = fill_options(data, self.options)
        x, y = kept_source.load(self, options) if cut is None else _loaded_once(self, json.dumps(options))
        how = fill_options(data, {**SPLIT_OPTIONS, **SCALE_OPTIONS})
        shares = how["validation"], how["test"]
        return split_arrays(x, y, self.kind, *shares, how["split_seed"], cut, how["split"], how["scale"])


@lru_cache(maxsize=1)  # what is cut anew for each fold, or for each trial
def _loaded_once(task: TableTask, options: str) -> tuple[Any, Any]:
    return kept_source.load(task, json.loads(options))
