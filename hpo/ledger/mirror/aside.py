"""MLflow written outside of a sweep: a mirror for a few orders, which ends when they are carried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hpo.ledger.mirror.mirror import Mirror
from hpo.ledger.mirror.process import Notice
from hpo.ledger.study.home import Home

Order = tuple[Any, ...]  # the name of a method of MlflowBook, and its arguments


def carry_out(home: Home, orders: Sequence[Order], hurry: Callable[[], bool] = lambda: False) -> list[Notice]:
    """Have orders carried out, and wait for that while MLflow makes progress, unless told to `hurry`. Returns what the
    user should know."""
    mirror = Mirror(home)
    mirror.start()
    for order in orders:
        mirror.order(*order)
    # Twice the patience: it has just begun to load MLflow, and nothing else goes on meanwhile.
    return [*mirror.wait(hurry), *mirror.close("", {}, hurry)]
