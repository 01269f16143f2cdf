"""CIFAR-10 (Krizhevsky 2009) from the files of its official binary version.

A record is one label byte (0 to 9), then 3,072 pixel bytes: 32 x 32, all red, all green, all blue.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.places import (
    CIFAR10_FILES,
    CIFAR10_FOLDER,
    CIFAR10_TEST_FILE,
    CIFAR10_TRAINING_FILES,
    data_folders,
    default_root,
)
from hpo.spec.contract import Known
from hpo.spec.faults import Fault, SpecError, UserError, did_you_mean
from hpo.spec.paths import expanded
from hpo.training.data.options import check_options
from hpo.training.task import Split, Splits

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

RECORD = 1 + 3 * 32 * 32  # bytes
# By label, as in the archive's batches.meta.txt.
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = len(NAMES)
# Mean and standard deviation of the 50,000 training pictures, pixels from 0 to 1, by channel; as in Keller Jordan's
# airbench (https://github.com/KellerJordan/cifar10-airbench) and most of the literature.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
PADDING = 4  # pixels of black on each side before a random crop (He et al. 2016, section 4.2)
_VALIDATION = 0.1
_SEED = 0
_SCALES: dict[torch.device, tuple[Tensor, Tensor]] = {}

OPTIONS = {
    "limit": Known("float", 1, "share in (0, 1], or a count above 1, of training pictures to use", within="(0, inf)"),
    "scale": Known("bool", True, "whether each colour is standardised; false: pixels are from 0 to 1, no more"),
}


def find_cifar10(root: str | Path | None = None) -> Path:
    """Return the folder with CIFAR-10's six binary files.

    root: the folder itself or the one it lies in; None: the first of `data_folders()` that has it.
    Raises UserError that says what to do if there is none, or if it is incomplete.
    """
    places = [expanded(root)] if root is not None else data_folders()
    for place in places:
        for folder in (place / CIFAR10_FOLDER, place):
            present = [name for name in CIFAR10_FILES if (folder / name).is_file()]
            if len(present) == len(CIFAR10_FILES):
                return folder
            if present or (folder.name == CIFAR10_FOLDER and folder.is_dir()):
                lacking = ", ".join(name for name in CIFAR10_FILES if name not in present)
                remedy = f"remove it and run `hpo data cifar10`, which puts it into {default_root() / CIFAR10_FOLDER}"
                raise UserError(f"{folder} is incomplete: it lacks {lacking} ({remedy})")
    looked = ", ".join(str(place) for place in places)
    python_version = next((place for place in places if (place / "cifar-10-batches-py").is_dir()), None)
    other = f"; {python_version} has the Python version, the binary version is needed" if python_version else ""
    raise UserError(
        f"CIFAR-10 is not in {looked}{other} (run `hpo data cifar10`, which puts it into "
        f"{default_root() / CIFAR10_FOLDER}, or set data: {{root: FOLDER}} to the folder that holds {CIFAR10_FOLDER})"
    )


def check_cifar10(data: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with `data: {root: folder, limit: share or count, scale: true or false}`, all optional.

    Looks at the files' sizes, but at no picture. Each fault's path is relative to `data`.
    """
    keys = [*OPTIONS, "root"]
    unknown = [key for key in data if key not in keys]
    faults = [Fault(f"unknown key {key!r}", (str(key),), remedy=did_you_mean(str(key), keys)) for key in unknown]
    faults += check_options({key: data[key] for key in OPTIONS if key in data}, OPTIONS)
    root = data.get("root")
    if root is not None and (not isinstance(root, str) or not root):
        return [*faults, Fault(f"must be a folder's path, but got {root!r}", ("root",))]
    try:
        folder = find_cifar10(root)
        counts = {name: _count(folder / name) for name in CIFAR10_FILES}
    except UserError as error:
        return [*faults, Fault(str(error), ("root",) if "root" in data else ())]
    limit = data.get("limit", 1)
    if not OPTIONS["limit"].objection(limit):
        pictures = sum(counts[name] for name in CIFAR10_TRAINING_FILES)
        training = pictures - _validation_size(pictures)
        if limit > 1 and (limit != int(limit) or limit > training):
            rule = f"must be a share in (0, 1] or a whole number up to the {training} training pictures"
            faults.append(Fault(f"{rule}, but got {limit!r}", ("limit",)))
    return faults


def load_cifar10(data: Mapping[str, Any] | None = None) -> Splits:
    """Read the pictures: x uint8 [N, 3, 32, 32], y int64 [N].

    data: `root`, see `find_cifar10`; `limit`, the share or count of training pictures to keep, by which validation and
        test shrink alike (default: all). A smaller limit takes a part of what a larger one takes. `scale: false`: x is
        float32, bytes / 255, in four times the memory, and `normalise_cifar10` leaves it so.
    A tenth of the 50,000 training pictures, drawn by a fixed seed, is for validation; test is `test_batch.bin`.
    Raises SpecError for bad settings or sizes, UserError for a label above 9.
    """
    data = data or {}
    faults = check_cifar10(data)
    if faults:
        raise SpecError(faults, "data")
    folder = find_cifar10(data.get("root"))
    pictures = np.concatenate([_records(folder / name) for name in CIFAR10_TRAINING_FILES])
    final = _records(folder / CIFAR10_TEST_FILE)
    order = np.random.default_rng(_SEED).permutation(len(pictures))
    cut = _validation_size(len(pictures))
    validating, training = order[:cut], order[cut:]
    limit = data.get("limit", 1)
    share = limit if limit <= 1 else limit / len(training)
    testing = np.random.default_rng(_SEED).permutation(len(final)) if share < 1 else np.arange(len(final))
    train, validation, test = (
        _split(records[rows[: max(1, round(share * len(rows)))]], data.get("scale", OPTIONS["scale"].default))
        for records, rows in ((pictures, training), (pictures, validating), (final, testing))
    )
    sizes = f"{len(train)} training, {len(validation)} validation and {len(test)} test pictures"
    limited = f", a share of {share:.3g} of each split (data.limit)" if share < 1 else ""
    plain = "" if train.x.dtype == torch.uint8 else "; pixels are from 0 to 1 (data.scale: false)"
    notes = (f"CIFAR-10 from {folder}: {sizes}{limited}{plain}",)
    return Splits(train, validation, test, CLASSES, notes, NAMES)


def normalise_cifar10(x: Tensor) -> Tensor:
    """Return pictures (uint8 [B, 3, 32, 32]) as float32 with about mean 0 and deviation 1 in each channel.

    Pictures of floats are returned as they are: `data: {scale: false}` has made them.
    """
    if x.is_floating_point():
        return x
    mean, std = _scale(x.device)
    return (x.float() - mean) / std


def _scale(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and deviation, of bytes."""
    if device in _SCALES:
        return _SCALES[device]
    mean, std = (torch.tensor(each, device=device).view(3, 1, 1) * 255 for each in (MEAN, STD))
    if device.type == "cuda":  # to which the numbers would travel with each batch
        _SCALES[device] = mean, std
    return mean, std


def augment_pictures(x: Tensor, generator: torch.Generator, flip: bool = False, crop: bool = False) -> Tensor:
    """Return pictures ([B, C, H, W]) changed at random, each by its own draw.

    flip: left and right change places in half of them. crop: shift by up to 4 pixels each way; black comes in.
    """
    rows, _, height, width = x.shape
    if flip:
        mirrored = torch.rand(rows, generator=generator, device=generator.device).to(x.device) < 0.5
        x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)
    if crop:
        drawn = torch.randint(2 * PADDING + 1, (2, rows, 1), generator=generator, device=generator.device)
        top, left = drawn.to(x.device)
        down, across = top + torch.arange(height, device=x.device), left + torch.arange(width, device=x.device)
        padded = torch.nn.functional.pad(x, (PADDING,) * 4)
        picture = torch.arange(rows, device=x.device).view(-1, 1, 1)
        # Indexing with a slice between index arrays puts the channels last.
        x = padded[picture, :, down.unsqueeze(2), across.unsqueeze(1)].permute(0, 3, 1, 2).contiguous()
    return x


def _validation_size(pictures: int) -> int:
    return max(1, round(_VALIDATION * pictures))


def _count(path: Path) -> int:
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        told = f"{path} must hold whole records of {RECORD} bytes, but has {size} bytes: it is cut off or another file"
        raise UserError(f"{told} (remove its folder and run `hpo data cifar10`)")
    return size // RECORD


def _records(path: Path) -> NDArray[np.uint8]:
    """Return the file's records, [N, 3073]."""
    records: NDArray[np.uint8] = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        row = int((records[:, 0] >= CLASSES).argmax())
        told = f"{path}: labels must lie in 0 to {CLASSES - 1}, but picture {row} has {records[row, 0]}"
        raise UserError(f"{told} (is this the binary version of CIFAR-10, not of CIFAR-100?)")
    return records


def _split(records: NDArray[np.uint8], scale: bool) -> Split:
    x = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy())
    if not scale:
        x = x.float().div_(255)
    return Split(x, torch.from_numpy(records[:, 0].astype(np.int64)))
