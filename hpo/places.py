"""Where data sets lie. What downloads them (hpo.download) and what reads them (hpo.training) agree here."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

CIFAR10_SIZE = "170 MB to download, 184 MB on the disk"  # 170,052,171 bytes; six files of 30,730,000
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAINING_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10_TEST_FILE = "test_batch.bin"
CIFAR10_FILES = (*CIFAR10_TRAINING_FILES, CIFAR10_TEST_FILE)


def default_root() -> Path:
    """Return where downloads go unless the user says otherwise: $HPO_DATA, else `data` in the working directory."""
    return Path(os.environ.get("HPO_DATA") or "data").expanduser()


def data_folders() -> list[Path]:
    """Return where data is looked for unless the user says, in this order: $HPO_DATA, ./data, the cache's folder."""
    cache = cache_folder()
    return list(dict.fromkeys([default_root(), Path("data"), *([cache] if cache else [])]))


def cache_folder() -> Path | None:
    """Return the folder for what can be made again at any time: `hpo` in $XDG_CACHE_HOME, else in ~/.cache. None: this
    user has no home."""
    with contextlib.suppress(RuntimeError):
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hpo"
    return None
