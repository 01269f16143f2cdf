"""A sweep's progress in a notebook: one panel below the cell, drawn anew in its place. Needs IPython only, which any
notebook has, and no widgets."""

from __future__ import annotations

import io
import time
from typing import Any

from rich.console import Console
from rich.jupyter import JupyterRenderable

from hpo.ledger.study.records import TrialRecord
from hpo.review.display import PlainDisplay, new_failure, panel
from hpo.standing import Standing

_SECONDS = 0.5  # between two drawings of the panel
_PRE = "<pre style='white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace'>{code}</pre>"


class NotebookDisplay(PlainDisplay):
    """The panel; what is said once (notes, new kinds of failures) is printed."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._handle: Any = None  # of what IPython displays; None: nothing is displayed yet
        self._drawn = 0.0
        self._standing: Standing | None = None

    def __exit__(self, *exception: object) -> None:
        """Leave the panel as the sweep ended."""
        if self._standing is not None:
            self._draw(self._standing, ended=True)

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        if failure := new_failure(record, standing):
            self._line(failure)

    def tick(self, standing: Standing) -> None:
        self._standing = standing
        if time.monotonic() - self._drawn >= _SECONDS:
            self._draw(standing)

    def _draw(self, standing: Standing, ended: bool = False) -> None:
        from IPython.display import display

        self._drawn = time.monotonic()
        if self._handle is None:
            self._handle = display(rendered(standing, ended), display_id=True)
        else:
            self._handle.update(rendered(standing, ended))


def rendered(standing: Standing, ended: bool) -> JupyterRenderable:
    """Return the panel (display.panel) as HTML, and as text for where a notebook is shown without."""
    console = Console(
        file=io.StringIO(), record=True, width=120, force_jupyter=False, force_terminal=True, color_system="truecolor"
    )
    console.print(panel(standing, ended))
    html = console.export_html(code_format=_PRE, inline_styles=True, clear=False)
    return JupyterRenderable(html, console.export_text())
