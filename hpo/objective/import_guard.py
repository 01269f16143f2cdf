"""What an objective's own module must not do while it is imported, as it is in each process that needs the objective:
run a sweep, or a study of Optuna's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from hpo.lazy import when_loaded
from hpo.spec.faults import UserError

_imported: ContextVar[str] = ContextVar("imported", default="")  # the module or file that is imported now


@contextmanager
def being_imported(place: str) -> Iterator[None]:
    """Refuse, inside the block, what `place` must not do."""
    token = _imported.set(place)
    when_loaded("optuna", "studies", _guard_studies)
    try:
        yield
    finally:
        _imported.reset(token)


def refuse_while_imported(call: str) -> None:
    """Raise UserError if a call is made by the objective's own module while that is imported: it would run anew in each
    process that needs the objective."""
    if place := _imported.get():
        raise UserError(
            f"{call} was called while {place} was imported for its objective "
            f'(put the call under: if __name__ == "__main__":)'
        )


def _guard_studies() -> None:
    """Have Optuna's `Study.optimize` ask first, once a process."""
    from optuna.study import Study

    original: Any = Study.optimize
    if getattr(original, "asks_hpo", False):
        return

    @functools.wraps(original)
    def optimize(self: Study, *arguments: Any, **named: Any) -> None:
        refuse_while_imported("study.optimize(...) of Optuna")
        original(self, *arguments, **named)

    optimize.asks_hpo = True  # type: ignore[attr-defined]
    Study.optimize = optimize  # type: ignore[method-assign]
