"""The page in a real Chromium: it loads nothing, says nothing on the console, and is readable by day and night."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from review import chromium

from hpo.report.page import rendered

from .studies import NAME, facts_of, many

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser ö")
    path = folder / f"{NAME}.html"
    path.write_text(rendered(facts_of(folder, many(60)))[0])
    return path


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[object, list[str], list[str]]]:
    chromium.require()
    with chromium.started() as browser, chromium.open_page(browser) as (page, _):
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        page.goto(path.as_uri())
        yield page, said, asked


def test_it_opens_with_one_request_and_no_word_on_the_console(page_file: Path) -> None:
    with opened(page_file) as (page, said, asked):
        assert (said, [scheme for scheme in asked if scheme != "data"]) == ([], ["file"])
        assert page.title() == f"{NAME}: report"
        facts = page.locator("#outcome .tiles div").first.inner_text().split("\n")
        table = page.locator("#top tbody tr").first.locator("td").all_inner_texts()
        assert facts == ["best val_accuracy", table[1], f"trial {table[0]}, complete"]
        hidden = "[...document.querySelectorAll('section')].filter(it => !it.innerText.trim()).length"
        assert page.evaluate(hidden) == 0
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for width in (1400, 800, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(wide) == 0, width
        sizes = "[...document.querySelectorAll('figure svg')].map(it => it.getBoundingClientRect().height)"
        assert min(page.evaluate(sizes)) > 20
        colours = (
            "(() => { const text = [...document.querySelectorAll('svg text')].at(0);"
            "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill] })()"
        )
        found = {}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found[scheme] = page.evaluate(colours)
        assert found == {
            "light": ["rgb(255, 255, 255)", "rgb(31, 35, 40)"], "dark": ["rgb(21, 24, 28)", "rgb(228, 231, 234)"],
        }  # fmt: skip
        page.emulate_media(color_scheme="dark", media="print")
        assert page.evaluate(colours) == found["light"]
        page.emulate_media(media="screen")
        page.locator("nav a").last.click()
        assert page.url.endswith("#reproduce") and said == []
