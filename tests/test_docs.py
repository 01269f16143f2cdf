"""The documentation holds together: each page is in the index, each link leads somewhere, each word is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
# What a reader does not read as a sentence: code, headings, names of pages, and where links lead.
NO_PROSE = [
    CODE,
    re.compile(r"^(#| {4}).*$", re.MULTILINE),
    re.compile(r"`(?:[^`\n]|\n(?!\s*\n))+`"),
    re.compile(r"(?<=\])\([^)]*\)|[\w./-]+\.md\b"),
]
EXPLAINED = re.compile(r"\[[^\]]*\]\((?:(?:docs/)?README\.md#words|cohorts\.md)\)|(?<!\*)\*[\w ]+\*(?!\*)")
WORDS = ("cohort", "home", "rung", "study")
INDEX = DOCS / "README.md"


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.*)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name if page.parent == ROOT else f"docs/{page.name}")
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


def test_each_page_is_in_the_index() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(INDEX.read_text(encoding="utf-8"))}
    pages = {page.name for page in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]} - {INDEX.name}
    assert pages <= linked


def unexplained(text: str) -> list[str]:
    """Return the words of ours whose first use in a page is neither a link to what they mean nor set in italics.

    Italics (`a *cohort*`) are how a page says that it explains the word itself, there.
    """
    explained = [found.span() for found in EXPLAINED.finditer(text)]
    prose = text
    for pattern in NO_PROSE:
        prose = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), prose)
    firsts = {word: re.search(rf"\b{word.removesuffix('y')}(?:y|ies|s)?\b", prose, re.IGNORECASE) for word in WORDS}
    return [
        f"{word}: ...{text[max(0, first.start() - 40) : first.end() + 40]!r}"
        for word, first in firsts.items()
        if first and not any(start <= first.start() < end for start, end in explained)
    ]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted({*DOCS.glob("*.md")} - {INDEX})], ids=lambda page: page.stem
)
def test_a_word_of_ours_is_explained_where_a_page_first_uses_it(page: Path) -> None:
    assert unexplained(page.read_text(encoding="utf-8")) == []


def test_the_index_explains_each_of_these_words() -> None:
    section = INDEX.read_text(encoding="utf-8").partition("\n## Words\n")[2]
    assert set(WORDS) <= set(re.findall(r"^\| (\w+) \| \w", section, re.MULTILINE))


def test_what_counts_as_explained() -> None:
    assert unexplained("The `study` of [cohorts](cohorts.md), a *study*; then any cohort, any study.") == []
    assert unexplained("# A home\n\n    cohort\n\n```sh\nrung\n```\n[docs/cohorts.md](cohorts.md)") == []
    (found,) = unexplained("Two studies, and [what a study is](README.md#words).")
    assert found.startswith("study: ...'Two studies")
    assert len(unexplained("A **cohort**, and a [rung](scale.md#rungs).")) == 2
