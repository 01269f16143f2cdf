"""Which attributes of a study name other studies, and what becomes of them when one is renamed, removed or copied.

`predecessor` and `successor`, of who goes on with another space; `confirms` and `confirmation` of a confirming study,
`confirmations` and `test_looks` of the one that it confirms. (What trials were copied from is never changed:
`former_names` leads there.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo.ledger.study.confirmations import CONFIRMATION, CONFIRMATIONS, CONFIRMS, LOOKS

PREDECESSOR, SUCCESSOR = "predecessor", "successor"

Attributes = Mapping[str, Any]


def rests_on(attributes: Attributes) -> set[str]:
    """Return the studies without which a study means nothing: that which it confirms, or goes on from."""
    return {str(attributes.get(CONFIRMS, {}).get("study", "")), str(attributes.get(PREDECESSOR, ""))} - {""}


def renamed_in(attributes: Attributes, old: str, new: str) -> dict[str, Any]:
    """Return the attributes of a study that change since it names another one that is called otherwise."""
    changed: dict[str, Any] = {key: new for key in (PREDECESSOR, SUCCESSOR) if attributes.get(key) == old}
    for key in (CONFIRMS, CONFIRMATION):
        if (attributes.get(key) or {}).get("study") == old:
            changed[key] = {**attributes[key], "study": new}
    for key in (CONFIRMATIONS, LOOKS):
        if any(each["study"] == old for each in attributes.get(key, ())):
            changed[key] = [{**e, "study": new} if e["study"] == old else e for e in attributes[key]]
    return changed


def without(attributes: Attributes, name: str, gone: str, its: Attributes) -> dict[str, Any]:
    """Return the attributes of a study that change since another one is removed: it is the last of its chain again, or
    has one verdict less. What that one has looked at of test rows was looked at all the same, and stays.

    name: of the study. gone: the name of the removed one; its: the attributes of that.
    """
    changed: dict[str, Any] = {}
    if attributes.get(SUCCESSOR) == gone and its.get(PREDECESSOR, name) == name:
        changed[SUCCESSOR] = ""
    confirmed = its.get(CONFIRMS, {}).get("study_id", "") == attributes.get("id")
    if confirmed and any(each["study"] == gone for each in attributes.get(CONFIRMATIONS, ())):
        changed[CONFIRMATIONS] = [each for each in attributes[CONFIRMATIONS] if each["study"] != gone]
    return changed


def of_a_copy(attributes: Attributes) -> dict[str, Any]:
    """Return the attributes that change in a copy of a study by another name: the studies that its original names don't
    name it."""
    changed: dict[str, Any] = {key: "" for key in (PREDECESSOR, SUCCESSOR) if attributes.get(key)}
    return changed | ({CONFIRMATIONS: []} if attributes.get(CONFIRMATIONS) else {})
