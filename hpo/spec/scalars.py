"""Which unquoted words of a sweep file are no text, but a number, a truth value or nothing: as YAML 1.2 has it."""

from __future__ import annotations

import re

FLOAT = re.compile(
    r"""^[-+]?(?:(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
    |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
    |\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.X,
)
INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7]+|0b[01_]+)$")
BOOL = re.compile("^(?:true|True|TRUE|false|False|FALSE)$")
_NULL = re.compile("^(?:~|null|Null|NULL|)$")
_STRUCTURE = re.compile(r"""[\[\]{}'"]|\s|.*\s$""")  # begins like a list, a mapping or a quoted text; blanks at an end


def needs_quotes(text: str) -> bool:
    """Whether a text, written without quotes, would be read as something else than text."""
    return any(pattern.match(text) for pattern in (FLOAT, INT, BOOL, _NULL, _STRUCTURE))
