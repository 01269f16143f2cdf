"""What a driver needs of a study in a database, for a server of tests/warm.py. It must not start threads."""

import optuna.storages
import psycopg
import pytest
import sqlalchemy

import hpo.ledger.ledger
import hpo.ledger.study.database
from hpo.lazy import keep_imports

__all__ = ["hpo", "optuna", "psycopg", "pytest", "sqlalchemy"]
keep_imports()
