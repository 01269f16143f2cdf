"""Diagnoses of trials in a line of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from hpo.diagnosis.registry import HEALTHY, KINDS, Diagnosis


def names_of(found: Sequence[Diagnosis]) -> str:
    """Return the names of a trial's diagnoses, or `healthy`."""
    return ", ".join(each.name for each in found) or HEALTHY


def in_words(found: Sequence[Diagnosis]) -> str:
    """Return a trial's diagnoses with their evidence."""
    return "; ".join(f"{each.name} ({each.evidence})" for each in found) or HEALTHY


def count(trials: Iterable[Sequence[Diagnosis] | None]) -> Counter[str]:
    """Return how many trials have which diagnosis, and how many are healthy. trials: the diagnoses of each, None where
    nothing is known, which is not counted."""
    known = (found for found in trials if found is not None)
    return Counter(name for found in known for name in ([each.name for each in found] or [HEALTHY]))


def counted(counts: Mapping[str, int]) -> str:
    """Return what `count` returned in words: how many are healthy, then the diagnoses that most trials have."""
    order = {name: place for place, name in enumerate((HEALTHY, *KINDS))}
    ranked = sorted(counts, key=lambda name: (name != HEALTHY, -counts[name], order.get(name, len(order))))
    return ", ".join(f"{name} {counts[name]:,}" for name in ranked)


def health_lines(best: Sequence[Diagnosis] | None, counts: Mapping[str, int]) -> list[str]:
    """Return what people are told of a sweep's health, a line each: of the best trial, and of all. best: its diagnoses,
    None where nothing is known of them."""
    lines = [] if best is None else [f"health of the best: {in_words(best)}"]
    return [*lines, f"health of the trials: {counted(counts)}"] if counts else lines
