"""From a table in the order of time to windows of its rows, as a recurrent network takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import UserError
from hpo.training.data.columns import FittedColumns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")


@dataclass(frozen=True)
class FittedWindows:
    """How a table becomes windows of `length` rows; implements hpo.training.task.Preprocessing."""

    columns: FittedColumns
    length: int

    @property
    def needed(self) -> list[str]:
        """The columns that a table must have."""
        return self.columns.needed

    def cut(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return all windows [rows - length + 1, length, features] of rows' features [rows, features]."""
        return np.lib.stride_tricks.sliding_window_view(features, self.length, axis=0).transpose(0, 2, 1)

    def features(self, frame: pd.DataFrame) -> tuple[NDArray[np.float32], list[str]]:
        """Return the windows of a table in the order of time, and in sentences what is to be known of them.

        Raises UserError for too few rows, and as FittedColumns.features.
        """
        if len(frame) < self.length:
            raise UserError(f"this model looks at {self.length} rows in the order of time, but there are {len(frame)}")
        found, told = self.columns.features(frame)
        rows = f"rows {self.length} to {len(frame)}" if len(frame) > self.length else f"row {self.length}"
        return self.cut(found), [f"rows are taken to be in the order of time; predictions are made at {rows}", *told]

    def plain(self) -> dict[str, Any]:
        return {"kind": "windows", "length": self.length, "columns": self.columns.plain()}

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> FittedWindows:
        return FittedWindows(FittedColumns.restored(plain["columns"]), plain["length"])
