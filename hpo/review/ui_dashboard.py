"""The process of the first page and the Optuna dashboard: `python -m hpo.review.ui_dashboard PORT`, the storage in
HPO_UI_STORAGE, MLflow's address in HPO_UI_MLFLOW ("": there is none), what to type for a command in HPO_UI_COMMAND.

One storage object for all requests: it keeps what it has read, so that thousands of trials refresh in a quarter second.
The storage is not an argument, since a database URL may hold a password and arguments are there for everyone to see.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.urls import mask_output, masked
from hpo.review.compat import dashboard_application
from hpo.review.studies import lines_of
from hpo.review.ui_compressed import compressed
from hpo.review.ui_landing import with_landing
from hpo.review.ui_links import Pages
from hpo.review.ui_notes import AllNotes
from hpo.review.ui_origin import local_wsgi
from hpo.review.ui_ports import LOOPBACK
from hpo.review.ui_unwritable import read_only
from hpo.spec.faults import UserError

STORAGE_VARIABLE, COMMAND_VARIABLE = "HPO_UI_STORAGE", "HPO_UI_COMMAND"
READ_ONLY_VARIABLE = "HPO_UI_READ_ONLY"  # why the home can't be written; "": it can
MLFLOW_VARIABLE, REMOTE_VARIABLE = "HPO_UI_MLFLOW", "HPO_UI_MLFLOW_IS_REMOTE"


class _DashboardServer(ThreadingMixIn, WSGIServer):
    """Threads: a browser opens connections ahead of need, and one at a time would wait for those."""

    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log no request: the dashboard asks every few seconds."""


def main(port: int) -> None:
    """Serve until the process is ended."""
    mask_output()
    # Not to be found: only measures of importance that the dashboard doesn't offer need it, and loading it for them
    # would take two thirds of the start.
    sys.modules.setdefault("sklearn", None)  # type: ignore[arg-type]
    home = Home(Path(), os.environ[STORAGE_VARIABLE])
    storage = open_storage(home)
    hpo, options = json.loads(os.environ[COMMAND_VARIABLE])

    def command(*words: str) -> str:
        return f"{hpo} {' '.join(words)}{options}"

    notes = AllNotes(home, storage, command)
    pages = Pages(storage, os.environ[MLFLOW_VARIABLE], remote=bool(os.environ[REMOTE_VARIABLE]))
    dashboard = dashboard_application(storage, notes.of)
    if why := os.environ.get(READ_ONLY_VARIABLE):
        dashboard = read_only(dashboard, f"this home can't be written: {why}")
    where = masked(os.environ[STORAGE_VARIABLE])
    application = local_wsgi(
        compressed(with_landing(dashboard, lambda: lines_of(home, storage), pages, where, command))
    )
    make_server(LOOPBACK, port, application, server_class=_DashboardServer, handler_class=_Handler).serve_forever()


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except UserError as fault:
        sys.exit(str(fault))
