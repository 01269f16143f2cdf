"""The UIs answer their own pages only: not those of other sites, nor of other ports of this machine."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from wsgiref.simple_server import make_server

import optuna
import optuna_dashboard
import pytest
import uvicorn

from hpo.ledger.study.home import Home, open_storage
from hpo.review.ui_dashboard import _DashboardServer, _Handler
from hpo.review.ui_origin import Message, local_asgi, local_wsgi
from hpo.review.ui_plans import mlflow_plan, unheeded

LOOK, DELETE = ("GET", "/api/studies"), ("DELETE", "/api/studies/0")


@contextmanager
def dashboard(folder: Path) -> Iterator[int]:
    """A dashboard over one study, with the id 0."""
    storage = open_storage(Home(folder))
    optuna.create_study(storage=storage, study_name="kept")
    application = local_wsgi(optuna_dashboard.wsgi(storage))
    server = make_server("127.0.0.1", 0, application, server_class=_DashboardServer, handler_class=_Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def asgi(folder: Path) -> Iterator[int]:
    """An application as MLflow's is one, which allows everything (MLflow's own: test_ui.py)."""

    async def application(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        status = 204 if scope["method"] == "DELETE" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(local_asgi(application), lifespan="off", log_level="error"))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module", params=[dashboard, asgi])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with request.param(tmp_path_factory.mktemp("home")) as port:
        yield port


def ask(port: int, request: tuple[str, str], *headers: tuple[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(*request, skip_host="Host" in dict(headers))
        for name, text in headers:
            connection.putheader(name, text)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000", "http://127.0.0.1:1", "http://127.0.0.1", "https://127.0.0.1:{port}", "null", "",
        "http://[::1]:{port}", "http://evil.example:{port}", "http://[x]", "http://127.0.0.1:{port}.evil.example",
        "http://me@127.0.0.1:{port}", "http://localhost:{port}", "file://", "http://127.0.0.1:{port}/page",
    ],
)  # fmt: skip
def test_no_other_page_may_ask(port: int, origin: str) -> None:
    for request in (DELETE, LOOK, ("OPTIONS", "/api/studies"), ("POST", "/api/studies")):
        assert ask(port, request, ("Origin", origin.format(port=port))) == 403
    assert ask(port, LOOK) == 200


def test_an_origin_that_is_there_twice_is_none(port: int) -> None:
    own, other = ("Origin", f"http://127.0.0.1:{port}"), ("Origin", "http://localhost:3000")
    assert ask(port, LOOK, own) == 200
    assert ask(port, LOOK, own, other) == ask(port, LOOK, other, own) == 403


def test_nor_one_that_the_browser_says_is_another_though_it_tells_no_origin(port: int) -> None:
    def fetched(site: str, mode: str, dest: str = "empty", request: tuple[str, str] = LOOK) -> int:
        return ask(port, request, ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest))

    assert fetched("same-site", "no-cors") == fetched("cross-site", "no-cors", "image") == 403
    assert fetched("same-site", "navigate", "document", ("GET", "/dashboard")) == 200  # a link
    assert fetched("cross-site", "navigate", "document", ("POST", "/dashboard")) == 403  # a form
    assert fetched("cross-site", "navigate", "iframe", ("GET", "/dashboard")) == 403  # a page that is laid over another
    assert fetched("same-origin", "cors") == fetched("none", "navigate", "document", ("GET", "/dashboard")) == 200


@pytest.mark.parametrize(
    "host", ["[x]", "[", "127.0.0.1:no", "evil.example", "a b", "127.0.0.1.evil.example", "10.0.0.1"]
)
def test_no_other_name_is_its_own(port: int, host: str) -> None:
    assert ask(port, LOOK, ("Host", host)) in (400, 403)  # 400: of a server that doesn't let it in at all


@pytest.mark.parametrize(
    "name", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}", "localhost:9"]
)
def test_its_own_pages_may(port: int, name: str) -> None:
    own = name.format(port=port)  # through a tunnel the browser knows it by another port
    assert ask(port, LOOK, ("Host", own), ("Origin", f"http://{own.lower()}")) == 200


def test_its_own_pages_may_delete(tmp_path: Path) -> None:
    with dashboard(tmp_path) as port:
        assert ask(port, DELETE, ("Origin", f"http://127.0.0.1:{port}")) == 204


def test_what_would_open_mlflow_to_others_has_no_effect_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unheeded() == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///a.db")  # which the home heeds
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "*")
    monkeypatch.setenv("MLFLOW_STATIC_PREFIX", "/mlflow")
    assert sorted(unheeded()) == ["MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_STATIC_PREFIX"]
    assert not set(unheeded()) & mlflow_plan(Home(tmp_path), 0).env.keys()
