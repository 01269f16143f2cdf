"""Which code and data a study's trials are of: kept with the study, and by a digest with each trial.

The attribute `sources` of a study has the latest version: `digest`, and `files`, a digest each
(hpo/objective/sources.py says which). A trial's `sources` is the digest of the version that it ran with. Studies
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


def sources_mark(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attribute of a study's trial that begins now; nothing if nothing is known of its code and data."""
    return {SOURCES: attributes[SOURCES]["digest"]} if SOURCES in attributes else {}


def sources_attribute(attributes: Mapping[str, Any], sweep: Sweep) -> dict[str, Any]:
    """Return the attribute of a study, with its sweep's version as the latest; nothing if nothing is known of it.

    attributes: of the study, or of the one whose trials it begins with.
    """
    files, known = dict(sweep.written.sources), attributes.get(SOURCES)
    if known:  # data that came later may be what trials write: only code is added
        files = {name: each for name, each in files.items() if name in known["files"] or name.endswith(".py")}
    if not files:
        return {SOURCES: known} if known else {}
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(files.items()))
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return {SOURCES: {"digest": digest, "files": files}}


def changed_files(attributes: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """Return in words which of a study's files have changed since its last trials; "" if none has.

    A file that only one of the two has tells nothing: another import stands in a file that has changed, and data may be
    what trials write. attributes: the study's. files: a digest each, as they are now.
    """
    before = attributes.get(SOURCES, {}).get("files", {})
    names = [name for name in sorted(files) if before.get(name, files[name]) != files[name]]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def refuse_changed(study: str, attributes: Mapping[str, Any], sweep: Sweep) -> str:
    """Return a note on what has changed since a study's last trials, if the user has agreed; "" if nothing has.

    Raises UserError if something has, and nobody has agreed to it.
    """
    changed = changed_files(attributes, sweep.written.sources)
    if not changed:
        return ""
    if sweep.written.changed_ok:
        return f"changed since the last trials of study {study!r}: {changed}; its trials are told apart by `sources`"
    raise UserError(
        f"{sweep.source}: code or data have changed since the last trials of study {study!r}: {changed}\n"
        f"values from before and after may not mean the same; go back to the files as they were, choose another name "
        f"(-o name={sweep.name}-2), or have the study go on with both (--changed ok, in a script changed='ok')"
    )
