"""Standardising of arrays: fitted on the training rows, plain numbers that can be written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")


@dataclass(frozen=True)
class FittedScale:
    """The mean of each column, and by what it is divided then; implements hpo.training.task.Preprocessing."""

    means: tuple[float, ...]
    scales: tuple[float, ...]

    @staticmethod
    def fit(train: NDArray[Any]) -> FittedScale:
        """Return what makes the mean and the standard deviation of each column of `train` [rows, columns] 0 and 1.

        A column that is constant in `train` is only shifted.
        """
        mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
        # A constant column's deviation need not come out as exactly 0 in floating point.
        scale = np.where(deviation > 1e-12 * np.maximum(1.0, np.abs(mean)), deviation, 1.0)
        return FittedScale(tuple(mean.tolist()), tuple(scale.tolist()))

    @staticmethod
    def none(columns: int) -> FittedScale:
        """Return what leaves so many columns as they are."""
        return FittedScale((0.0,) * columns, (1.0,) * columns)

    def apply(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return rows [N, columns] on the model's scale."""
        scaled: NDArray[np.float64] = (x - np.array(self.means)) / np.array(self.scales)
        return scaled

    def plain(self) -> dict[str, Any]:
        return {"kind": "scale", "means": list(self.means), "scales": list(self.scales)}

    @staticmethod
    def restored(plain: Mapping[str, Any]) -> FittedScale:
        return FittedScale(tuple(plain["means"]), tuple(plain["scales"]))
