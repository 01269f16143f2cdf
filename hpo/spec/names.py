"""Names of metrics and parameters: what every record can keep (MLflow's rules are the strictest)."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable

LONGEST_NAME = 250  # characters
LONGEST_STUDY_NAME = 200  # bytes: a file's name has at most 255, and a study's files have more in theirs
MOST_STEPS = 2**63  # what a database's integers hold: steps are below it

STUDY_NAME = r"^[\w][\w .+-]*$"

OWN_LOGS = r"mlflow\.log|ui-.*\.log"  # what a home calls its own logs, beside the studies' folders with theirs

COMPLETED = "hpo_completed"  # the metric of a sweep that names none: 1 for each trial that came to its end

_UNRECORDED = re.compile(r"[^\w\-./: ]")  # characters that MLflow has no place for


def study_name_fault(name: str) -> str:
    """Return what is wrong with the name of a study, in words that stand behind it; "" if nothing is."""
    if not re.fullmatch(STUDY_NAME, name) or name.endswith("\n"):
        return "must begin with a letter, a digit or _, and have only these, blanks and .+- in it"
    if (size := len(name.encode())) > LONGEST_STUDY_NAME:
        return (
            f"must be at most {LONGEST_STUDY_NAME} bytes long, since files are named after it, but got {name[:20]}... "
            f"with {size}"
        )
    if re.fullmatch(OWN_LOGS, name):
        return "must not be that of one of the home's own logs (mlflow.log, ui-...log), beside which a study's lie"
    return ""


def name_fault(name: str) -> str:
    """Return what is wrong with the name of a metric or a parameter, "" if nothing is."""
    if not name:
        return "a name must not be empty"
    if len(name) > LONGEST_NAME:
        return f"a name has at most {LONGEST_NAME} characters, but {name[:40] + '...'!r} has {len(name)}"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return f"a name must not have control characters, but got {name[:40]!a}"
    if posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == ".":
        rule = "a name must not begin or end with '/' nor begin with '..', nor have '//', '/./' or '/../' in it"
        return f"{rule}, but got {name!r}"
    return ""


def recorded_name(name: str) -> str:
    """Return the name under which MLflow keeps a metric or a parameter."""
    return _UNRECORDED.sub("_", name)


def clashes(names: Iterable[str]) -> dict[str, str]:
    """Return each name that MLflow could not tell from an earlier one, and that earlier one."""
    first: dict[str, str] = {}
    found = {}
    for name in names:
        earlier = first.setdefault(recorded_name(name), name)
        if earlier != name:
            found[name] = earlier
    return found


def clash_fault(name: str, earlier: str) -> str:
    """Return what is wrong with two names of `clashes`."""
    return f"{earlier!r} and {name!r} would be one name in MLflow: {recorded_name(name)!r}"
