"""What a run is begun with: its mode, and what else W&B's settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from . import _channel
from .errors import UsageError

_MODES = ("online", "offline", "disabled", "dryrun", "run", "shared")  # dryrun and run: older names of W&B's
_TRUE = ("1", "true", "yes", "on")


class RunSettings:
    """W&B's settings by their names; those that nobody gave are None."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


def mode_of(given: Mapping[str, Any]) -> str:
    """Return the mode of a run: of init's arguments, its settings, or the environment, as it is when the run begins.

    given: the keyword arguments of init. Raises UsageError for a mode that W&B doesn't have.
    """
    settings = given.get("settings")
    own = settings.get("mode") if isinstance(settings, Mapping) else getattr(settings, "mode", None)
    mode = given.get("mode") or own or os.environ.get("WANDB_MODE", "").lower() or "online"
    if os.environ.get("WANDB_DISABLED", "").lower() in _TRUE and not (given.get("mode") or own):
        mode = "disabled"
    if mode not in _MODES:
        raise UsageError(f"mode must be 'online', 'offline' or 'disabled', but got {mode!r}")
    if mode == "disabled":
        why = "" if given.get("mode") or own else ", since WANDB_MODE or WANDB_DISABLED says so"
        remedy = " (unset it, or HPO_WANDB=stand-in before `hpo sweep`)" if why else ""
        text = f"a run of wandb is disabled{why}: what it logs is not reported, as under W&B{remedy}"
        _channel.say("wandb-disabled", text)
    return {"dryrun": "offline", "run": "online"}.get(mode, str(mode))
