"""What is said of a confirmation, to people and to scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.decision.confirm.judging import metric_of_test
from hpo.decision.confirm.verdict import Judged
from hpo.ledger.study.confirmations import Confirmation, Final, Ranked
from hpo.review.references import compared, reference_lines
from hpo.review.studies import RecordedStudy
from hpo.spec.space import enumerated, show
from hpo.spec.sweep import Target


def needed_text(judged: Judged, rows: int | None, seeds: int) -> str:
    """Return what would show a difference of this size, in words; "" where that is not in question."""
    parts = []
    if judged.more_rows is not None:
        parts.append(f"about {judged.more_rows:,} test rows (there are {rows:,})")
    if judged.more_seeds is not None:
        parts.append(f"about {judged.more_seeds:,} seeds (there were {seeds})")
    return (
        f"a difference of this size would take {' and '.join(parts)} to be shown in four of five cases" if parts else ""
    )


def looks_text(rows: int, earlier: Sequence[str]) -> str:
    """Return the warning that test rows were looked at before; "" if they were not."""
    if not earlier:
        return ""
    times = "once" if len(earlier) == 1 else f"{len(earlier)} times"
    return (
        f"these {rows:,} test rows were looked at {times} before ({enumerated(list(earlier))}): the more often they "
        "are asked, the less their answer is worth"
    )


def lines_of(study: RecordedStudy, found: Confirmation) -> list[str]:
    """Return a confirmation as lines for people, the verdict as the last ones. study: that is confirmed."""
    target = study.sweep.metric
    references = None if study.sweep.resampled else study.references  # those are of other rows
    count = len(found.ranking)
    what = f"{count} configuration{'s' if count > 1 else ''}"
    lines = [f"{study.name}: {what} over {_seeds(found)} fresh seeds, in study {found.study!r}"]
    lines += _table(found.ranking, target)
    lines += [f"  {each.name} is out: it {each.out}" for each in found.ranking if each.validation is None]
    kept = [each for each in found.ranking if each.validation is not None and each.out]
    lines += [f"  {each.name} {each.out}; it is judged by the others, which favours it" for each in kept]
    rows = compared(references, target.name, target.goal, found.winner.validation)
    lines += reference_lines(rows, target.name, found.winner.validation, "the winner")
    lines += ["", *_measured(found), *_verdict(found)]
    return lines


def _seeds(found: Confirmation) -> int:
    return max(len(each.trials) for each in found.ranking)


def _table(ranking: Sequence[Ranked], target: Target) -> list[str]:
    """Return the ranking as a table."""
    width = max(len(each.name) for each in ranking)
    cells = [
        (each.name, show(each.validation) if each.validation is not None else "-", _spread(each.validation_sd))
        for each in ranking
    ]
    column = max(len(target.name), *(len(value) for _, value, _ in cells))
    lines = [f"  {'':<{width}}  {target.name:<{column}}  spread over seeds"]
    for index, (name, value, spread) in enumerate(cells):
        told = "   the winner" if index == 0 and ranking[0].validation is not None else ""
        lines.append(f"  {name:<{width}}  {value:<{column}}  {spread}{told}".rstrip())
    return lines


def _spread(deviation: float | None) -> str:
    return f"{deviation:.3g}" if deviation is not None else ""


def _measured(found: Confirmation) -> list[str]:
    """Return by what winner and baseline were compared, and what each has."""
    by = found.measure
    if by.on == "validation":
        return [
            f"compared by {by.metric}, the metric that chose the winner: nothing is known of test rows",
            f"(for an independent measure: data.test above 0, or report {metric_of_test(by.metric)} beside it)",
        ]
    where = "as the objective reports it"
    if by.on == "test":
        look = "first" if by.looks == 1 else _ordinal(by.looks)
        where = f"on the {by.rows:,} test rows, in the {look} look at them"
    lines = [f"{by.metric} {where}:"]
    return lines + [
        f"  {role:<8}  {_final(it)}" for role, it in (("winner", found.winner), ("baseline", found.baseline))
    ]


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _final(final: Final) -> str:
    return f"{show(final.test)} on average, with a spread of {_spread(final.test_sd)} over seeds ({final.name})"


_VERDICTS = {
    "better": "the winner is better than the baseline",
    "worse": "the winner is worse than the baseline",
    "not shown": "the winner is not shown to be better than the baseline",
}


def _verdict(found: Confirmation) -> list[str]:
    result, by = found.result, found.measure
    low, high = result.interval
    chance = "over seeds and test rows" if by.on == "test" else "over seeds; how many rows there are is not known here"
    words = _VERDICTS[result.verdict]
    if found.winner.name == found.baseline.name:
        words = "on validation the baseline itself is the best of them"
    direction = "" if by.goal == "maximize" else " (lower is better)"
    difference = "the same"
    if result.difference:
        difference = f"{'better' if result.difference > 0 else 'worse'} by {abs(result.difference):.4g}{direction}"
    interval = f"{100 * result.level:.3g} % interval: {low:+.4g} to {high:+.4g}, {chance}"
    lines = [f"{result.verdict}: {words}", f"the winner's {by.metric} is {difference}; {interval}"]
    if ignores_seeds(found):
        lines.append("every seed gave the same: the objective takes no notice of it, so the interval knows no chance")
    return lines + ([result.needed] if result.needed else [])


def ignores_seeds(found: Confirmation) -> bool:
    """Whether every seed gave the same, so that nothing is known of chance."""
    spreads = (each.test_sd or each.validation_sd for each in (found.winner, found.baseline))
    return found.measure.on != "test" and not any(spreads)


def confirmation_json(study: str, found: Confirmation) -> dict[str, Any]:
    """Return the object that `hpo confirm --json` prints. difference: positive is better."""
    return {
        "study": study,
        "winner": _plain(found.winner),
        "baseline": _plain(found.baseline),
        "difference": found.result.difference,
        "interval": list(found.result.interval),
        "verdict": found.result.verdict,
        "metric": found.measure.metric,
        "measured_on": found.measure.on,
        "rows": found.measure.rows,
        "looks": found.measure.looks,
        "seeds": len(found.seeds),
        "seeds_ignored": ignores_seeds(found),
        "confirmation": found.study,
    }


def _plain(final: Final) -> dict[str, Any]:
    facts = {"number": final.number, "params": dict(final.params), "validation": final.validation}
    return facts | {"test": final.test, "validation_sd": final.validation_sd, "test_sd": final.test_sd}
