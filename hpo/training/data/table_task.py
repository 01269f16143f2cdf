"""A Torch task on a table: the user's own CSV file, or a source that the task loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hpo.spec.contract import Known
from hpo.spec.faults import Fault
from hpo.training.data.csv_check import check_csv
from hpo.training.data.options import check_options, fill_options
from hpo.training.data.splitting import SPLIT_OPTIONS, check_shares, split_arrays
from hpo.training.task import Splits, TorchTask


class TableTask(TorchTask):
    """Base class of Torch tasks on a table: what is left to say is `kind`, `model`, and where the rows come from.

    `data: {csv: path, target: column}` reads a CSV file (see `hpo.load_csv`); any other `data` section holds `options`
    and goes to `load_source`. Both take `validation` and `test` (shares of the rows) and `split_seed`.
    """

    options: ClassVar[Mapping[str, Known]] = {}
    """The keys of `data` that say which rows `load_source` loads. Empty: the task reads CSV files only."""

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return NumPy arrays x [rows, features] and y [rows], see `hpo.split_arrays`.

        options: the value of each of the task's `options`.
        """
        raise NotImplementedError

    def libraries(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        table = ("pandas", "sklearn.compose", "sklearn.impute", "sklearn.pipeline") if "csv" in data else ()
        return (*super().libraries(data), "sklearn.datasets", *table)

    def check_data(self, data: Mapping[str, Any]) -> list[Fault]:
        if "csv" in data or "target" in data:
            return check_csv(data, self.kind)
        if not self.options:
            return [Fault("there is no table", (), remedy="e.g. data: {csv: churn.csv, target: left}")]
        return check_options(data, {**self.options, **SPLIT_OPTIONS}) + check_shares(data)

    def splits(self, data: Mapping[str, Any]) -> Splits:
        if "csv" in data:
            from hpo.training.data.tabular import load_csv

            return load_csv(data, self.kind)
        x, y = self.load_source(fill_options(data, self.options))
        shares = fill_options(data, SPLIT_OPTIONS)
        return split_arrays(x, y, self.kind, shares["validation"], shares["test"], shares["split_seed"])
