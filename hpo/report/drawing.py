"""Figures of Matplotlib's: their look, and how they become part of a page and files.

An SVG's colours are those of PALETTE, which the page replaces by its own variables: one page is light and dark.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#1f2328", "#8a9199", "#d5dae0"
BLUE, ORANGE, RED, GREEN, GREY = "#2f6fb3", "#c4561b", "#b3262e", "#2a7d4f", "#9aa3ac"
PALETTE: Mapping[str, str] = {  # by the variables of style.css
    INK: "--ink", FAINT: "--faint", LINE: "--line",
    BLUE: "--blue", ORANGE: "--orange", RED: "--red", GREEN: "--green", GREY: "--grey",
}  # fmt: skip
WIDTH = 8.6  # inches: its text is readable at 800 pixels
MANY = 800  # marks: more of them are one picture within the SVG
_FAR = 6.0  # times as far below the median as the best is above it: values that are drawn outside of a plot
_DOTS = 130  # per inch, of pictures within an SVG and of PNG files
_FONTS = "'DejaVu Sans', Verdana, sans-serif"
_STYLE: Mapping[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "axes.titlesize": 9.0, "axes.titleweight": "bold",
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.color": FAINT, "ytick.color": FAINT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.edgecolor": FAINT, "grid.color": LINE,
    "axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 0.6, "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "legend.fontsize": 8.0, "lines.linewidth": 1.6,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "savefig.dpi": _DOTS,
    "figure.dpi": 72.0, "svg.fonttype": "none", "text.parse_math": False,  # a name may hold a `$`
}  # fmt: skip


@contextmanager
def drawing() -> Iterator[None]:
    """Have figures look as the report's do inside the block; of the process nothing is changed for longer."""
    import matplotlib

    logger = logging.getLogger("matplotlib")  # it tells of fonts that it doesn't find
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with matplotlib.rc_context(), warnings.catch_warnings():
            matplotlib.rcdefaults()  # nothing of a user's own matplotlibrc
            matplotlib.rcParams.update(_STYLE)
            # A letter that its font lacks is a box in the PNG. The page has it as text, and browsers more fonts.
            warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def new_figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure that pyplot knows nothing of, and its axes by rows. height: in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def log_values(axes: Axes) -> None:
    """Give an upright axis a log scale, with plain numbers: a figure's texts are no formulas. What is not positive lies
    at its lower end."""
    from matplotlib.ticker import FuncFormatter, LogFormatter

    axes.set_yscale("log", nonpositive="clip")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(LogFormatter())  # of a range of less than a decade


def colours_of_values(sign: float) -> Colormap:
    """Return the colours of values, the best ones the brightest: viridis, which people read who don't tell red from
    green, without its ends, which can't be seen on dark or on light. sign: 1 where more is better, else -1."""
    import matplotlib
    import numpy as np
    from matplotlib.colors import ListedColormap

    found = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.94, 256))
    return ListedColormap(found if sign > 0 else found[::-1])


def svg_of(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element, for a page that defines the variables of PALETTE. name: the plot's, which
    keeps the ids of several figures on one page apart."""
    import matplotlib

    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = written.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    for size in ("width", "height"):  # the page says how large it is
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    text = text.replace("'DejaVu Sans'", _FONTS)
    for colour, variable in PALETTE.items():
        text = text.replace(colour, f"var({variable})")
    return text


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG file on white."""
    written = io.BytesIO()
    figure.savefig(written, format="png", facecolor="white")
    return written.getvalue()


def focused(values: Sequence[float], sign: float) -> tuple[float, float, int]:
    """Return between which numbers values are drawn, and how many worse ones lie outside: a few that are far worse than
    the others would press all of these into a line. sign: 1 where more is better, else -1. values: at least one,
    all finite."""
    import numpy as np

    turned = np.sort(np.asarray(values) * sign)
    low, middle, high = np.quantile(turned, [0.25, 0.5, 1.0])
    spread = float(high - middle or high - low)
    floor = max(turned[0], middle - _FAR * spread) if spread else turned[0]
    ends = sorted((float(sign * floor), float(sign * high)))
    margin = 0.04 * (ends[1] - ends[0]) or 0.05 * abs(ends[1]) or 0.05
    most = 0.9 * float(np.finfo(float).max)  # a penalty may be the largest number
    return max(ends[0] - margin, -most), min(ends[1] + margin, most), int((turned < floor).sum())
