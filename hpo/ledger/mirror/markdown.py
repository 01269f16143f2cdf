"""Texts of people in Markdown: as they are, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]|#~@])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})  # MLflow's page knows no backslash before these


def escaped(text: str) -> str:
    """Return a text in one line, with what means something to Markdown or HTML taken literally."""
    return _MEANS_SOMETHING.sub(r"\\\1", " ".join(text.split())).translate(_ENTITIES)


def code_block(text: str, language: str = "") -> str:
    """Return a text as a block of code, whatever backticks there are in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. heads: texts of people. rows: Markdown, in one line a cell."""
    lines = [list(map(escaped, heads)), ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
