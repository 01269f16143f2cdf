"""The Optuna dashboard's own process: `python -m hpo.review.ui_dashboard PORT`, the storage in HPO_UI_STORAGE.

One storage object for all requests: it keeps what it has read, so that thousands of trials refresh in a quarter second.
The storage is not an argument, since a database URL may hold a password and arguments are there for everyone to see.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hpo.ledger.study.home import Home, open_storage
from hpo.review.ui_ports import LOOPBACK
from hpo.spec.faults import UserError

STORAGE_VARIABLE = "HPO_UI_STORAGE"
_LOCAL = {LOOPBACK, "localhost", "::1"}

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _DashboardServer(ThreadingMixIn, WSGIServer):
    """Threads: a browser opens connections ahead of need, and one at a time would wait for those."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log no request: the dashboard asks every few seconds."""


def local_only(application: Application) -> Application:
    """Refuse what other web sites make a browser send here: the dashboard itself checks nothing, and it can delete.

    A foreign Host is a name that was pointed at this machine (DNS rebinding), a foreign Origin another site's script:
    also one that is served by this machine, at another port. Only the dashboard's own pages may ask.
    """

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        port = str(environ.get("SERVER_PORT", ""))
        own = _place(f"http://{environ.get('HTTP_HOST', '')}")
        origin = environ.get("HTTP_ORIGIN")
        cross = environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin")
        reads = environ.get("REQUEST_METHOD") in ("GET", "HEAD") and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        mine = own is not None and own[0] in _LOCAL and own[1] == port
        if mine and (origin is None or _place(origin) == own) and (not cross or reads):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"only for this machine: use http://127.0.0.1 or http://localhost\n"]

    return checked


def _place(url: str) -> tuple[str, str] | None:
    """Return the host and the port of an http address, None for what is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # `http://[x]`, a port that is no number
        return None
    if parts.scheme != "http" or not host or parts.username is not None or parts.path not in ("", "/"):
        return None
    return host, str(port or 80)


def main(port: int) -> None:
    """Serve until the process is ended."""
    import optuna_dashboard

    storage = open_storage(Home(Path(), os.environ[STORAGE_VARIABLE]))
    application = local_only(optuna_dashboard.wsgi(storage))
    make_server(LOOPBACK, port, application, server_class=_DashboardServer, handler_class=_Handler).serve_forever()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except UserError as fault:
        sys.exit(str(fault))
