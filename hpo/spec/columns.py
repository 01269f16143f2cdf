"""Which keys of a table's `data` name columns of its file."""

from __future__ import annotations

LISTS = ("drop", "features", "categorical", "numeric")
ROLES = ("target", "weight", "time", "group", "split_column")
"""Keys that name a column which is no feature: what is to be predicted, how much a row counts, which split it is in."""
