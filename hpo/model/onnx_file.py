"""The whole model as ONNX, for other runtimes: where the packages are that write it (`hpo-sweep[onnx]`).

Like the program, it takes rows as `Split.x` has them and gives logits, or values in the target's own units.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor

from hpo.model.program import WholeModel, differences, in_chunks
from hpo.training.run import Run

_WRITERS = ("onnx", "onnxscript")  # what torch.onnx.export of 2.13 needs
NO_WRITERS = "hpo-sweep[onnx] is not installed"
INPUT, OUTPUT = "rows", "outputs"


def can_write() -> bool:
    """Whether the packages are there that write ONNX."""
    return all(importlib.util.find_spec(name) is not None for name in _WRITERS)


def save_onnx(run: Run, file: Path) -> str:
    """Write a run's model as ONNX. With onnxruntime installed, only if that gives the live model's outputs on the
    validation rows.

    Moves the run's model to the CPU. Returns "", or why there can be no such file; then there is none.
    """
    live, x = WholeModel(run).cpu().eval(), run.validation.x.cpu()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of Torch and of ONNX about their own code
        try:
            torch.onnx.export(
                live, (torch.cat([x[:1], x[-1:]]),), file, dynamo=True, external_data=False, verbose=False,
                input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("rows", min=1)},),
            )  # fmt: skip
            reason = _check(file, x, in_chunks(live, x), live)
        except Exception as error:  # of many kinds: what can be exported only Torch knows
            reason = f"torch.onnx: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if reason:
        file.unlink(missing_ok=True)
    return reason


def _check(file: Path, x: Tensor, expected: Tensor, live: WholeModel) -> str:
    """Return in words how the file's outputs differ from the live model's; "" if they don't, or if nobody can tell."""
    if importlib.util.find_spec("onnxruntime") is None:
        return ""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return differences(
        lambda part: torch.from_numpy(session.run(None, {INPUT: part.numpy()})[0]), x, expected, live.compared
    )
