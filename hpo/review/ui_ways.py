"""What `hpo ui` adds to MLflow's application: the links' addresses, and a page that begins as one for these runs.

MLflow 3 keeps in the browser whether its menus are those for language models (the default) or for machine learning, and
whether its assistant was opened; a browser that comes for the first time gets both. Links alone can't help it: each
step within MLflow's page may drop what they say. So its page sets what is not yet set there before it begins.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from hpo.ledger.mirror.links import OPEN
from hpo.review.ui_links import open_at
from hpo.review.ui_origin import Asgi, Message

# Keys and values of MLflow 3.17.2's page (useLocalStorage: `NAME_vVERSION`, JSON).
_FIRST_VISIT = {
    "mlflow.workflowType_v1": "machine_learning",
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
}
_HEAD = b"<head>"
# Who is logged in: the page asks on each visit. Without a login MLflow answers 404, an error in the browser's console.
_NOBODY = ("/ajax-api/2.0/mlflow/users/current", b"{}")
_LEFT_OUT = b"The Optuna dashboard is left out (--no-dashboard), so this link leads nowhere.\n"
_Send = Callable[[Message], Awaitable[None]]


def first_visit_script() -> bytes:
    """Return the script that MLflow's page begins with."""
    wanted = {key: json.dumps(value) for key, value in _FIRST_VISIT.items()}
    body = (
        f"for (const [key, value] of Object.entries({json.dumps(wanted)}))"
        " try { if (localStorage.getItem(key) === null) localStorage.setItem(key, value) } catch { break }"
    )
    return f"<script>{body}</script>".encode()


def with_ways(application: Asgi, dashboard: str) -> Asgi:
    """Return MLflow's ASGI application with both. dashboard: the address of the Optuna dashboard; "": there is none."""

    async def asked(scope: Message, receive: Callable[[], Awaitable[Message]], send: _Send) -> None:
        looks = scope["type"] == "http" and scope["method"] == "GET"
        if looks and scope["path"] == OPEN:
            await _lead(dashboard, scope, send)
        elif looks and scope["path"] == _NOBODY[0]:
            await _answer(200, "application/json", _NOBODY[1], send)
        elif looks and scope["path"] == "/":
            await application(_plain(scope), receive, _begun(send))
        else:
            await application(scope, receive, send)

    return asked


async def _lead(dashboard: str, scope: Message, send: _Send) -> None:
    if not dashboard:
        await _answer(404, "text/plain", _LEFT_OUT, send)
        return
    place = open_at(dashboard, scope["query_string"].decode("latin-1"))
    await _answer(302, "text/plain", b"", send, (b"location", place.encode("latin-1", "replace")))


async def _answer(status: int, kind: str, body: bytes, send: _Send, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _plain(scope: Message) -> Message:
    """Return a request that is answered whole and as it is: not from the browser's memory, not compressed."""
    left_out = (b"if-none-match", b"if-modified-since", b"accept-encoding", b"range")
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name.lower() not in left_out]}


def _begun(send: _Send) -> _Send:
    """Return what sends a page with the script at its beginning."""
    start: Message = {}
    body = bytearray()

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
            return
        body.extend(message.get("body", b""))
        if message.get("more_body"):
            return
        whole = bytes(body).replace(_HEAD, _HEAD + first_visit_script(), 1)
        changes = (b"content-length", b"etag", b"last-modified", b"cache-control")
        headers = [(name, value) for name, value in start["headers"] if name.lower() not in changes]
        headers += [(b"content-length", str(len(whole)).encode()), (b"cache-control", b"no-store")]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": whole})

    return sent
