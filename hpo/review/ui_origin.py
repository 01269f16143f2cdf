"""Who may ask the UIs: their own pages, and programs on this machine. Both can delete what is recorded, and neither has
a login; what another web site makes a browser send here must not reach them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from hpo.review.ui_ports import LOOPBACK

_LOCAL = {LOOPBACK, "localhost", "::1"}
_REFUSAL = b"only for this machine: use http://127.0.0.1 or http://localhost\n"
_ASKED = {
    b"host": "HTTP_HOST",
    b"origin": "HTTP_ORIGIN",
    b"sec-fetch-site": "HTTP_SEC_FETCH_SITE",
    b"sec-fetch-mode": "HTTP_SEC_FETCH_MODE",
    b"sec-fetch-dest": "HTTP_SEC_FETCH_DEST",
}

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Message = MutableMapping[str, Any]
Asgi = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def may_ask(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request is from this machine and from no other page than the server's own. headers: by WSGI's names.

    A foreign Host is a name that was pointed at this machine (DNS rebinding). A foreign Origin is another site's
    script, also of one that this machine serves at another port. Links from other sites may lead here, frames not.
    The port of Host is as the browser knows it: a tunnel's may be another than the server's.
    """
    own = _place(f"http://{headers.get('HTTP_HOST', '')}")
    if own is None or own[0] not in _LOCAL:
        return False
    origin = headers.get("HTTP_ORIGIN")
    if origin is not None and _place(origin) != own:
        return False
    if headers.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin"):
        return True
    to_look = headers.get("HTTP_SEC_FETCH_MODE") == "navigate"
    return to_look and method in ("GET", "HEAD") and headers.get("HTTP_SEC_FETCH_DEST", "document") == "document"


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


def local_wsgi(application: Wsgi) -> Wsgi:
    """Return a WSGI application that refuses (403) who may not ask."""

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if may_ask(environ.get("REQUEST_METHOD", ""), environ):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [_REFUSAL]

    return checked


def local_asgi(application: Asgi) -> Asgi:
    """Return an ASGI application that refuses (403) who may not ask, and every web socket."""

    async def checked(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _asks_rightly(scope)):
            await application(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_REFUSAL)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSAL})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return checked


def _asks_rightly(scope: Message) -> bool:
    headers: dict[str, str] = {}
    for name, text in scope["headers"]:
        if (key := _ASKED.get(name.lower())) is not None:
            # One that comes twice means what neither of them says, as in WSGI.
            headers[key] = f"{headers[key]},{text.decode('latin-1')}" if key in headers else text.decode("latin-1")
    return may_ask(scope["method"], headers)
