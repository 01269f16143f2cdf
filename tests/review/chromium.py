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
    from playwright.sync_api import Browser, Page

PATH = Path(CHROMIUM)


def require() -> None:
    """Skip the test if there is no Chromium; in CI, where one must be installed, let it fail."""
    if not PATH.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"there is no {PATH} (Debian, Ubuntu: apt install chromium)")


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """Run a browser inside the block: five seconds of a core."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(PATH), args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def open_page(browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """Open a page as if this browser had never been anywhere: without cookies, and with nothing kept; yield it and the
    list, growing, of requests that left this machine."""
    foreign: list[str] = []
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        local = ("http://127.0.0.1:", "data:", "blob:", "file:")
        # Of the context: also what a page does that a link opens.
        context.on("request", lambda request: None if request.url.startswith(local) else foreign.append(request.url))
        yield context.new_page(), foreign
