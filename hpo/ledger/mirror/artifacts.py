"""Files among a run's artefacts: in folders of this machine they are written here, as MLflow writes them; elsewhere by
MLflow."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

DRAFT = ".artifact.uploading."  # what the names of unfinished files begin with; MLflow shows none of these


def artifacts_of(location: str, run_id: str) -> str:
    """Return where a run's files lie, in an experiment whose files lie at `location`."""
    if _folder(location) is not None:
        return f"{location.rstrip('/')}/{run_id}/artifacts"
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.utils.uri import append_to_uri_path

    folder = SqlAlchemyStore.ARTIFACTS_FOLDER_NAME
    return str(append_to_uri_path(location, run_id, folder))  # type: ignore[no-untyped-call]


def put_file(uri: str, source: Path, below: str = "") -> None:
    """Copy a file among the artefacts at an address, in place of one of this name. below: a folder there."""
    folder = _folder(uri)
    if folder is None:
        _repository(uri).log_artifact(str(source), below or None)
    else:
        _copy(source, folder / below)


def put_folder(uri: str, source: Path, below: str = "") -> None:
    """Copy what is in a folder among the artefacts at an address. below: a folder there."""
    folder = _folder(uri)
    if folder is None:
        _repository(uri).log_artifacts(str(source), below or None)
        return
    for place, _, names in os.walk(source):
        target = folder / below / Path(place).relative_to(source)
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            _copy(Path(place, name), target)


def put_text(uri: str, text: str, name: str) -> None:
    """Write a text among the artefacts at an address, in place of a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_text(text, encoding="utf-8")
        put_file(uri, path)


def _folder(uri: str) -> Path | None:
    """Return the folder of this machine at an address as a home has it; None for all others, which MLflow reads."""
    parts = urlsplit(uri)
    plain = uri.startswith("file:///") and not (parts.query or parts.fragment or ";" in uri)
    return Path(url2pathname(parts.path)) if plain else None


def _copy(source: Path, folder: Path) -> None:
    """Copy a file into a folder, all of it or nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=DRAFT, dir=folder)
    os.close(descriptor)
    draft = Path(name)
    try:
        shutil.copy2(source, draft)
        draft.replace(folder / source.name)
    finally:
        draft.unlink(missing_ok=True)  # where it could not be put in its place


def _repository(uri: str) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri)
