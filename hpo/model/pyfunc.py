"""A written model as MLflow loads it: `mlflow.pyfunc.load_model`, `mlflow models serve`.

MLflow calls `_load_pyfunc` with the model's folder (its flavour `python_function` with a loader module). No pickle, and
nothing of the objective's code; this package must be installed where the model is used.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.model.loaded import LoadedModel, load_model

if TYPE_CHECKING:
    import pandas as pd


class ServedModel:
    """What MLflow asks for predictions."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def predict(self, rows: Any, params: Any = None) -> pd.DataFrame:
        """Return a row for each row: `prediction`, and for classes `probability_NAME` of each.

        rows: as LoadedModel.predict takes them; MLflow has compared them with the signature. What was not as in
        training is a UserWarning each. Raises UserError for rows that don't fit.
        """
        found, told = self._model.answer(rows)
        for note in told:
            warnings.warn(note, UserWarning, stacklevel=2)
        return found


def _load_pyfunc(path: str) -> ServedModel:
    return ServedModel(load_model(Path(path)))
