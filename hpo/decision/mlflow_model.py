"""A written model as MLflow's folder of it: signature, input example, requirements, and how it is loaded.

Its flavour is `python_function` with `hpo.model.pyfunc` as the loader module. No pickle is in it, and none of the
objective's code. The requirements are named here: MLflow would find them out by loading the model in another process.
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpo.model.loaded import LoadedModel
from hpo.model.preprocessing import columns_of
from hpo.training.data.columns import NumberColumn, TextColumn
from hpo.training.data.date_columns import DateColumn
from hpo.training.data.windows import FittedWindows

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema

_NEEDED = ("hpo-sweep", "torch", "numpy", "pandas", "mlflow")  # where a model is used
_TEXT = "text"  # of a column of which training had no category


def save_for_mlflow(model: LoadedModel, folder: Path, model_id: str, run_id: str) -> None:
    """Write MLflow's folder of a model; folder: a new one. model_id, run_id: MLflow's ids of the model and its run."""
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")  # or files of the working directory come along
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's about its own code
        import mlflow.pyfunc
        from mlflow.models import Model

        example = example_of(model)
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module="hpo.model.pyfunc",
            data_path=str(model.folder),
            mlflow_model=Model(model_uuid=model_id, model_id=model_id, run_id=run_id),
            signature=signature_of(model, example),
            input_example=example,
            pip_requirements=requirements(),
            metadata={"study": model.config["study"], "trial": model.config["trial"]},
        )


def requirements() -> list[str]:
    """Return the packages with which a model gives the predictions that it gives here."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in _NEEDED]  # +cpu: of this machine only


def example_of(model: LoadedModel) -> Any:
    """Return rows as the model takes them: a DataFrame of one row with medians and known categories, an array of zeros
    where training had no columns' names. No row of the data is given away."""
    fitted = columns_of(model.preprocessing)
    if fitted is not None:
        numbers, texts = fitted.plain_columns
        columns: list[NumberColumn | DateColumn | TextColumn] = [*numbers, *fitted.dates, *texts]
        rows = model.preprocessing.length if isinstance(model.preprocessing, FittedWindows) else 1
        return pd.DataFrame({column.name: [_typical(column)] * rows for column in columns})
    known = model.config["input"]
    return np.zeros((1, *known["shape"]), dtype=known["dtype"])


def signature_of(model: LoadedModel, example: Any) -> ModelSignature:
    """Return what MLflow compares rows with, and how predictions look.

    A table's columns are `Any`: MLflow would refuse whole numbers for `double`, as which pandas reads a column without
    gaps, and truths or numbers for `string`. The model itself says what is no number or no known category.
    """
    from mlflow.models import ModelSignature, infer_signature

    found, _ = model.answer(example)
    return ModelSignature(_inputs(model), infer_signature(example, found).outputs)


def _inputs(model: LoadedModel) -> Schema:
    from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec

    fitted = columns_of(model.preprocessing)
    if fitted is not None:
        anything = AnyType()  # type: ignore[no-untyped-call]
        return Schema([ColSpec(anything, name) for name in fitted.needed])
    known = model.config["input"]
    return Schema([TensorSpec(np.dtype(known["dtype"]), (-1, *known["shape"]))])


def _typical(column: NumberColumn | DateColumn | TextColumn) -> Any:
    if isinstance(column, DateColumn):
        return column.origin
    if isinstance(column, TextColumn):
        return next(iter(column.categories), _TEXT)
    if column.truths:
        return True
    return float(column.median or 0.0)
