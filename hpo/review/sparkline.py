"""A curve in one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-~=+*#"  # where the others can't be written


def blocks_for(stream: IO[str]) -> str:
    """Return the characters of eight heights that a stream can show."""
    try:
        BLOCKS.encode(getattr(stream, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return PLAIN
    return BLOCKS


def sparkline(
    values: Sequence[float], width: int, bounds: tuple[float, float] | None = None, blocks: str = BLOCKS
) -> str:
    """Return values as heights, at most `width` characters of them; of more values evenly chosen ones, the first and
    the last among them. bounds: what the lowest and the highest one stand for; None: the values' own."""
    if not values or width < 1:
        return ""
    count = min(len(values), width)
    shown = [values[round(place * (len(values) - 1) / max(1, count - 1))] for place in range(count)]
    low, high = bounds or (min(values), max(values))
    if high <= low:
        return blocks[len(blocks) // 2] * count
    top = len(blocks) - 1
    return "".join(blocks[round(top * min(1.0, max(0.0, (value - low) / (high - low))))] for value in shown)
