"""MLflow's tables, as far as runs are written into them: declared here once, so that writing needs no MLflow.

bulk.untested() compares them with MLflow's own, connecting.py with those of a database: of a release with other columns
nothing is written in this way.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, MetaData, String, Table, Text, UnicodeText

_META = MetaData()


def _points(name: str) -> Table:
    of_each = (Column("timestamp", BigInteger), Column("step", BigInteger), Column("is_nan", Boolean))
    return Table(name, _META, *_text("key", "run_uuid"), Column("value", Float(53)), *of_each)


def _text(*names: str) -> list[Column[Any]]:
    return [Column(name, String) for name in names]


EXPERIMENTS = Table(
    "experiments", _META, Column("experiment_id", Integer, primary_key=True),
    *_text("name", "workspace", "artifact_location", "lifecycle_stage"),
    Column("creation_time", BigInteger), Column("last_update_time", BigInteger),
)  # fmt: skip
EXPERIMENT_TAGS = Table(
    "experiment_tags", _META, Column("experiment_id", Integer, primary_key=True),
    Column("key", String, primary_key=True), Column("value", Text),
)  # fmt: skip
RUNS = Table(
    "runs", _META, *_text("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status"),
    *_text("source_version", "lifecycle_stage", "artifact_uri"), Column("start_time", BigInteger),
    Column("end_time", BigInteger), Column("deleted_time", BigInteger), Column("experiment_id", Integer),
)  # fmt: skip
TAGS = Table(
    "tags", _META, Column("key", String, primary_key=True), Column("run_uuid", String, primary_key=True),
    Column("value", String),
)  # fmt: skip
PARAMS = Table("params", _META, *_text("key", "value", "run_uuid"))
METRICS, LATEST = _points("metrics"), _points("latest_metrics")
DATASETS = Table(
    "datasets", _META, Column("experiment_id", Integer), *_text("dataset_uuid", "name", "digest"),
    *_text("dataset_source_type"), Column("dataset_source", UnicodeText), Column("dataset_schema", UnicodeText),
    Column("dataset_profile", UnicodeText),
)  # fmt: skip
INPUTS = Table(
    "inputs", _META, *_text("input_uuid", "source_type", "source_id", "destination_type", "destination_id"),
    Column("step", BigInteger),
)  # fmt: skip
INPUT_TAGS = Table("input_tags", _META, *_text("input_uuid", "name", "value"))

COLUMNS = {name: {column.name for column in table.columns} for name, table in _META.tables.items()}
"""The columns of each of these tables."""
