"""A model's weights in a file: safetensors where that is installed, else a state dict that Torch reads as data."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hpo.spec.faults import UserError

SAFE, PLAIN = "weights.safetensors", "weights.pt"


def save_weights(weights: Mapping[str, Tensor], folder: Path) -> str:
    """Write weights (a state dict); return the file's name."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    if importlib.util.find_spec("safetensors") is not None:
        from safetensors.torch import save_file

        save_file(tensors, folder / SAFE)
        return SAFE
    torch.save(tensors, folder / PLAIN)
    return PLAIN


def digest_of_weights(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights (a state dict), in hexadecimal: the same in whichever format they are written."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{plain.dtype}:{tuple(plain.shape)};".encode())
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_weights(file: Path) -> dict[str, Tensor]:
    """Return the state dict in a file. Raises UserError if the package is missing that reads it."""
    if file.name == PLAIN:
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    if importlib.util.find_spec("safetensors") is None:
        raise UserError(f"{file} needs the package safetensors: pip install safetensors")
    from safetensors.torch import load_file

    return dict(load_file(file))
