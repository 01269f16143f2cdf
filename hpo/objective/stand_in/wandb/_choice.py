"""Which wandb a program gets: the installed one where it would work, else the stand-in."""

from __future__ import annotations

import importlib
import importlib.machinery
import netrc
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import _channel

_HERE = os.path.realpath(Path(__file__).parents[1])
_NO_ACCOUNT = ("offline", "disabled", "dryrun")  # values of WANDB_MODE
_INSTEAD = "HPO_WANDB=stand-in before `hpo sweep` has the sweep take what the script logs"


def real_package() -> str | None:
    """Return why the installed package is to be used; None if there is none, or it could do nothing."""
    if os.environ.get("HPO_WANDB") == "stand-in" or not _is_installed():
        return None
    mode = os.environ.get("WANDB_MODE", "").lower()
    if mode in _NO_ACCOUNT:
        return f"WANDB_MODE is {mode}"
    return "you are logged in to W&B" if _is_logged_in() else None


def which() -> str:
    """Return what is said of the stand-in when it is used."""
    why = "is not installed"
    if _is_installed():
        why = "is installed, but not logged in to"
        if os.environ.get("HPO_WANDB") == "stand-in":
            why = "gave way, since HPO_WANDB says so"
    return f"wandb is hpo's stand-in (the package {why}): what the script logs goes to the sweep, nothing to W&B"


def give_way(why: str) -> None:
    """Put the installed package into the place of this one, also for what is imported later."""
    sys.path[:] = _others()
    for name in [name for name in sys.modules if name == "wandb" or name.startswith("wandb.")]:
        del sys.modules[name]
    text = f"wandb is the installed package, since {why}: what it logs goes there, and the sweep takes only what the "
    _channel.say("wandb-installed", f"{text}script prints ({_INSTEAD})")
    importlib.import_module("wandb")


def _others() -> list[str]:
    return [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != _HERE]


def _is_installed() -> bool:
    spec: Any = importlib.machinery.PathFinder.find_spec("wandb", _others())
    return spec is not None and spec.origin is not None  # W&B's folder of runs, ./wandb, is no package: it has no file


def _is_logged_in() -> bool:
    """Whether the package would find an account: in its environment, or an entry for its server in .netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or ""
    files = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for name in files:
        path = Path(name).expanduser()
        try:
            if path.is_file() and server in netrc.netrc(str(path)).hosts:
                return True
        except (OSError, netrc.NetrcParseError):
            continue  # the package takes no account from it either
    return False
