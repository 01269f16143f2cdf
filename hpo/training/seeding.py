"""Where a trial's random numbers come from: three streams of its own, derived from its seed.

Three, so that one use of chance never shifts another: a model with one more layer still sees the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Streams:
    """The generators of one trial. Weights and batch order live on the CPU, so that every device gets the same ones;
    noise (dropout masks, augmentation) is drawn where it is used."""

    weights: torch.Generator
    order: torch.Generator
    noise: torch.Generator


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed in [0, 2**63) for one purpose. Hashed, so that neighbouring seeds share no stream."""
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def streams(seed: int, device: torch.device) -> Streams:
    """Return the three generators of the trial with this seed."""
    return Streams(
        weights=torch.Generator().manual_seed(derive_seed(seed, "weights")),
        order=torch.Generator().manual_seed(derive_seed(seed, "order")),
        noise=torch.Generator(device).manual_seed(derive_seed(seed, "noise")),
    )


def global_generators(device: torch.device) -> list[torch.Generator]:
    """Return the generators that code without one draws from: the CPU's, and the device's."""
    if device.type == "cuda":
        return [torch.default_generator, torch.cuda.default_generators[device.index or 0]]
    return [torch.default_generator]


@contextmanager
def global_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's global generator inside the block and put its state back afterwards.

    For code that takes no generator: constructors of layers, `torch.nn.functional.dropout` in a user's model.
    """
    # Not torch.manual_seed and fork_rng: they visit every kind of device, which costs more than a small model's epoch.
    generators = global_generators(device)
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
