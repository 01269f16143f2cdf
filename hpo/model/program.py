"""The whole model as one program that needs no code of the objective's: torch.export's format, PT2.

It takes rows as `Split.x` has them, any number of them, and gives the logits of a classification or a regression's
values in the target's own units: the task's `batch`, its model, the output activation and the target's way back are all
in it. (Of an output activation that makes no probabilities it gives the logits that its outputs stand for.)
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpo.spec.faults import UserError
from hpo.training.evaluation import CHUNK
from hpo.training.run import Run

# What torch.export.save of 2.13 writes. An archive may also hold pickles and compiled code: these are refused.
_ENTRIES = re.compile(
    r"[^/]+/("
    r"data/(weights|constants)/(weight_\d+|tensor_\d+|model_(weights|constants)_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|\.data/\w+)"
)
# What a size may be in it, as SymPy writes it: arithmetic with the number of rows.
_ARITHMETIC = re.compile(
    r"(?:'[su]\d+'|\b[su]\d+\b|\d+|[-+*/%(), <>=]"
    r"|\b(?:Symbol|Integer|Add|Mul|Pow|Max|Min|Mod|FloorDiv|PythonMod|CeilDiv|Eq|Ne|Lt|Le|Gt|Ge)\b"
    r"|\b(?:positive|negative|nonnegative|nonzero|integer|real)=(?:True|False))*"
)
_CLOSE = 1e-5  # of outputs, relative to the largest: the same operations in other kernels


class WholeModel(nn.Module):
    """Rows in, logits or values in the target's own units out."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.model = run.model
        self._batch: Callable[[Tensor], Tensor] = lambda x: run.task.batch(x, run.params, None)
        self._back = run.data.units.answer

        self._kind = run.task.kind if run.data.units.activation is not None else "regression"

    def forward(self, x: Tensor) -> Tensor:
        return self._back(self.model(self._batch(x)))

    def compared(self, outputs: Tensor) -> Tensor:
        """Return outputs as they are to be compared with another program's: of an output activation that makes no
        logits the probabilities, since the logit of 0.999999 has few digits that another rounding leaves alone."""
        if self._kind == "binary":
            return outputs.sigmoid()
        return outputs.softmax(-1) if self._kind == "multiclass" else outputs


def save_program(run: Run, file: Path) -> str:
    """Write the program of a run's model, once it has given the live model's outputs on the validation rows.

    Moves the run's model to the CPU. Returns "", or why there can be no program; then there is no file.
    """
    live, x = WholeModel(run).cpu().eval(), run.validation.x.cpu()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Torch's about its own code
        expected = in_chunks(live, x)
        try:
            sample = torch.cat([x[:1], x[-1:]])
            rows = torch.export.Dim("rows", min=1)
            exported = torch.export.export(live, (sample,), dynamic_shapes=({0: rows},), strict=False)
            torch.export.save(exported, file)
            program = load_program(file)
            reason = differences(program, x, expected, live.compared)
        except Exception as error:  # of many kinds: what can be exported only Torch knows
            reason = f"torch.export: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if reason:
        file.unlink(missing_ok=True)
    return reason


def in_chunks(program: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the outputs for rows x [N, ...], in the pieces in which training measures: they decide the rounding."""
    with torch.no_grad():
        return torch.cat([program(part) for part in torch.split(x, CHUNK)])


def load_program(file: Path) -> Callable[[Tensor], Tensor]:
    """Return a program as a function. Raises UserError if the file is none, or could run code of its own."""
    try:
        _refuse_code(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(file).module()
    except UserError:
        raise
    except Exception as error:  # of many kinds, as the file may be anything
        told = " ".join(str(error).split())[:300]
        raise UserError(f"{file} is no program that can be loaded: {type(error).__name__}: {told}") from None


def differences(
    program: Callable[[Tensor], Tensor], x: Tensor, expected: Tensor, compared: Callable[[Tensor], Tensor]
) -> str:
    """Return in words how a program's outputs for rows x differ from the live model's; "" if they are the same.

    compared: WholeModel.compared of the live one.
    """
    largest = compared(expected).abs().max().clamp(min=1)
    for count in dict.fromkeys((len(x), 1, min(3, len(x)))):
        found = in_chunks(program, x[:count])
        if found.shape != expected[:count].shape:
            return f"its outputs have the shape {tuple(found.shape)}, not {tuple(expected[:count].shape)}"
        furthest = (compared(found) - compared(expected[:count])).abs().max() / largest
        if not furthest <= _CLOSE:
            return f"its outputs are not the model's: they differ by {furthest:.2g}"
    return ""


def _refuse_code(file: Path) -> None:
    """Raise UserError if reading an archive would unpickle anything, or load compiled code."""
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if not _ENTRIES.fullmatch(name):
                raise UserError(f"{file} is refused: it has {name!r}, which could run code")
            if name.endswith("_config.json") and _pickles(json.loads(archive.read(name))):
                raise UserError(f"{file} is refused: {name} names pickles, which could run code")
            if name.endswith("model.json"):
                _check_sizes(file, json.loads(archive.read(name)))
            if name.endswith(".pt"):
                torch.load(io.BytesIO(archive.read(name)), weights_only=True)  # torch.export would unpickle it


def _pickles(config: Any) -> bool:
    if isinstance(config, dict):
        return bool(config.get("use_pickle")) or any(_pickles(each) for each in config.values())
    return isinstance(config, list) and any(_pickles(each) for each in config)


def _check_sizes(file: Path, node: Any) -> None:
    """Raise UserError if a size is an expression that is more than arithmetic: SymPy evaluates them as Python."""
    if isinstance(node, list):
        for each in node:
            _check_sizes(file, each)
    elif isinstance(node, dict):
        for key, each in node.items():
            if key == "expr_str" and isinstance(each, str) and not _ARITHMETIC.fullmatch(each):
                raise UserError(f"{file} is refused: it has the size {each[:60]!r}, which could run code")
            _check_sizes(file, each)
