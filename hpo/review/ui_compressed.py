"""JSON answers of a WSGI application, compressed: with a hundred thousand numbers they are a tenth as long."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hpo.review.ui_origin import Wsgi

_GZIP = 16 + zlib.MAX_WBITS  # of zlib's: gzip's header
_LEVEL = 1  # the quickest: whoever asks waits for it


def compressed(application: Wsgi) -> Wsgi:
    """Return a WSGI application whose JSON is sent as gzip, piece by piece, to those who take that."""

    def asked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            return application(environ, start_response)
        squeezed = False

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            nonlocal squeezed
            named = {name.lower(): value for name, value in headers}
            squeezed = named.get("content-type", "").startswith("application/json") and "content-encoding" not in named
            # An empty answer stays one.
            squeezed = squeezed and named.get("content-length") != "0" and not status.startswith(("204", "304"))
            if squeezed:
                headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
                headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
            return start_response(status, headers, *more)

        body = application(environ, start)
        return _gzip(body) if squeezed else body

    return asked


def _takes_gzip(accepted: str) -> bool:
    """Whether an Accept-Encoding has gzip in it, not refused (`gzip;q=0`)."""
    for one in accepted.split(","):
        name, _, quality = one.replace(" ", "").partition(";")
        if name.lower() == "gzip":
            return quality.lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _gzip(body: Iterable[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    try:
        for piece in body:
            if part := squeeze.compress(piece):
                yield part
        yield squeeze.flush()
    finally:
        if close := getattr(body, "close", None):
            close()
