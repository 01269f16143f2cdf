"""The exceptions of W&B's, by its names; what the stand-in raises is one of them."""

from __future__ import annotations

from typing import Any


class Error(Exception):
    """What the stand-in raises."""


class CommError(Error):
    """The server could not be asked."""


class AuthenticationError(CommError):
    """There is no account."""


class UsageError(Error):
    """A call that has no meaning."""


class UnsupportedError(UsageError):
    """A part that is not there."""


_others: dict[str, Any] = {}


def is_error(name: str) -> bool:
    """Return whether a name is written like an exception's."""
    return name[:1].isupper() and name.endswith(("Error", "Exception", "Warning"))


def error(name: str) -> Any:
    """Return the exception class of a name; one that is never raised, if the stand-in has none."""
    known = globals().get(name)
    if known is None:
        known = _others.setdefault(name, type(name, (Error,), {"__module__": __name__}))
    return known


def __getattr__(name: str) -> Any:
    if is_error(name):
        return error(name)
    raise AttributeError(f"hpo's stand-in for wandb has no wandb.errors.{name}")
