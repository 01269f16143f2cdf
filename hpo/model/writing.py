"""A run that has trained, as the files of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.model.folder import FORMAT, ONNX, PROGRAM, write_config
from hpo.model.onnx_file import NO_WRITERS, can_write, save_onnx
from hpo.model.program import save_program
from hpo.model.weights import digest_of_weights, save_weights
from hpo.training.run import Run
from hpo.training.task import Splits


def write_model(folder: Path, run: Run, splits: Splits, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write a trained model into an empty folder; return its description, as model.json has it.

    splits: those that it was trained on. facts: of the trial, which come first in the description.
    `program` in it is None where torch.export can't have the model; `no_program` says why then. So do `onnx` and
    `no_onnx`.
    """
    weights = save_weights(run.model.state_dict(), folder)
    reason = save_program(run, folder / PROGRAM)
    no_onnx = save_onnx(run, folder / ONNX) if can_write() else NO_WRITERS
    rows, fitted = splits.train.x, splits.preprocessing
    config = {
        "format": FORMAT,
        **facts,
        "kind": run.task.kind,
        "all_params": dict(run.params),
        "epochs": run.epochs,
        "data_digest": splits.digest(run.task.kind),
        "rows": {"train": len(splits.train), "used": len(run.train)},
        "input": {"shape": list(rows.shape[1:]), "dtype": str(rows.dtype).removeprefix("torch.")},
        "output": "values in the target's own units" if run.task.kind == "regression" else "logits",
        "outputs": splits.outputs,
        "classes": list(splits.classes) or None,
        "threshold": run.threshold.probability if run.task.kind == "binary" else None,
        "target_transform": dict(run.data.units.transform) or None,
        "preprocessing": fitted.plain() if fitted is not None else None,
        "weights": weights,
        "weights_digest": digest_of_weights(run.model.state_dict()),
        "program": None if reason else PROGRAM,
        **({"no_program": reason} if reason else {}),
        "onnx": None if no_onnx else ONNX,
        **({"no_onnx": no_onnx} if no_onnx else {}),
    }
    write_config(folder, config)
    return config
