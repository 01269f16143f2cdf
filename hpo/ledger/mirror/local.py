"""The home's own database of MLflow without MLflow, which takes seconds of a processor to load.

LocalClient does what a sweep asks of MlflowClient, under the same names, and leaves the same rows
(tests/ledger/mirror/test_local_client.py compares them). Read from MLflow 3.17.2: store/tracking/sqlalchemy_store.py,
store/db/utils.py.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, create_engine, event, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_replace
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hpo.ledger.mirror.artifacts import put_file, put_folder, put_text
from hpo.ledger.mirror.rows import DatasetRows, Point
from hpo.ledger.mirror.statements import add_inputs, add_points, now
from hpo.ledger.mirror.tables import EXPERIMENT_TAGS, EXPERIMENTS, RUNS, TAGS
from hpo.ledger.study.urls import sqlite_uri, sqlite_url

_LONGEST_TAG = 8000  # characters; MLflow cuts off what comes after
_LOOK_EVERY = 1.0  # seconds
_RUN_NAME = "mlflow.runName"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"


class StoreError(Exception):
    """What MLflow's store would raise as its own exception: of the database, or against what was asked."""

    def __init__(self, what: object, error_code: str) -> None:
        """error_code: MLflow's."""
        super().__init__(str(what))
        self.error_code = error_code


class RunInfo(NamedTuple):
    """What MLflow calls a run's info, as far as it is needed."""

    run_id: str
    run_name: str
    status: str
    lifecycle_stage: str
    experiment_id: str
    artifact_uri: str


class RunTags(NamedTuple):
    """What MLflow calls a run's data, as far as it is needed."""

    tags: dict[str, str]


class LocalRun(NamedTuple):
    """A run."""

    info: RunInfo
    data: RunTags


class LocalExperiment(NamedTuple):
    """An experiment."""

    experiment_id: str
    name: str
    artifact_location: str
    lifecycle_stage: str


class LocalClient:
    """Reads and writes a SQLite database of MLflow's, in transactions as MLflow's store has them."""

    def __init__(self, database: Path) -> None:
        self._path = database
        self.engine = create_engine(sqlite_url(database), pool_pre_ping=True)
        self._looked = -math.inf  # when the file was last looked at

        @event.listens_for(self.engine, "connect")
        def prepare(connection: Any, record: Any) -> None:
            cursor = connection.cursor()
            for setting in ("busy_timeout = 20000", "foreign_keys = ON", "case_sensitive_like = true"):
                cursor.execute(f"PRAGMA {setting}")
            cursor.close()

    @contextmanager
    def transaction(self, read_only: bool = True) -> Iterator[Connection]:
        """Write what is written inside in one transaction, nothing of it if something fails. Raises StoreError.

        read_only: nothing is written inside; it would be taken back.
        """
        try:
            with self.engine.connect() as connection:
                if time.monotonic() > self._looked + _LOOK_EVERY:
                    self._look()
                yield connection
                if not read_only:
                    connection.commit()
        except StoreError:
            raise
        except OperationalError as error:
            raise StoreError(error, "TEMPORARILY_UNAVAILABLE") from error
        except SQLAlchemyError as error:
            raise StoreError(error, "BAD_REQUEST") from error
        except Exception as error:
            raise StoreError(error, "INTERNAL_ERROR") from error

    def look(self) -> None:
        """See that the file can still be read. Raises StoreError."""
        self._looked = -math.inf
        with self.transaction():
            pass

    def _look(self) -> None:
        """Read how the tables are declared from the file. SQLite keeps what an open connection has read of it, so that
        a file that somebody has written over would be written to until the end, all in vain."""
        if self._path.exists():  # else SQLite would make an empty one
            with closing(sqlite3.connect(sqlite_uri(self._path), uri=True, timeout=20)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master")
        self._looked = time.monotonic()

    def is_ordinary(self) -> bool:
        """Whether MLflow would have nothing to do or to object when it opens the database."""
        query = select(EXPERIMENTS.c.experiment_id, EXPERIMENTS.c.workspace)
        with self.transaction() as connection:
            found = {int(experiment): workspace for experiment, workspace in connection.execute(query)}
        return 0 in found and set(found.values()) == {"default"}

    def get_experiment(self, experiment_id: str) -> LocalExperiment:
        """Return an experiment, a deleted one as well. Raises StoreError if there is none."""
        found = self._experiment(EXPERIMENTS.c.experiment_id == int(experiment_id))
        if found is None:
            raise StoreError(f"No Experiment with id={experiment_id} exists", _ABSENT)
        return found

    def get_experiment_by_name(self, name: str) -> LocalExperiment | None:
        """Return the experiment of a name, a deleted one as well; None if there is none."""
        return self._experiment(EXPERIMENTS.c.name == name)

    def _experiment(self, condition: Any) -> LocalExperiment | None:
        columns = EXPERIMENTS.c
        query = select(columns.experiment_id, columns.name, columns.artifact_location, columns.lifecycle_stage)
        with self.transaction() as connection:
            row = connection.execute(query.where(condition)).first()
        return None if row is None else LocalExperiment(str(row[0]), *row[1:])

    def create_experiment(self, name: str, artifact_location: str) -> str:
        """Make an experiment; return its id. Raises StoreError if there is one of this name."""
        moment = now()
        row: dict[str, Any] = {"name": name, "workspace": "default", "artifact_location": artifact_location}
        row |= {"lifecycle_stage": "active", "creation_time": moment, "last_update_time": moment}
        with self.transaction(read_only=False) as connection:
            made = connection.execute(insert(EXPERIMENTS).values(row)).inserted_primary_key
        assert made is not None, "SQLite tells the number of a row that it was given"
        return str(made[0])

    def restore_experiment(self, experiment_id: str) -> None:
        """Bring back a deleted experiment with all its runs."""
        number = int(experiment_id)
        with self.transaction(read_only=False) as connection:
            alive = update(EXPERIMENTS).where(EXPERIMENTS.c.experiment_id == number)
            connection.execute(alive.values(lifecycle_stage="active", last_update_time=now()))
            runs = update(RUNS).where(RUNS.c.experiment_id == number)
            connection.execute(runs.values(lifecycle_stage="active", deleted_time=None))

    def set_experiment_tag(self, experiment_id: str, key: str, value: str) -> None:
        """Give an experiment a tag, in place of one of this name. Raises StoreError if it is deleted, or not there."""
        if self.get_experiment(experiment_id).lifecycle_stage != "active":
            raise StoreError(f"The experiment {experiment_id} must be in the 'active' state", "INVALID_PARAMETER_VALUE")
        with self.transaction(read_only=False) as connection:
            made = insert_or_replace(EXPERIMENT_TAGS).values(experiment_id=int(experiment_id), key=key, value=value)
            connection.execute(made.on_conflict_do_update(["experiment_id", "key"], set_={"value": value}))

    def find_run(self, run_id: str) -> LocalRun | None:
        """Return a run, a deleted one as well; None if there is none."""
        columns = RUNS.c
        query = select(
            columns.run_uuid, columns.name, columns.status, columns.lifecycle_stage, columns.experiment_id,
            columns.artifact_uri,
        ).where(columns.run_uuid == run_id)  # fmt: skip
        with self.transaction() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            tags = connection.execute(select(TAGS.c.key, TAGS.c.value).where(TAGS.c.run_uuid == run_id))
            own, name, status, stage, experiment, place = row
            info = RunInfo(own, name or "", status, stage, str(experiment), place)
            return LocalRun(info, RunTags(dict(tags.all())))

    def get_run(self, run_id: str) -> LocalRun:
        """Return a run, a deleted one as well. Raises StoreError if there is none."""
        found = self.find_run(run_id)
        if found is None:
            raise StoreError(f"Run with id={run_id} not found", _ABSENT)
        return found

    def runs_with(self, experiment: str, tags: Mapping[str, str]) -> list[str]:
        """Return the ids of an experiment's runs that have all these tags, the latest first; of no deleted one."""
        query = select(RUNS.c.run_uuid).where(
            RUNS.c.experiment_id == int(experiment), RUNS.c.lifecycle_stage == "active"
        )
        for key, value in tags.items():
            own = TAGS.alias()
            query = query.join(own, own.c.run_uuid == RUNS.c.run_uuid).where(own.c.key == key, own.c.value == value)
        with self.transaction() as connection:
            found = connection.execute(query.order_by(RUNS.c.start_time.desc(), RUNS.c.run_uuid))
            return [run_id for (run_id,) in found]

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        """Give a run another status or name. Raises StoreError if it is deleted, or not there."""
        tags = {} if name is None else {_RUN_NAME: name}
        self._change(run_id, {"status": status, "name": name}, tags)

    def set_terminated(self, run_id: str, status: str) -> None:
        """End a run. Raises StoreError if it is deleted, or not there."""
        self._change(run_id, {"status": status, "end_time": now()}, {})

    def log_batch(self, run_id: str, points: Sequence[Point], tags: Mapping[str, str]) -> None:
        """Add values of metrics to a run, and set tags. Raises StoreError if it is deleted, or not there."""
        if points or tags:
            self._change(run_id, {}, tags, points)

    def _change(
        self, run_id: str, facts: Mapping[str, Any], tags: Mapping[str, str], points: Sequence[Point] = ()
    ) -> None:
        self._living(run_id)
        known = {name: value for name, value in facts.items() if value is not None}
        rows = [{"run_uuid": run_id, "key": key, "value": value[:_LONGEST_TAG]} for key, value in tags.items()]
        with self.transaction(read_only=False) as connection:
            if known:
                connection.execute(update(RUNS).where(RUNS.c.run_uuid == run_id).values(known))
            if points:
                add_points(connection, run_id, points)
            if rows:
                made = insert_or_replace(TAGS)
                connection.execute(
                    made.on_conflict_do_update(["run_uuid", "key"], set_={"value": made.excluded.value}), rows
                )

    def log_dataset(self, run_id: str, data: DatasetRows) -> None:
        """Write on what data a run trains; one that it has is not doubled."""
        experiment = self._living(run_id).info.experiment_id
        with self.transaction(read_only=False) as connection:
            add_inputs(connection, int(experiment), {run_id: data})

    def _living(self, run_id: str) -> LocalRun:
        run = self.get_run(run_id)
        if run.info.lifecycle_stage != "active":
            raise StoreError(f"The run {run_id} must be in the 'active' state", "INVALID_PARAMETER_VALUE")
        return run

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Write a text among a run's artefacts."""
        put_text(self.get_run(run_id).info.artifact_uri, text, artifact_file)

    def log_artifact(self, run_id: str, local_path: str) -> None:
        """Copy a file among a run's artefacts."""
        put_file(self.get_run(run_id).info.artifact_uri, Path(local_path))

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str = "") -> None:
        """Copy what is in a folder among a run's artefacts. artifact_path: below this folder there."""
        put_folder(self.get_run(run_id).info.artifact_uri, Path(local_dir), artifact_path)
