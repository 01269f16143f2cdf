"""Entries of `parameters` that W&B reads otherwise, or that may be meant otherwise: what comes of them, and notes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hpo.spec import conditions
from hpo.spec.space import Domain, Range, show

EXPONENTS = ("log_uniform", "q_log_uniform", "inv_log_uniform")  # W&B's: min and max are exponents of e


def merged_values(name: str, entry: Any) -> tuple[Any, list[str]]:
    """Return an entry with each of its `values` once, weighed by how often they stand there, and notes that say so."""
    values = entry.get("values") if isinstance(entry, Mapping) else None
    if not isinstance(values, list) or conditions.repeated(values) is None:
        return entry, []
    shares = entry.get("probabilities", [1.0] * len(values))
    if not isinstance(shares, list) or len(shares) != len(values) or not all(type(s) in (int, float) for s in shares):
        return entry, []  # a fault of its own
    weights: dict[str, float] = {}
    first: dict[str, Any] = {}
    for value, share in zip(values, shares, strict=True):
        identity = conditions.identity_of(value)
        first.setdefault(identity, value)
        weights[identity] = weights.get(identity, 0.0) + share
    total = sum(shares) if "probabilities" not in entry else 1.0
    merged = {**entry, "values": list(first.values()), "probabilities": [each / total for each in weights.values()]}
    if len(set(weights.values())) == 1 and "probabilities" not in entry:
        merged.pop("probabilities")
    twin, again = conditions.repeated(values) or (None, None)
    also = f" (as {again!r})" if repr(twin) != repr(again) else ""
    note = f"{name}: {show(twin)} is repeated{also} in 'values': it is one choice, drawn as often as it stands there"
    return merged, [note]


def remarks(name: str, entry: Mapping[str, Any], domain: Domain) -> Iterator[str]:
    """Yield what the user should know of an entry whose words may be meant otherwise."""
    distribution = entry.get("distribution")
    if not isinstance(domain, Range) or distribution is None:
        return
    low, high = entry["min"], entry["max"]
    # exponents of e for rates and sizes are negative, or a few units apart; what is tiny, or spans orders, is values
    if distribution in EXPONENTS and low > 0 and (high <= 1 or high >= 10 * low):
        values = f"{'q_' if distribution.startswith('q_') else ''}log_uniform_values"
        yield (
            f"{name}: {distribution} takes exponents of e, so min: {show(low)}, max: {show(high)} is "
            f"{show(domain.low)} to {show(domain.high)}; if they are the values, write distribution: {values}"
        )
    step = domain.step or (1 if domain.integer else None)
    if distribution.startswith("q_") and step and not math.isclose(domain.low, round(domain.low / step) * step):
        least = max(1, round(domain.low / step))
        other = near = f"min: {show(least * step)}"
        if distribution in EXPONENTS:  # its bounds are no exponents in the other one
            most = max(least, round(math.exp(high) / step))
            other = f"distribution: q_log_uniform_values, {near}, max: {show(most * step)}"
        yield (
            f"{name}: steps of q count from min here ({show(domain.low)}, {show(domain.at(1))}, ...); W&B's are "
            f"multiples of q (write {other} to have these)"
        )
