"""A refined sweep as text: the file with its comments."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.decision.refine.keys import CarriedKeys
from hpo.decision.refine.outcome import RefinedParameter
from hpo.spec.conditions import Clause
from hpo.spec.written import entry_of
from hpo.spec.yaml_text import in_one_line

_WIDTH = 110
_LAST = ("confirm", "references", "engine")  # keys that stand behind the parameters


def file_text(
    name: str,
    head: Sequence[str],
    keys: CarriedKeys,
    parameters: Sequence[RefinedParameter],
    forbid: Sequence[tuple[Clause, bool]],
    seeds: Sequence[tuple[int, Mapping[str, Any]]],
) -> str:
    """Return a sweep file.

    head: lines that say where it comes from. forbid: clauses, and whether each can still hold. seeds: (trial,
    configuration) of the baselines.
    """
    lines = [line for text in head for line in _comment(text, "")]
    lines.append(_entry("name", name))
    lines += [_entry(key, value, keys.comments.get(key, "")) for key, value in keys.values.items() if key not in _LAST]
    lines += ["", "parameters:"]
    for refined in parameters:
        lines += _parameter(refined)
    if forbid:
        lines += ["", "forbid:"] if any(holds for _, holds in forbid) else [""]
        for clause, holds in forbid:
            written = in_one_line(dict(clause))
            lines += [f"  - {written}"] if holds else _comment(f"can't happen any more: {written}", "  ")
    first = "The best trials, the best one first, with what is fixed above. What is found is judged against the first."
    lines += ["", *_comment(first, "")]
    lines.append("baselines:")
    for number, params in seeds:
        lines += [f"  # trial {number}", f"  - {in_one_line(dict(params))}"]
    last = [_entry(key, keys.values[key], keys.comments.get(key, "")) for key in _LAST if key in keys.values]
    return "\n".join([*lines, *([""] if last else []), *last]) + "\n"


def _entry(key: str, value: Any, comment: str = "") -> str:
    return f"{in_one_line(key)}: {in_one_line(value)}" + (f"  # {printable(comment)}" if comment else "")


def _parameter(refined: RefinedParameter) -> list[str]:
    if refined.fate == "constant":
        why = []
    elif refined.fate == "left out":
        return _comment(f"{refined.name} is left out: {'; '.join(refined.reasons)}", "  ")
    else:
        why = _comment(f"{refined.fate}: {'; '.join(refined.reasons)}", "  ")
    assert refined.parameter is not None
    return [*why, f"  {in_one_line(refined.name)}: {in_one_line(entry_of(refined.parameter))}"]


def _comment(text: str, indent: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        printable(text), _WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def printable(text: str) -> str:
    """Return a text on one line, whatever is in it: a choice may hold line breaks, which would end a comment."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def report(parameters: Sequence[RefinedParameter], width: int) -> list[str]:
    """Return lines for a terminal of this width: what becomes of each parameter, and why."""
    lines: list[str] = []
    constants = [refined.name for refined in parameters if refined.fate == "constant"]
    for refined in parameters:
        if refined.fate == "constant":
            continue
        value = "" if refined.domain is None or refined.fate == "kept" else f": {refined.domain}"
        lines += _wrapped(f"{refined.name}  {refined.fate}{value}", width, "  ", "    ")
        lines += _wrapped("; ".join(refined.reasons), width, "      ", "      ")
    if constants:
        lines += _wrapped(f"constant, as before: {', '.join(constants)}", width, "  ", "    ")
    return lines


def _wrapped(text: str, width: int, first: str, other: str) -> list[str]:
    return textwrap.wrap(printable(text), max(width, 40), initial_indent=first, subsequent_indent=other)
