"""The references of a study, recorded once: in the study, from where MLflow's parent run has them when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.references import REFERENCES, References, references_of
from hpo.spec.grammar import REFERENCES as NAMES


class ReferenceBook:
    """Reads and writes what references reach. What is recorded is never changed, only added to."""

    def __init__(self, book: StudyBook) -> None:
        self._book = book

    def known(self, fresh: bool = False) -> References | None:
        """Return what the study has. fresh: look again, since other drivers may have measured meanwhile."""
        if fresh:
            self._book.look_again(REFERENCES)
        return references_of(self._book.attributes)

    def beside(self, summary: Mapping[str, Any], fresh: bool) -> dict[str, Any]:
        """Return what MLflow's parent run is told in the end, with the references that there are by then."""
        found = self.known(fresh)
        return {**summary, **({REFERENCES: found.attribute()} if found is not None else {})}

    def add(self, found: References) -> References:
        """Record references that the study does not have yet; return what it has then.

        Of other data than those it has, none is recorded: they could not be compared.
        """
        known = self.known(fresh=True)
        if known is not None and known.data != found.data:
            return known
        models = {**found.models, **known.models} if known is not None else found.models
        ordered = References(found.data, found.kind, {name: models[name] for name in NAMES if name in models})
        if known is None or models.keys() != known.models.keys():
            self._book.set_attribute(REFERENCES, ordered.attribute())
        return ordered
