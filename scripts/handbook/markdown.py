"""Tables of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def code(text: str) -> str:
    """Return text as code, which may stand in a table."""
    return f"`{text}`".replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, with an empty one before and behind it."""
    lines = [head, ["---"] * len(head), *rows]
    return ["", *("| " + " | ".join(" ".join(cell.split()) for cell in line) + " |" for line in lines), ""]


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring or description; one that ends in a colon has a list behind it."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    match = re.match(r".*?[.:](?= [A-Z]|$)", paragraph)
    return match.group().rstrip(":") if match else paragraph
