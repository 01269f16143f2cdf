"""Which data a sweep trains on, as far as its file says it: name, digest, number of rows."""

from __future__ import annotations

import csv
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.ledger.study.urls import masked
from hpo.training.data.csv_rows import FileForm, open_table

_MOST = 200_000_000  # bytes of a file that is read for this: a sweep waits for it
_DIGEST = 32  # characters; MLflow takes 36
_LONGEST = 2_000  # characters of what says where data comes from


def dataset_of(data: Mapping[str, Any], objective: str, now: float, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the study keeps of the data: plain JSON types; {} where the sweep file says nothing of them.

    A CSV file's digest is its content's, SHA-256; with a `test_csv` it is of both. That of other data, and of a very
    large file, is of what the sweep file says of them, and nobody knows their rows. data: the section, its paths
    absolute. earlier: what the study has so far; `since` says from when on trials are known to have had this data, in
    seconds since the Unix epoch.
    """
    if not data:
        return {}
    found = _csv_file(data) or _described(data, objective)
    same = earlier.get("digest") == found["digest"] and earlier.get("name") == found["name"]
    return {**found, "since": earlier["since"] if same else now}


def _csv_file(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what there is to say of a CSV file; None if there is none that can be read here."""
    if not isinstance(data.get("csv"), str):
        return None
    path, test = Path(data["csv"]).expanduser(), data.get("test_csv")
    try:
        digest, rows = _content(path, FileForm.of(data))
        if isinstance(test, str):
            own, more = _content(Path(test).expanduser(), FileForm.of({**data, "csv": test}))
            digest, rows = hashlib.sha256(f"{digest} {own}".encode()).hexdigest(), rows + more
    except _TooLarge:
        return None
    except (OSError, EOFError, ValueError, csv.Error, zlib.error, TypeError, LookupError, ImportError):
        # checked elsewhere, where it can be read
        return None
    return {
        "name": path.name,
        "digest": digest[:_DIGEST],
        "rows": rows,
        "type": "local",
        "source": {"uri": str(path)},
    }


class _TooLarge(Exception):
    pass


def _content(path: Path, form: FileForm) -> tuple[str, int]:
    """Return the digest of a file, and how many rows it has below its header. Raises what opening and reading raise."""
    if path.stat().st_size > _MOST:
        raise _TooLarge
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with open_table(path, form.encoding) as text:
        lines = sum(1 for row in csv.reader(text, delimiter=str(form.separator)) if row)
    return digest, max(lines - 1, 0)


def _described(data: Mapping[str, Any], objective: str) -> dict[str, Any]:
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)
    source = data.get("source")
    name = source if isinstance(source, str) else objective or "data"
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    described = {"data": masked(text)[:_LONGEST]}
    return {"name": masked(name)[:200], "digest": digest, "rows": None, "type": "code", "source": described}
