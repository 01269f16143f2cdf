"""From the rows that people have to what a model takes, by what was fitted in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import UserError
from hpo.training.data.columns import FittedColumns, cleaned, number_values
from hpo.training.data.csv_rows import listed
from hpo.training.data.scale import FittedScale
from hpo.training.data.windows import FittedWindows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")
    pd = lazy_import("pandas")

Fitted = FittedColumns | FittedScale | FittedWindows | None


def restored(plain: Mapping[str, Any] | None) -> Fitted:
    """Return what `Preprocessing.plain` gave as it was. Raises UserError for a kind that this release doesn't know."""
    if plain is None:
        return None
    if plain["kind"] == "columns":
        return FittedColumns.restored(plain)
    if plain["kind"] == "windows":
        return FittedWindows.restored(plain)
    if plain["kind"] == "scale":
        return FittedScale.restored(plain)
    raise UserError(f"the model's preprocessing is of the kind {plain['kind']!r}, which this release doesn't know")


def columns_of(fitted: Fitted) -> FittedColumns | None:
    """Return what a model knows of a table's columns; None: it takes arrays."""
    return (
        fitted.columns if isinstance(fitted, FittedWindows) else fitted if isinstance(fitted, FittedColumns) else None
    )


def features(fitted: Fitted, rows: Any, shape: Sequence[int], dtype: str) -> tuple[NDArray[Any], list[str]]:
    """Return rows as the model takes them, [N, *shape], and in sentences what was not as in training.

    rows: a pandas DataFrame; an array [N, *shape] where training had no columns' names.
    dtype: the model's, as NumPy names it.
    Raises UserError if they don't fit.
    """
    if isinstance(fitted, FittedColumns | FittedWindows):
        if not isinstance(rows, pd.DataFrame):
            raise UserError(
                f"this model takes a pandas DataFrame with the columns {listed(fitted.needed)}, "
                f"but got {type(rows).__name__}"
            )
        return fitted.features(rows)
    told: list[str] = []
    if isinstance(rows, pd.DataFrame):
        rows, told = _by_place(rows, shape)
    array = np.asarray(rows)
    if array.shape[1:] != tuple(shape):
        raise UserError(f"rows must have the shape {('N', *shape)}, but got {array.shape}".replace("'", ""))
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        what = f"of the type {array.dtype}" if array.dtype.kind not in "biuf" else "some that are missing or infinite"
        raise UserError(f"rows must be finite numbers, but there are {what}")
    if fitted is not None:
        array = fitted.apply(array)
    with np.errstate(over="ignore", invalid="ignore"):
        x = array.astype(dtype)
    if not np.isfinite(x).all() or (x.dtype.kind in "iu" and (x != array).any()):
        raise UserError(f"rows must be numbers of the type {x.dtype}, but some are beyond it")
    return x, told


def _by_place(frame: pd.DataFrame, shape: Sequence[int]) -> tuple[NDArray[Any], list[str]]:
    """Return a table's columns as an array, in their order."""
    if len(shape) != 1:
        raise UserError(
            f"this model takes rows of the shape {tuple(shape)}, which no table holds: give an array [N, "
            f"{', '.join(map(str, shape))}] to hpo.load_model(...).predict"
        )
    names = [str(name) for name in frame.columns]
    if len(names) != shape[0]:
        raise UserError(f"this model takes {shape[0]} columns, but there are {len(names)}: {listed(names)}")
    table = cleaned(frame.set_axis(range(len(names)), axis=1))
    array = np.column_stack([number_values(table[place]) for place in table.columns])
    odd = [name for name, column in zip(names, array.T, strict=True) if np.isnan(column).any()]
    if odd:
        raise UserError(f"this model takes finite numbers only, but some are missing or none in {listed(odd)}")
    return array, [f"training had no names of columns: the {len(names)} columns are taken in their order"]
