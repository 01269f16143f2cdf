"""Asking web servers: does one answer, and where does it show a study?"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from hpo.ledger.mirror.links import MACHINE_LEARNING, runs_page

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_FAILURES = (OSError, http.client.HTTPException, ValueError)


def answers(address: str, path: str) -> bool:
    """Whether a local server says 200 to a request."""
    try:
        with _open(address + path) as answer:
            return answer.status == 200
    except _FAILURES:
        return False


def why_silent(address: str) -> str:
    """Return "" if a web server is there, whatever it answers; else the reason why it can't be reached."""
    try:
        _open(f"{address}/health").close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        return str(error.reason)
    except _FAILURES as error:
        return str(error)
    return ""


def without_credentials(url: str) -> str:
    """Return a URL without user, password and a slash at its end."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def mlflow_page(address: str, study: str | None) -> str:
    """Return where the MLflow UI shows a study's runs, "" if they are not there (yet); without a study, all of them."""
    if study is None:
        return f"{address}/#/experiments?{MACHINE_LEARNING}"
    found = ask_json(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(study, safe='')}")
    experiment = found.get("experiment", {}).get("experiment_id")
    return f"{address}/{runs_page(str(experiment))}" if experiment is not None else ""


def dashboard_page(address: str, study: str | None) -> str:
    """Return where the Optuna dashboard shows a study; "" if it is not there, or without a study."""
    if study is None:
        return ""
    studies = ask_json(f"{address}/api/studies").get("study_summaries", [])
    numbers = [entry["study_id"] for entry in studies if entry["study_name"] == study]
    return f"{address}/dashboard/studies/{numbers[0]}" if numbers else ""


def ask_json(url: str, body: Any = None) -> dict[str, Any]:
    """Return the object that a server answers; {} if it answers none. body: to be posted as JSON."""
    try:
        with _open(url, None if body is None else json.dumps(body).encode()) as answer:
            return dict(json.load(answer))
    except _FAILURES:
        return {}


def _open(url: str, body: bytes | None = None) -> http.client.HTTPResponse:
    here = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    opener = _DIRECT.open if here else urllib.request.urlopen  # no proxy stands before the own machine
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} if body is not None else {})
    answer: http.client.HTTPResponse = opener(request, timeout=5.0)
    return answer
