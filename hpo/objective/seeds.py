"""Seeding the global generators of random numbers, which belong to nobody and so to every trial in turn."""

from __future__ import annotations

import random
import sys

from hpo.lazy import when_loaded


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch; of one that is not loaded, as soon as it is."""
    seed_python_and_numpy(seed)
    when_loaded("torch", "seed", lambda: sys.modules["torch"].manual_seed(seed))


def seed_python_and_numpy(seed: int) -> None:
    """Seed what a Torch task may draw from beside Torch's generators, which `hpo.training` sees to."""
    random.seed(seed)
    when_loaded("numpy", "seed", lambda: sys.modules["numpy"].random.seed(seed % 2**32))
