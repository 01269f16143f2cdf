"""Comparisons for scripts and notebooks: what `hpo compare` says, as an object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo.review.comparison.compare import compare
from hpo.review.comparison.drawing import draw_curves
from hpo.review.comparison.values import ChoiceDifference, ComparedChoice, Comparison
from hpo.review.comparison.words import comparison_lines
from hpo.review.studies import RecordedStudy
from hpo.scripting.checks import check_number, check_text, check_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 100


@dataclass(frozen=True)
class CompareResult:
    """What a comparison says (docs/decision.md, "Is one choice better than another?"). `print(...)` shows the whole.

    choices: what each came to, in order. differences: of each two choices, the clearest first, each with the
    probability to win, the shift in the metric's units, both with 95 % intervals, and p corrected by Holm.
    """

    comparison: Comparison

    @property
    def choices(self) -> tuple[ComparedChoice, ...]:
        """What each choice came to, in order."""
        return self.comparison.choices

    @property
    def differences(self) -> tuple[ChoiceDifference, ...]:
        """Of each two choices the difference, the clearest first."""
        return self.comparison.differences

    @property
    def plain(self) -> dict[str, Any]:
        """What `hpo compare --json` prints."""
        return self.comparison.plain()

    def plot(self) -> Figure:
        """Draw each choice's learning curves, median and quartiles, with Matplotlib. Raises hpo.UserError if no trial
        reported anything on its way."""
        return draw_curves(self.comparison)

    def __str__(self) -> str:
        return "\n".join(comparison_lines(self.comparison, _WIDTH))

    def __repr__(self) -> str:
        found = sum(each.finding == "better" for each in self.differences)
        what = self.comparison.by or ", ".join(self.comparison.studies)
        return f"<hpo.CompareResult of {what!r}: {found} of {len(self.differences)} differences larger than the noise>"


def compared(
    studies: Sequence[RecordedStudy], by: str | None, target: float | None, bins: int | None, where: str | None
) -> CompareResult:
    """Compare as `hpo compare` does. Raises UserError."""
    check_text("compare", "by", by)
    check_number("compare", "target", target)
    check_whole("compare", "bins", bins, 2, 20)
    check_text("compare", "where", where)
    return CompareResult(compare(studies, by, target, bins, where))
