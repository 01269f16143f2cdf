"""What workers on other machines do with what the driver sent (files.py): what they lack, and where things are here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from hpo.engines.base import EngineError
from hpo.engines.ray.copies import Copies, SentContent
from hpo.engines.ray.files import Data, Shipment
from hpo.spec.faults import UserError
from hpo.spec.named import Named


def lacking(shipment: Shipment) -> list[str]:
    """Return the data that is not on this machine. Raises UserError if it is too large to be sent."""
    missing = [path for path, data in shipment.data.items() if not _is_here(Path(path), data)]
    for path in missing:
        if reason := shipment.data[path].too_large:
            raise UserError(
                f"{path} is not on {os.uname().nodename}, and has {reason}, too much to be sent "
                "(put it there under the same path, or on a disk that all machines share)"
            )
    return missing


def _is_here(path: Path, data: Data) -> bool:
    """Whether a path has the same files as the driver's; if there are too many to compare, it must be the driver's own
    (a shared disk), as far as one can see."""
    try:
        if data.too_large and path.stat().st_ino != data.inode:
            return False
        for name, size, changed in data.files:
            state = (path / name if name else path).stat()
            if (state.st_size, state.st_mtime_ns) != (size, changed):
                return False
    except OSError:
        return False
    return True


def unpack(shipment: Shipment, root: Path, sent: Mapping[str, SentContent], copies: Copies) -> dict[str, str]:
    """Put what was sent where it belongs; return where things are here, by their path on the driver's machine.

    root: the unpacked package; sent: the contents of what `lacking` named; copies: where they are kept.
    """
    local_paths = {path: str(root / inside) for path, inside in shipment.moved.items()}
    for path in shipment.data:
        local_paths[path] = _store(path, sent[path], copies) if path in sent else path
    for name, path in shipment.links.items():
        link = root / shipment.folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # of another worker on this machine, or code
            link.symlink_to(local_paths[path])
    return local_paths


def _store(path: str, sent: SentContent, copies: Copies) -> str:
    """Let a copy be on this machine's disk; return where it is."""

    def fetch() -> Mapping[str, bytes]:
        import ray

        return cast("Mapping[str, bytes]", ray.get(sent.reference[0]))

    try:
        return str(copies.take(sent, Path(path).name, fetch))
    except OSError as error:
        raise EngineError(f"the driver's {path} can't be kept on {os.uname().nodename}: {error}") from None


def with_paths(named: Named, local_paths: Mapping[str, str]) -> Named:
    """Return an objective with the paths that it has on this machine."""

    def here(text: str) -> str:
        if not text.startswith("/"):
            return text
        for path in (Path(text), *Path(text).parents):
            if str(path) in local_paths:
                return str(Path(local_paths[str(path)]) / Path(text).relative_to(path))
        return text

    def everywhere(value: Any) -> Any:
        if isinstance(value, str):
            return here(value)
        if isinstance(value, Mapping):
            return {key: everywhere(entry) for key, entry in value.items()}
        return [everywhere(entry) for entry in value] if isinstance(value, list | tuple) else value

    return replace(
        named,
        objective=named.objective and here(named.objective),
        program=named.program and here(named.program),
        command=tuple(here(item) for item in named.command),
        data=everywhere(named.data),
        folder=Path(here(str(named.folder))),
    )
