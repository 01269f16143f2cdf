"""A CSV file as the rows of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo.spec.faults import UserError
from hpo.training.data.csv_check import check_rows
from hpo.training.data.csv_rows import FileForm
from hpo.training.data.tabular import read_table

if TYPE_CHECKING:
    import pandas as pd


def read_rows(path: str, form: FileForm) -> pd.DataFrame:
    """Return a CSV file's rows as texts. Raises UserError with what is wrong with it."""
    if faults := check_rows(path, form):
        told = "; ".join(f"{fault.message}{f' ({fault.remedy})' if fault.remedy else ''}" for fault in faults)
        raise UserError(f"{path} {told}")
    return read_table(path, form)
