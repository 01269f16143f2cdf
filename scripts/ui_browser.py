"""`hpo ui` over a home, and Chromium to look at it: what scripts/screenshots, scripts/benchmark and tests share.

Needs /usr/bin/chromium (Debian) and the test extra (scripts/setup --test).
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [  # no sandbox as root, nothing that calls out
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Uis:
    """Where they are. front: the page of all studies."""

    front: str

    def page(self, where: str, study: str, trial: int | None = None) -> str:
        """Return the address that leads to a page, as the first page and the notes have it."""
        asked = {"in": where, "study": study} | ({} if trial is None else {"trial": str(trial)})
        return f"{self.front}/hpo/open?{urlencode(asked)}"


@contextlib.contextmanager
def hpo_ui(home: Path) -> Iterator[Uis]:
    """Run `hpo ui` on free ports inside the block. Ends the script if it doesn't start."""
    command = [sys.executable, "-m", "hpo", "ui", "--home", home, "--mlflow-port", "0", "--dashboard-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        said = ""
        for line in process.stdout or ():
            said += line
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"^All studies +(http\S+)", said, re.MULTILINE)
        if found is None or "Ctrl-C" not in said:
            sys.exit(f"hpo ui did not start:\n{said}")
        yield Uis(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser inside the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
