"""The Optuna dashboard answers its own pages only: not those of other sites, nor of other ports of this machine."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import make_server

import optuna
import optuna_dashboard
import pytest

from hpo.ledger.study.home import Home, open_storage
from hpo.review.ui_dashboard import _DashboardServer, _Handler, local_only


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A dashboard over one study, with the id 0."""
    storage = open_storage(Home(tmp_path))
    optuna.create_study(storage=storage, study_name="kept")
    application = local_only(optuna_dashboard.wsgi(storage))
    server = make_server("127.0.0.1", 0, application, server_class=_DashboardServer, handler_class=_Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def ask(port: int, method: str, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000", "http://127.0.0.1:1", "http://127.0.0.1", "https://127.0.0.1:{port}", "null", "",
        "http://[::1]:{port}", "http://evil.example:{port}", "http://[x]", "http://127.0.0.1:{port}.evil.example",
        "http://me@127.0.0.1:{port}",
    ],
)  # fmt: skip
def test_no_other_page_may_ask(port: int, origin: str) -> None:
    assert ask(port, "DELETE", "/api/studies/0", Origin=origin.format(port=port)) == 403
    assert ask(port, "GET", "/api/studies", Origin=origin.format(port=port)) == 403
    assert ask(port, "GET", "/api/studies/0") == 200


def test_nor_one_that_the_browser_says_is_another_though_it_tells_no_origin(port: int) -> None:
    assert ask(port, "GET", "/api/studies", Sec_Fetch_Site="same-site", Sec_Fetch_Mode="no-cors") == 403
    assert ask(port, "GET", "/dashboard", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate") == 200  # a link
    assert ask(port, "GET", "/api/studies", Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors") == 200


@pytest.mark.parametrize("host", ["[x]", "[", "127.0.0.1:no", "evil.example", "", "127.0.0.1:1", "a b"])
def test_no_other_name_is_its_own(port: int, host: str) -> None:
    assert ask(port, "GET", "/api/studies", Host=host) == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_its_own_pages_may(port: int, name: str) -> None:
    own = f"{name}:{port}"
    assert ask(port, "GET", "/api/studies", Host=own, Origin=f"http://{own.lower()}") == 200
    assert ask(port, "DELETE", "/api/studies/0", Host=own, Origin=f"http://{own}") == 204
