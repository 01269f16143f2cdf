"""Numbers as the page has them."""

from __future__ import annotations

import math


def show(number: float) -> str:
    """Return three significant digits, with an exponent only where the number is huge or tiny; `-` if there is none."""
    if not math.isfinite(number):
        return "-"
    if number == 0:
        return "0"
    if abs(number) >= 1e7:
        return f"{number:.1e}".replace("e+", "e")
    if abs(number) >= 1000:
        return f"{number:,.0f}"
    if abs(number) < 0.0001:
        return f"{number:.1e}"
    digits = max(0, 2 - math.floor(math.log10(abs(number))))
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def minutes(seconds: float) -> str:
    """Return a time: `45 s`, `2 min 5 s`, `1 h 3 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
