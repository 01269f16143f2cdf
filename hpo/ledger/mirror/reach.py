"""Can MLflow ever be written where MLFLOW_TRACKING_URI says? Found out without MLflow, whose import takes seconds.

What may pass (a server that is not there yet, that answers 500, a database that is away) is no fault: the sweep goes on
and MLflow is written when it is back. What stays is refused before anything is trained.
"""

from __future__ import annotations

import configparser
import json
import os
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from contextlib import suppress
from http.client import BadStatusLine, HTTPException, InvalidURL, RemoteDisconnected
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from hpo.ledger.study.home import Home
from hpo.ledger.study.patience import options
from hpo.ledger.study.urls import masked, sqlite_file
from hpo.spec.faults import UserError

_VARIABLE = "MLFLOW_TRACKING_URI"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_SECONDS = 10.0  # for a server's answer; one that takes longer may be back later
_PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"
_NO_CREDENTIALS, _ELSEWHERE = (401, 403, 407), (404, 405, 410, 501)
# What databases say of a user, a password or a database that they don't know.
_REFUSALS = ("authentication", "password", "does not exist", "pg_hba", "access denied", "unknown database", "no such")


def refuse_unusable(home: Home) -> None:
    """Raise UserError with the reason and the remedy if MLflow can never be written as it is configured."""
    uri = home.tracking
    if uri is None:
        return
    if why := _why_never(uri, home):
        remedy = "correct it, or unset it: MLflow is then kept in the home"
        raise UserError(f"{_VARIABLE}={masked(uri)}: {why} ({remedy})")


def _why_never(uri: str, home: Home) -> str:
    scheme, mark, _ = uri.partition("://")
    dialect = scheme.lower().partition("+")[0]
    if not mark or dialect == "file" or uri.startswith("uc:"):
        if uri.partition(":")[0] in ("databricks", "uc", "databricks-uc"):
            return _not_written(uri.partition(":")[0])
        if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
            return ""
        return "this is a folder, and MLflow keeps no runs in folders any more (sqlite:///FILE.db is a database)"
    if dialect in ("http", "https"):
        return _why_no_server(uri)
    if dialect in _DATABASES:
        return _why_no_database(uri, home)
    plugins = {point.name for point in entry_points(group="mlflow.tracking_store")}
    return "" if scheme in plugins else _not_written(scheme)


def _not_written(scheme: str) -> str:
    return f"MLflow at {scheme!r} can't be written; known are http, https and {', '.join(_DATABASES)}"


def _why_no_database(uri: str, home: Home) -> str:
    from sqlalchemy import NullPool, create_engine, inspect
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    if home.storage is not None and home.storage == uri:
        return "the studies are in the same database (--storage); MLflow needs one of its own"
    path = sqlite_file(uri)
    if uri.startswith("sqlite") and path is None:
        return "a database in memory is gone when the sweep ends"
    if path is not None and (why := _why_no_file(path)):
        return why
    try:
        engine = create_engine(uri, poolclass=NullPool, **options(uri))
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        return f"this is no URL of a database: {masked(str(error))}"
    except ImportError as error:
        return f"the database's driver is not installed: {error}"
    if path is not None and not path.exists():
        return ""  # MLflow makes it
    try:
        tables = set(inspect(engine).get_table_names())
    except SQLAlchemyError as error:
        said = masked(" ".join(str(getattr(error, "orig", None) or error).split()))[:300]
        # A damaged file is no matter of configuration: `hpo doctor` says what to do.
        return said if path is None and any(sign in said.lower() for sign in _REFUSALS) else ""
    finally:
        engine.dispose()
    if "alembic_version" in tables and "experiments" not in tables:
        whose = "Optuna's" if "studies" in tables else "another program's"
        return f"this database is {whose}; MLflow needs one of its own"
    return ""


def _why_no_file(path: Path) -> str:
    folder = path.parent
    if path.is_dir():
        return f"{path} is a folder"
    with suppress(OSError):  # as MLflow does
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        return f"there is no folder {folder}, and it can't be made"
    if not os.access(path if path.exists() else folder, os.W_OK) or not os.access(folder, os.W_OK):
        return f"{path} can't be written"
    return ""


def _why_no_server(uri: str) -> str:
    try:
        if not urlsplit(uri).hostname:
            return "there is no host in this address"
        request = _request(uri)
    except ValueError as error:  # a port that is no number, say
        return f"this is no address: {error}"
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    context = ssl._create_unverified_context() if insecure else None
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS, context=context) as answer:
            return _why_no_answer(answer.read(1_000_000))
    except urllib.error.HTTPError as error:
        return _why_this_status(error)
    except RemoteDisconnected:
        return ""
    except InvalidURL as error:
        return f"this is no address: {error}"
    except BadStatusLine:
        return "what answers there is no web server"
    except (OSError, HTTPException):  # nobody answers: it may be back later
        return ""


def _why_no_answer(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if isinstance(found, dict) and found.keys() <= {"experiments", "next_page_token"}:
        return ""
    return "what answers there is no MLflow server"


def _why_this_status(error: urllib.error.HTTPError) -> str:
    own_ways = ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4", "MLFLOW_TRACKING_CLIENT_CERT_PATH")
    if error.code in _NO_CREDENTIALS and not any(os.environ.get(name) for name in own_ways):
        what = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, say who writes"
        return f"the server answers {error.code} {error.reason}: it doesn't let these credentials in ({what})"
    if error.code in _ELSEWHERE:
        return f"what answers there is no MLflow server: it says {error.code} {error.reason}"
    return ""


def _request(uri: str) -> urllib.request.Request:
    """Return the request of a list of experiments, with the credentials that MLflow's client would give."""
    parts = urlsplit(uri)
    _ = parts.port  # raises ValueError for what is none
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))
    request = urllib.request.Request(plain.rstrip("/") + _PROBE, headers={"Accept": "application/json"})
    kept = configparser.ConfigParser(interpolation=None)
    with suppress(configparser.Error, OSError, UnicodeDecodeError):
        kept.read(Path("~/.mlflow/credentials").expanduser())

    def known(name: str) -> str:
        return os.environ.get(name) or kept.get("mlflow", name.lower(), fallback="") or ""

    user, password = known("MLFLOW_TRACKING_USERNAME"), known("MLFLOW_TRACKING_PASSWORD")
    if not (user and password) and parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
    if user and password:
        request.add_header("Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode())
    elif token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    return request
