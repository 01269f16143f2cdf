"""`--extend N`: N trials more than the study has. Noted in the study, so that any later command goes on to them.

Who asks again for as many before a command has ended with all of them there, asks for the same ones: the command that
was interrupted goes on, and several drivers that share a study may each be started with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

ATTRIBUTE = "extension"  # of the study
UNCOUNTED = "uncounted"  # of a study: trials that it began with, besides those that its file's budget counts


@dataclass(frozen=True)
class Extension:
    """The last extension of a study."""

    to: int  # trials in all
    by: int
    file: int  # the file's budget at that time: who changes it since, decides anew
    driver: int = 0  # that began it; 0 where drivers have no numbers
    closed: bool = False  # the last command that worked on it has ended as it should, with all trials there

    def noted(self) -> dict[str, Any]:
        """Return the study attribute."""
        return asdict(self)


def extended(noted: Mapping[str, Any] | None, budget: int, uncounted: int = 0) -> int:
    """Return how many trials a study goes on to. noted: the attribute; budget: the file's; uncounted: trials that are
    there besides those that the budget counts."""
    if noted is None or noted["file"] != budget:
        return budget + uncounted
    return max(budget + uncounted, int(noted["to"]))


def close(noted: dict[str, Any] | None, done: int) -> dict[str, Any] | None:
    """Return the attribute when a command has ended as it should."""
    return noted | {"closed": True} if noted is not None and done >= noted["to"] else noted


def extend(
    noted: Mapping[str, Any] | None,
    by: int,
    budget: int,
    done: int,
    recorded: int = 0,
    driver: int = 0,
    others: Collection[int] = (),
) -> Extension:
    """Return what a study is extended to.

    budget: the file's. done: trials that are complete or pruned. recorded: the budget that others bring the study to.
    driver: this one's number. others: those that share the study at the moment.
    """
    if noted is not None:
        last = Extension(**noted)
        unfinished = not last.closed or last.driver in others
        if unfinished and (last.by, last.file) == (by, budget):
            return last
    start = max(done, recorded, noted["to"] if noted else 0) if others else done
    return Extension(start + by, by, budget, driver)
