"""How the stand-in speaks to the sweep: lines of JSON on standard output, each marked as its own."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping

_lock = threading.Lock()
_said: set[str] = set()


def report(step: int, metrics: Mapping[str, float]) -> None:
    """Report metrics of one step, apart from what marks the line: a metric may have any name."""
    _write({"hpo": "wandb", "step": step, "metrics": dict(metrics)})


def say(kind: str, text: str) -> None:
    """Say something to the user, of each kind once."""
    if kind not in _said:
        _said.add(kind)
        _write({"hpo": "wandb", "kind": kind, "note": text})


def _write(content: Mapping[str, object]) -> None:
    """Write past sys.stdout, which a script may have put something else in the place of."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    rest = json.dumps(content).encode() + b"\n"
    with _lock:
        while rest:
            rest = rest[os.write(1, rest) :]
