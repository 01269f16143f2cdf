"""What a section of the report consists of, and its HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from hpo.ledger.study.urls import masked

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ReportTable:
    """A table. rows: as many texts each as `head` has. strong: rows that stand out, by their places."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ReportPlot:
    """A plot. name: of its file, without an ending. says: what a reader who can't see it is told."""

    name: str
    figure: Figure
    says: str


@dataclass(frozen=True)
class ReportCode:
    """Text as it is, behind a label that opens it; without a label it is open."""

    text: str
    label: str = ""


@dataclass(frozen=True)
class ReportTiles:
    """The figures at the top: (what it is, the figure, a word more)."""

    tiles: Sequence[tuple[str, str, str]]


ReportBlock = str | ReportTable | ReportPlot | ReportCode | ReportTiles  # text: a paragraph


@dataclass(frozen=True)
class SectionBody:
    """A section. lead: what it says of this study, in a sentence or two."""

    lead: str
    blocks: Sequence[ReportBlock] = ()

    def plots(self) -> list[ReportPlot]:
        return [block for block in self.blocks if isinstance(block, ReportPlot)]


def shown_text(text: str) -> str:
    """Return a text for a page: without the passwords of its URLs, without markup."""
    return escape(masked(text))


def shown_prose(text: str) -> str:
    """Return sentences for a page: what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", shown_text(text))


def html_of(block: ReportBlock, svg: Callable[[ReportPlot], str]) -> str:
    """Return a block's HTML. svg: returns a plot's picture."""
    if isinstance(block, str):
        return f"<p>{shown_prose(block)}</p>"
    if isinstance(block, ReportPlot):
        return f'<figure role="img" aria-label="{shown_text(block.says)}">{svg(block)}</figure>'
    if isinstance(block, ReportCode):
        code = f"<pre>{shown_text(block.text)}</pre>"
        if not block.label:
            return code
        return f"<details><summary>{shown_text(block.label)}</summary>{code}</details>"
    if isinstance(block, ReportTiles):
        return f'<div class="tiles">{"".join(_tile(*tile) for tile in block.tiles)}</div>'
    return _table(block)


def _tile(name: str, figure: str, more: str) -> str:
    parts = (("name", name), ("figure", figure), ("more", more))
    return f"<div>{''.join(f'<span class={kind}>{shown_text(text)}</span>' for kind, text in parts if text)}</div>"


def _table(table: ReportTable) -> str:
    head = "".join(f"<th>{shown_text(text)}</th>" for text in table.head)
    rows = []
    for place, row in enumerate(table.rows):
        mark = " class=strong" if place in table.strong else ""
        rows.append(f"<tr{mark}>{''.join(f'<td>{shown_text(text)}</td>' for text in row)}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
