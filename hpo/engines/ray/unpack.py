"""What workers on other machines do with what the driver sent (files.py): what they lack, and where things are here."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo.engines.ray.files import Data, Shipment
from hpo.spec.faults import UserError
from hpo.spec.load import Named


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


def unpack(shipment: Shipment, root: Path, sent: Mapping[str, Any]) -> dict[str, str]:
    """Put what was sent where it belongs; return where things are here, by their path on the driver's machine.

    root: the unpacked package; sent: references to the contents of what `lacking` named.
    """
    local_paths = {path: str(root / inside) for path, inside in shipment.moved.items()}
    for path, data in shipment.data.items():
        local_paths[path] = _store(path, data, sent[path]) if path in sent else path
    for name, path in shipment.links.items():
        link = root / shipment.folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # of another worker on this machine, or code
            link.symlink_to(local_paths[path])
    return local_paths


def _store(path: str, data: Data, reference: Any) -> str:
    """Write contents to this machine's disk, unless another worker did so before; return where they are."""
    import ray

    parent = Path(tempfile.gettempdir()) / f"hpo-data-{os.getuid()}"
    parent.mkdir(mode=0o700, exist_ok=True)
    target = parent / data.digest
    if not target.exists():
        draft = Path(tempfile.mkdtemp(dir=parent))
        for name, content in ray.get(reference[0]).items():
            file = draft / Path(path).name / name if name else draft / Path(path).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        try:
            draft.rename(target)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not target.exists():  # else another worker was faster
                raise
    return str(target / Path(path).name)


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
