"""What belongs to NumPy, scikit-learn, Torch and Matplotlib: settings of a whole process. Call with them loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from hpo.objective.surroundings_parts import Part, unchangeable


def numpy_parts() -> list[Part]:
    """Return NumPy's parts."""
    numpy = sys.modules["numpy"]
    return [
        Part("NumPy's handling of errors", numpy.geterr, lambda before: numpy.seterr(**before)),
        Part("NumPy's error callback", numpy.geterrcall, numpy.seterrcall),
        Part(
            "NumPy's print options", lambda: dict(numpy.get_printoptions()), lambda old: numpy.set_printoptions(**old)
        ),
    ]


def sklearn_parts() -> list[Part]:
    """Return scikit-learn's parts."""
    sklearn = sys.modules["sklearn"]
    return [Part("scikit-learn's settings", sklearn.get_config, lambda before: sklearn.set_config(**before))]


def torch_parts() -> list[Part]:
    """Return Torch's parts."""
    torch: Any = sys.modules["torch"]
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn

    def deterministic() -> tuple[bool, bool]:
        warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        return torch.are_deterministic_algorithms_enabled(), warn_only

    def set_device(device: Any) -> None:
        torch.set_default_device(None if device == torch.device("cpu") else device)

    def autocast() -> list[bool]:
        return [torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")]

    def set_autocast(before: list[bool]) -> None:
        for kind, on in zip(("cpu", "cuda"), before, strict=True):
            torch.set_autocast_enabled(kind, on)

    def flushes() -> bool:  # of the processor, for which there is no other way to ask
        return bool(torch.tensor(1e-310, dtype=torch.float64, device="cpu").mul(1.0) == 0)

    def distributed() -> bool:
        return bool(torch.distributed.is_available() and torch.distributed.is_initialized())

    def set_cudnn(before: tuple[bool, bool, bool]) -> None:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = before

    return [
        # first: what makes tensors depends on it
        Part("Torch's default device", torch.get_default_device, set_device),
        Part("Torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Part("Torch's grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
        Part("Torch's inference mode", torch.is_inference_mode_enabled, unchangeable("torch.inference_mode")),
        Part(
            "Torch's deterministic algorithms",
            deterministic,
            lambda before: torch.use_deterministic_algorithms(before[0], warn_only=before[1]),
        ),
        Part("Torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        Part("Torch's autocast", autocast, set_autocast),
        Part("cuDNN's settings", lambda: (cudnn.enabled, cudnn.benchmark, cudnn.deterministic), set_cudnn),
        Part(
            "Torch's precision of matrix products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        Part("Torch's use of oneDNN", lambda: mkldnn.enabled, lambda on: setattr(mkldnn, "enabled", on)),
        Part("the flushing of denormal numbers", flushes, torch.set_flush_denormal),
        Part("Torch's threads", torch.get_num_threads, torch.set_num_threads),
        Part("Torch's threads between operations", torch.get_num_interop_threads, torch.set_num_interop_threads),
        Part("Torch's process group", distributed, lambda before: torch.distributed.destroy_process_group()),
    ]


def matplotlib_parts(fresh: bool) -> list[Part]:
    """Return Matplotlib's parts.

    fresh: it was imported after the first trial had begun, so its settings were those that it comes with.
    """
    matplotlib: Any = sys.modules["matplotlib"]

    def read() -> dict[str, Any]:
        # not by its own reading, which chooses a backend where none is chosen
        return {key: dict.__getitem__(matplotlib.rcParams, key) for key in dict.keys(matplotlib.rcParams)}

    def first() -> dict[str, Any]:
        original = matplotlib.rcParamsOrig
        known = {key: dict.__getitem__(original, key) for key in dict.keys(original)}
        backend = os.environ.get("MPLBACKEND")
        return known | ({"backend": backend} if backend else {})

    def write(before: Mapping[str, Any]) -> None:
        changed = dict.__getitem__(matplotlib.rcParams, "backend") != before["backend"]
        for key, value in before.items():
            dict.__setitem__(matplotlib.rcParams, key, value)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and changed:
            pyplot.close("all")
            pyplot.switch_backend(before["backend"])
            dict.__setitem__(matplotlib.rcParams, "backend", before["backend"])

    return [Part("Matplotlib's settings", read, write, first if fresh else None)]
