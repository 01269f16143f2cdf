"""A real browser for tests: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ui_browser import ARGUMENTS, CHROMIUM

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATH = Path(CHROMIUM)


def require() -> None:
    """Skip the test if there is no Chromium; in CI, where one must be installed, let it fail."""
    if not PATH.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {PATH} (Debian, Ubuntu: apt install chromium)")


@contextlib.contextmanager
def open_page() -> Iterator[tuple[Page, list[str]]]:
    """Open a fresh browser; yield its page and the list, growing, of requests that left this machine."""
    from playwright.sync_api import sync_playwright

    foreign: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(PATH), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        local = ("http://127.0.0.1:", "data:", "blob:", "file:")
        # Of the context: also what a page does that a link opens.
        page.context.on(
            "request", lambda request: None if request.url.startswith(local) else foreign.append(request.url)
        )
        yield page, foreign
        browser.close()
