"""A written model, read again: rows in, classes and probabilities or values out. Needs no study and no objective."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.model.folder import read_config
from hpo.model.preprocessing import Fitted, features, restored
from hpo.spec.faults import UserError
from hpo.training.vocabulary.metrics import are_called
from hpo.training.vocabulary.thresholds import HALF, logit_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = lazy_import("numpy")
    pd = lazy_import("pandas")
    torch = lazy_import("torch")


def load_model(path: str | Path) -> LoadedModel:
    """Return the model in a folder that `hpo model` wrote.

    Its program is read at the first prediction. Raises UserError if there is no model in the folder.
    """
    return LoadedModel(Path(path))


class LoadedModel:
    """A model that predicts; `config` is its description, as model.json has it."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError if the folder has no model."""
        self.folder = folder
        self.config: dict[str, Any] = read_config(folder)
        self._fitted = restored(self.config["preprocessing"])

    def __repr__(self) -> str:
        return f"<hpo model of trial {self.config['trial']} of {self.config['study']!r}, {self.config['kind']}>"

    @property
    def classes(self) -> list[Any]:
        """The classes in the order of their probabilities: names, or 0, 1, ... if they have none. A regression: []."""
        if self.config["kind"] == "regression":
            return []
        return self.config["classes"] or list(range(max(2, self.config["outputs"])))

    @property
    def threshold(self) -> float:
        """Of two classes: a row is of the second one where its probability is above it."""
        return float(self.config.get("threshold") or HALF)  # earlier releases had no other

    @property
    def preprocessing(self) -> Fitted:
        """What turns rows into the model's features; None: rows are taken as they are."""
        return self._fitted

    def predict(self, rows: pd.DataFrame | NDArray[Any]) -> Any:
        """Return a prediction for each row.

        rows: a DataFrame with the columns of training, in any order, gaps and all; an array [N, *input shape] where
            training had no columns' names (config["input"]).
        Returns a DataFrame with the rows' index for a DataFrame: `prediction`, and for classes `probability_NAME` of
        each; for an array the predictions alone: [N] names of classes, or values in the target's own units.
        What was not as in training (unknown categories, extra columns) is a UserWarning each.
        Raises UserError for rows that don't fit: missing columns are named.
        """
        found, told = self.answer(rows)
        for note in told:
            warnings.warn(note, UserWarning, stacklevel=2)
        return found if isinstance(rows, pd.DataFrame) else found["prediction"].to_numpy()

    def predict_proba(self, rows: pd.DataFrame | NDArray[Any]) -> Any:
        """Return the probability of each class, [N, classes]: a DataFrame with the classes as columns for a DataFrame,
        else an array. As `predict` otherwise. Raises UserError for a regression."""
        if not self.classes:
            raise UserError("a regression's model has no probabilities: ask `predict`")
        outputs, told = self._outputs(rows)
        for note in told:
            warnings.warn(note, UserWarning, stacklevel=2)
        shares = self._probabilities(outputs)
        return pd.DataFrame(shares, rows.index, self.classes) if isinstance(rows, pd.DataFrame) else shares

    def answer(self, rows: pd.DataFrame | NDArray[Any]) -> tuple[pd.DataFrame, list[str]]:
        """Return what `predict` returns for a DataFrame, and in sentences what was not as in training."""
        outputs, told = self._outputs(rows)
        # Of windows of rows there are fewer than rows: each stands at its last row.
        index = rows.index[len(rows) - len(outputs) :] if isinstance(rows, pd.DataFrame) else None
        if not self.classes:
            return pd.DataFrame({"prediction": outputs.numpy()}, index), told
        # As the metrics have it; a probability of one half says less than its logit.
        codes = are_called(outputs, logit_of(self.threshold)).long() if outputs.dim() == 1 else outputs.argmax(-1)
        names = pd.Index(self.classes).take(codes.numpy())
        columns = [f"probability_{name}" for name in self.classes]
        found = pd.DataFrame(self._probabilities(outputs), index, columns)
        found.insert(0, "prediction", names.to_numpy())
        return found, told

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights, for a model of your own code: `model.load_state_dict(...)`."""
        from hpo.model.weights import load_weights

        return load_weights(self.folder / self.config["weights"])

    @cached_property
    def _program(self) -> Callable[[Tensor], Tensor]:
        from hpo.model.program import load_program

        if self.config["program"] is None:
            raise UserError(
                f"{self.folder} has weights, but no program that runs by itself ({self.config['no_program']}): "
                "load its state_dict() into your own model"
            )
        return load_program(self.folder / self.config["program"])

    def _outputs(self, rows: Any) -> tuple[Tensor, list[str]]:
        from hpo.model.program import in_chunks

        known = self.config["input"]
        x, told = features(self._fitted, rows, known["shape"], known["dtype"])
        return in_chunks(self._program, torch.from_numpy(np.ascontiguousarray(x))), told

    def _probabilities(self, outputs: Tensor) -> NDArray[Any]:
        if outputs.dim() == 1:
            return torch.stack([torch.sigmoid(-outputs), torch.sigmoid(outputs)], -1).numpy()
        return outputs.softmax(-1).numpy()
