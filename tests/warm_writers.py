"""What MLflow's writers load, as they do, for a server of tests/warm.py. It must not start threads."""

from hpo.lazy import keep_imports
from hpo.ledger.mirror import process

process.restrain_mlflow()
process._load_mlflow()
keep_imports()
