"""Confirmations for scripts and notebooks: what `hpo confirm` does, and what came out as an object."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from hpo.decision.confirm.words import confirmation_json, lines_of
from hpo.ledger.study.confirmations import Confirmation, Final, Verdict
from hpo.ledger.study.home import Home
from hpo.review.display import make_display
from hpo.review.studies import RecordedStudy, confirmation_of, read_study
from hpo.scripting.checks import check_whole
from hpo.scripting.surroundings import folders_of, pass_on, process_kept
from hpo.spec.faults import UserError

_SEEDS = (2, 10_000)  # the fewest and the most


@dataclass(frozen=True)
class ConfirmResult:
    """What a confirmation says of a study's best trial (docs/decision.md, "Is the winner really better?").

    verdict: `better`, `not shown` or `worse`. difference: of winner and baseline in the metric `metric`, positive is
    better; interval: its 95 % interval (of functions and programs that report none of test rows a wider one, as `words`
    says). winner, baseline: each with `params`, `validation` and `test`, means over the
    seeds (`test` is None where nothing is known of test rows). words: the whole as `hpo confirm` prints it; also by
    `print(...)`. plain: what `hpo confirm --json` prints.
    """

    verdict: Verdict
    difference: float
    interval: tuple[float, float]
    metric: str
    winner: Final
    baseline: Final
    words: str
    plain: dict[str, Any]

    def __str__(self) -> str:
        return self.words

    def __repr__(self) -> str:
        low, high = self.interval
        return f"<hpo.ConfirmResult {self.verdict!r}: {self.metric} {self.difference:+.4g} ({low:+.4g} to {high:+.4g})>"


def latest(study: RecordedStudy) -> ConfirmResult | None:
    """Return the latest confirmation of a study, None if there is none."""
    found = confirmation_of(study)
    return _told(study, found) if found is not None else None


def confirm_study(
    home: Home,
    name: str,
    top: int | None,
    seeds: int | None,
    against: int | None,
    workers: int | Literal["auto"] | None,
    progress: bool,
) -> ConfirmResult:
    """Confirm a study as `hpo confirm` does. Raises UserError, also if there is no verdict, and KeyboardInterrupt."""
    from hpo.decision.confirm.run import ConfirmWish, NoVerdict, confirm
    from hpo.ledger.mirror.reach import refuse_unusable

    check_whole("confirm", "top", top, 1)
    check_whole("confirm", "seeds", seeds, *_SEEDS)
    check_whole("confirm", "against", against, 0)
    wish = ConfirmWish(top, seeds, against, {"workers": workers} if workers is not None else {})
    with process_kept() as folders:
        study = read_study(home, name)
        if (workers if workers is not None else study.config.get("engine", {}).get("workers")) == 0:
            folders += folders_of(study.sweep)
        refuse_unusable(home)
        home.prepare()
        try:
            with make_display(sys.stdout, not progress) as display:
                done = confirm(home, name, wish, display)
        except NoVerdict as reason:
            if reason.interrupted:
                pass_on(reason.interrupted, str(reason))
            raise UserError(f"no verdict: {reason}") from None
        told = _told(read_study(home, name), done.confirmation)
    if progress:
        print(told)
    for notice in done.notices:
        warnings.warn(notice.text, RuntimeWarning, stacklevel=3)
    return told


def _told(study: RecordedStudy, found: Confirmation) -> ConfirmResult:
    return ConfirmResult(
        verdict=found.result.verdict,
        difference=found.result.difference,
        interval=found.result.interval,
        metric=found.measure.metric,
        winner=found.winner,
        baseline=found.baseline,
        words="\n".join(lines_of(study, found)),
        plain=confirmation_json(study.name, found),
    )
