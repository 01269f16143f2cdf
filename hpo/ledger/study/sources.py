"""Which code and data a study's trials are of: kept with the study, and by a digest with each trial.

The attribute `sources` of a study is a list with an entry a version, the latest last: `digest`, and `files`, a digest
each (hpo/objective/sources.py says which). A trial's `sources` is the digest of the version that it ran with. Studies
from before have neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

SOURCES = "sources"  # the attribute's name
_SHOWN = 8


def digest_of_sources(sweep: Sweep) -> str:
    """Return what tells the code and data of a sweep from others; "" if nothing is known of them."""
    files = sweep.written.sources
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(files.items()))
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12] if files else ""


def sources_attribute(attributes: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """Return the attribute of a study, with its sweep's version as the latest; nothing if nothing is known of it.

    attributes: of the study, or of the one whose trials it begins with.
    """
    digest = digest_of_sources(sweep)
    if not digest:
        return {SOURCES: attributes[SOURCES]} if SOURCES in attributes else {}
    others = [each for each in attributes.get(SOURCES, []) if each["digest"] != digest]
    return {SOURCES: [*others, {"digest": digest, "files": dict(sweep.written.sources)}]}


def changed_sources(study: str, attributes: Mapping[str, Any], sweep: Sweep) -> str:
    """Return a note on what has changed since a study's last trials, if the user has agreed; "" if nothing has.

    Raises UserError if something has, and nobody has agreed to it.
    """
    known, digest = attributes.get(SOURCES), digest_of_sources(sweep)
    if not known or not digest or known[-1]["digest"] == digest:
        return ""
    before, now = known[-1]["files"], sweep.written.sources
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    told = ", ".join(_told(name, before, now) for name in names[:_SHOWN])
    told += f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    if sweep.written.changed_ok:
        return f"code or data have changed since the last trials of study {study!r}: {told}; told apart by `sources`"
    raise UserError(
        f"{sweep.source}: code or data have changed since the last trials of study {study!r}: {told}\n"
        f"values from before and after may not mean the same; go back to the files as they were, choose another name "
        f"(-o name={sweep.name}-2), or have the study go on with both (--changed ok, in a script changed='ok')"
    )


def _told(name: str, before: Mapping[str, str], now: Mapping[str, str]) -> str:
    return f"{name} is new" if name not in before else f"{name} is gone" if name not in now else f"{name} has changed"
