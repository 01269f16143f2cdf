"""A study's removal and its renaming, as the study keeps them: who is killed in between, or follows later, finds what
is still to be done, and what the study was called."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from hpo.spec.faults import UserError

REMOVING = "removing"  # the attribute of a study whose removal was begun: from which MLflow
RENAMING = "renaming"  # of one whose renaming was begun: {"old": ..., "new": ...}; {}: it is done
FORMER = "former_names"  # what a study was called, the first name first

Studies = Mapping[str, Mapping[str, Any]]  # the attributes of all studies of a storage, by name


class Renaming(NamedTuple):
    """From which name to which."""

    old: str
    new: str

    @property
    def command(self) -> str:
        """The command that carries it out."""
        return f"hpo study mv {shlex.quote(self.old)} {shlex.quote(self.new)}"


def renaming_of(attributes: Mapping[str, Any]) -> Renaming | None:
    """Return the renaming of a study that is not finished; None if there is none. attributes: the study's."""
    kept = attributes.get(RENAMING)
    return Renaming(kept["old"], kept["new"]) if kept else None


def refuse_half_removed(name: str, attributes: Mapping[str, Any]) -> None:
    """Raise UserError if the removal of a study was begun. attributes: the study's."""
    if attributes.get(REMOVING):
        raise UserError(
            f"the removal of study {name!r} was begun, and not finished (hpo study rm finishes it; "
            "for a new study choose another name with -o name=...)"
        )


def half_copied_from(name: str, studies: Studies) -> Renaming | None:
    """Return the renaming that was cut off while it copied a study's trials into this one; None if it is no such copy.

    Only a journal is copied, and its old study is there until all is.
    """
    for other, attributes in studies.items():
        renaming = renaming_of(attributes)
        own = studies[name].get("id") in (None, attributes.get("id"))
        if renaming is not None and renaming == Renaming(other, name) and own:
            return renaming
    return None


def refuse_half_copied(name: str, studies: Studies) -> None:
    """Raise UserError if a study is what a renaming left that was cut off."""
    if renaming := half_copied_from(name, studies):
        raise UserError(
            f"{name!r} is no whole study yet: renaming {renaming.old!r} was cut off ({renaming.command} finishes it)"
        )


def name_now(name: str, studies: Studies) -> str:
    """Return what a study of this name is called by now; the name itself if nobody knows it."""
    if name in studies:
        return name
    return next((now for now, attributes in studies.items() if name in attributes.get(FORMER, ())), name)
