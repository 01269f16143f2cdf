"""What a study writes its section with: its recorded results, tables, plots."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hpo
from hpo.ledger.study.references import references_of
from hpo.review.references import ComparedReference, compared
from reproduction.numbers import show
from reproduction.records import Records

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS = 110  # an inch: plots are 880 pixels wide
_WIDTH = 8.0  # inches
_COLOURS = 256


class Writer:
    """A section in the making. `text` and `table` add to it in order, as does `plot` after its block."""

    def __init__(self, records: Records, images: Path, quick: bool = False) -> None:
        """records: of the studies. images: the folder for plots, which the page names as images/course."""
        self.quick = quick
        self._records = records
        self.blocks: list[str] = []
        self._images = images
        self._results: dict[str, hpo.Result] = {}

    def result(self, study: str) -> hpo.Result:
        """Return what is recorded of a study (read once)."""
        if study not in self._results:
            self._results[study] = self._records.result(study)
        return self._results[study]

    def references(self, study: str, metric: str) -> list[ComparedReference]:
        """Return what scikit-learn's models reach beside a study's trials, the best first."""
        recorded = self._records.study(study)
        return compared(references_of(recorded.attributes), metric, recorded.sweep.metric.goal, None)

    def text(self, paragraph: str) -> None:
        """Add a paragraph of Markdown."""
        self.blocks.append(" ".join(paragraph.split()))

    def heading(self, title: str) -> None:
        """Add a heading within the section."""
        self.blocks.append(f"**{title}**")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table. A cell that is a float gets three significant digits; the first column is text, the others are
        set to the right."""
        lines = [_row(columns), _row(["---", *("---:" for _ in columns[1:])])]
        self.blocks.append("\n".join([*lines, *map(_row, rows)]))

    @contextmanager
    def plot(
        self, name: str, text: str, columns: int = 1, height: float = 3.4, rows: int = 1
    ) -> Iterator[Sequence[Axes]]:
        """Give axes, `rows` times `columns` of them in one list, and add the picture when the block ends.

        name: of its file, without the ending. text: what is to be seen in it, for who doesn't see it. height: inches.
        """
        from matplotlib.figure import Figure  # not pyplot, which would keep it and might open a window
        from PIL import Image

        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        yield axes
        self._images.mkdir(parents=True, exist_ok=True)
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=_DOTS)
        with Image.open(drawn) as image:  # with a palette it is a third as large
            image.convert("RGB").quantize(_COLOURS).save(self._images / f"{name}.png", optimize=True)
        self.blocks.append(f"![{text}](images/course/{name}.png)")


def heat_map(
    axes: Axes, values: Sequence[Sequence[float]], rows: Sequence[object], columns: Sequence[object], **more: Any
) -> None:
    """Draw numbers as colours, each with its number in it; one that is not finite is a grey cell with an x.

    more: of Matplotlib's `imshow`, such as `cmap`, `vmin` and `vmax`.
    """
    import numpy as np

    array = np.array(values, dtype=float)
    image = axes.imshow(np.ma.masked_invalid(array), aspect="auto", **{"cmap": "viridis", **more})
    axes.set_facecolor("#dddddd")
    axes.set_xticks(range(len(columns)), [str(column) for column in columns])
    axes.set_yticks(range(len(rows)), [str(row) for row in rows])
    for row, line in enumerate(array):
        for column, value in enumerate(line):
            red, green, blue, _ = image.cmap(image.norm(value)) if math.isfinite(value) else (1.0, 1.0, 1.0, 1.0)
            bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5  # how bright it looks
            text = show(value) if math.isfinite(value) else "x"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color="black" if bright else "white")


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(show(cell) if isinstance(cell, float) else str(cell) for cell in cells) + " |"
