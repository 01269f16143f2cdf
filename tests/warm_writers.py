"""What MLflow's writers load, as they do, for a server of tests/warm.py. It must not start threads."""

import importlib

from sqlalchemy.orm import configure_mappers

from hpo.lazy import keep_imports
from hpo.ledger.mirror import compat, process

process.restrain_mlflow()
process._load_mlflow()
importlib.import_module("hpo.ledger.mirror.book")
configure_mappers()
compat._latest_version()
keep_imports()
