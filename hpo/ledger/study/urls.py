"""URLs: made of paths, and as they may be shown. What becomes a URL, or is printed or logged with one in it, goes
through here."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from urllib.parse import quote, unquote

_PLAIN = "".join(chr(code) for code in range(32, 127) if chr(code) not in "%?#{}")  # what needs no quoting in a URL
# One slash: a URL that was taken for a path.
_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-zA-Z][\w+.\-]*:/{1,2})(?P<user>[^\s:/@'\"]*)(?P<password>:[^\s'\"]*)?@")
_WHOLE = re.compile(r"(?P<start>[a-zA-Z][\w+.\-]*:/{1,2}[^:/@\n]*:)[^\n]*(?P<place>@[^@\s]*)")
_SECRET = re.compile(
    r"(?P<name>[?&;][\w.\-]*(?:passw|pwd|passphrase|secret|token|api_?key|access_?key|credential|odbc_connect)[\w.\-]*=)"
    r"[^&\s'\"]*",
    re.IGNORECASE,
)
_WEB = ("http://", "https://")


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, whatever its path contains.

    SQLAlchemy decodes it. MLflow takes a URL that begins with `sqlite:///` for a path as well, and makes its folder;
    so one that is no path has the driver's name in it, which says the same.
    """
    quoted = _quoted(path)
    return f"sqlite:///{path}" if quoted == str(path) else f"sqlite+pysqlite:///{quoted}"


def readable_url(path: Path) -> str:
    """Return the URL by which a SQLite file can be read, also where nothing can be written: SQLite would make files
    beside it."""
    if os.access(path.parent, os.W_OK):
        return sqlite_url(path)
    name, _, query = sqlite_uri(path).partition("?")
    return f"sqlite+pysqlite:///{name.replace('%', '%25')}?{query}&uri=true"


def sqlite_uri(path: Path) -> str:
    """Return SQLite's own URI of a file that is only read (sqlite3.connect(..., uri=True))."""
    if os.access(path.parent, os.W_OK):
        return f"file:{quote(str(path))}"
    log = path.with_name(f"{path.name}-wal")
    whole = not log.exists() or log.stat().st_size == 0  # else what is in there counts, too
    return f"file:{quote(str(path))}?mode=ro{'&immutable=1' if whole else ''}"


def absolute_url(url: str) -> str:
    """Return the URL of a SQLite file so that it means the same in any folder; others as they are."""
    scheme, _, path = url.partition(":///")
    if not scheme.startswith("sqlite") or path.startswith(("/", ":", "file:")) or not path:
        return url
    file, mark, query = path.partition("?")
    here = _quoted(Path.cwd())
    driver = "sqlite+pysqlite" if scheme == "sqlite" and here != str(Path.cwd()) else scheme  # as sqlite_url
    return f"{driver}:///{Path(here, file)}{mark}{query}"


def sqlite_file(url: str) -> Path | None:
    """Return the file of a SQLite URL; None for what is no file's."""
    scheme, _, rest = url.partition(":///")
    name = unquote(rest.partition("?")[0])
    return Path(name) if scheme.startswith("sqlite") and name not in ("", ":memory:") else None


def _quoted(path: Path) -> str:
    return "".join(letter if letter in _PLAIN or ord(letter) > 127 else quote(letter) for letter in str(path))


def masked(text: str) -> str:
    """Return a text with `***` in the place of every password and token in the URLs in it."""
    if found := _WHOLE.fullmatch(text):  # blanks and quotes are the password's
        text = f"{found['start']}***{found['place']}"
    return _SECRET.sub(r"\g<name>***", _CREDENTIALS.sub(_without_password, text))


def _without_password(found: re.Match[str]) -> str:
    scheme, user, password = found["scheme"], found["user"], found["password"]
    if password is not None:
        return f"{scheme}{user}:***@"
    return f"{scheme}***@" if scheme.lower() in _WEB and user else found[0]  # a token may stand where the user does


class MaskedStream:
    """A stream of text that writes no password: for what libraries log."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, its URLs masked."""
        self._stream.write(masked(text))  # type: ignore[attr-defined]
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def mask_output() -> None:
    """Mask the URLs in all that this process prints and its libraries log from now on."""
    sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)
