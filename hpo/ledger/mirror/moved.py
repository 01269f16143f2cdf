"""A home that was moved or copied: MLflow's database notes where files lie as absolute addresses, of the old place.

Read and corrected without MLflow, in the home's own database only. Files that lie in the old place and not in the new
one were put there on purpose, and stay as they are noted.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from hpo.ledger.study.home import Home
from hpo.ledger.study.urls import sqlite_uri

_FOLDER = "artifacts"
# Where MLflow notes the places of models' files, which lie beside those of the runs.
_OF_MODELS = (
    ("logged_models", "artifact_location"), ("model_versions", "source"), ("model_versions", "storage_location")
)  # fmt: skip


class OldLocation(NamedTuple):
    """Where an experiment's files are said to lie, although its home is elsewhere."""

    experiment: int
    name: str
    location: str  # of the experiment
    runs: int  # that are noted to lie there


def old_locations(home: Home, copy: Path | None = None) -> list[OldLocation]:
    """Return the experiments whose files are noted at a place that this home has left. copy: of the home's database, in
    its place. Raises sqlite3.Error."""
    database = copy or home.mlflow_database
    if database is None or not database.exists():
        return []
    here = str(home.artifacts)
    query = (
        "select e.experiment_id, e.name, r.artifact_uri, t.run_uuid from runs r "
        "join experiments e on e.experiment_id = r.experiment_id "
        "join tags t on t.run_uuid = r.run_uuid and t.key = 'hpo.kind'"
    )
    with closing(sqlite3.connect(sqlite_uri(database), uri=True, timeout=20)) as connection:
        found: dict[tuple[int, str, str], int] = {}
        kept: set[str] = set()  # locations that hold files which this home lacks
        for experiment, name, uri, run in connection.execute(query):
            location = _location(str(uri), str(run))
            if location and location != here:
                key = int(experiment), str(name), location
                found[key] = found.get(key, 0) + 1
                if not _left(location, here, str(run)):
                    kept.add(location)
    return [OldLocation(*key, runs) for key, runs in sorted(found.items()) if key[2] not in kept]


def correct_locations(home: Home, old: list[OldLocation], copy: Path | None = None) -> list[str]:
    """Note that these files lie in the home; return what was done. copy: of the home's database, in its place. Raises
    sqlite3.Error."""
    database, here = copy or home.mlflow_database, str(home.artifacts)
    if database is None or not old:
        return []
    with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
        for place in old:
            end = len(place.location)
            connection.execute(
                "update runs set artifact_uri = ? || substr(artifact_uri, ?) "
                "where experiment_id = ? and substr(artifact_uri, 1, ?) = ?",
                (here, end + 1, place.experiment, end + 1, f"{place.location}/"),
            )
            for table, column in _OF_MODELS:
                connection.execute(
                    f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                    (here, end + 1, end + 1, f"{place.location}/"),
                )
            connection.execute(
                "update experiments set artifact_location = ? where experiment_id = ? and artifact_location = ?",
                (here, place.experiment, place.location),
            )
    return [f"the files of {described(place)} are now noted at {here}" for place in old]


def described(place: OldLocation) -> str:
    """Return which files are meant, and where they are said to lie."""
    return f"{place.runs} runs of experiment {place.name!r}, at {place.location}"


def _location(uri: str, run: str) -> str:
    """Return the experiment's location of a run's address, "" if it is none as a home has it."""
    location, mark, _ = uri.partition(f"/{run}/")
    parts = urlsplit(location)
    plain = mark and parts.scheme == "file" and not parts.netloc
    return location if plain and Path(unquote(parts.path)).name == _FOLDER else ""


def _left(old: str, new: str, run: str) -> bool:
    there, here = (Path(unquote(urlsplit(place).path), run) for place in (old, new))
    return here.exists() or not there.exists()
