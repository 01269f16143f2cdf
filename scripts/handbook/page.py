"""The page, put together."""

from __future__ import annotations

from handbook.commands import command_lines
from handbook.python_names import name_lines
from handbook.records import record_lines
from handbook.sweep_keys import key_lines

_HEAD = """# Reference

Every command, key, name and record. Written by `scripts/reference`, from the code. The hyperparameters and metrics of a
Torch task are in [vocabulary.md](vocabulary.md), the keys of `data` for a table in
[your-table.md](your-table.md#all-keys-of-data). [README.md](README.md) lists the pages by what you want to do,
and explains words such as [study](README.md#words), [home](README.md#words), [cohort](README.md#words) and
[rung](README.md#words).
"""


def reference_page() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD.splitlines(), command_lines(), key_lines(), name_lines(), record_lines()]
    lines: list[str] = []
    for line in (line for part in parts for line in [*part, ""]):
        if line or (lines and lines[-1]):  # never two empty lines
            lines.append(line)
    return "\n".join(lines).rstrip("\n") + "\n"
