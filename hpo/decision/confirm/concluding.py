"""The end of a confirmation: the ranking, the look at the test rows, and the verdict."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpo.decision.confirm.choosing import Started
from hpo.decision.confirm.judging import Judgement, Pair, judge_on_reports, judge_on_test
from hpo.decision.confirm.measuring import OutputsGone
from hpo.decision.confirm.records import all_studies, give_up, note_look
from hpo.decision.confirm.trained import Cells, rank, shared_seeds
from hpo.decision.confirm.untouched import UntouchedRows
from hpo.decision.confirm.words import needed_text
from hpo.ledger.outputs import KeptOutputs
from hpo.ledger.study.confirmations import Confirmation, Final, JudgedDifference, Ranked, Yardstick, looks_at
from hpo.ledger.study.home import Home
from hpo.review.studies import RecordedStudy, read_study


class NoVerdict(Exception):
    """There is no verdict, for the reason that the message gives. interrupted: by this signal, so that the same command
    goes on; 0: it was not."""

    def __init__(self, reason: str, interrupted: int = 0) -> None:
        super().__init__(reason)
        self.interrupted = interrupted


def other_looks(study: RecordedStudy, name: str, untouched: UntouchedRows) -> list[str]:
    """Return which other confirmations, of any study, have looked at these test rows. name: of this one."""
    looked = looks_at(untouched.split.digest, all_studies(study.storage).values())
    return [other for other in looked if other != name]


def conclusion(
    home: Home, study: RecordedStudy, started: Started, cells: Cells, untouched: UntouchedRows | None
) -> Confirmation:
    """Rank the contenders, look at the test rows, and judge the winner. untouched: None where there are no test rows.

    Raises NoVerdict if nothing can be said, UserError if the metric is not defined on the test rows.
    """
    what, target = started.what, study.sweep.metric
    ranking = rank(what, cells, target.goal)
    winner, baseline = _finalists(ranking)
    shared = shared_seeds(what, cells, winner, baseline)
    if len(shared) < 2:
        raise NoVerdict(f"winner and baseline came through with {len(shared)} seed in common, and two are needed")
    names = [contender.name for contender in what.contenders]
    trials = [[cells[names.index(each.name), index] for index in shared] for each in (winner, baseline)]
    data, looks = "", 0
    if untouched is not None:
        data, looks = untouched.split.digest, len(other_looks(study, started.name, untouched)) + 1
        note_look(home, study.name, started.name, data, time.time())
        try:
            judgement = judge_on_test(_with_outputs(home, started, trials), untouched, target)
        except OutputsGone as gone:
            give_up(home, started.name)
            raise NoVerdict(f"{gone}; the same command begins anew, with other seeds") from None
    else:
        count = sum(each.validation is not None for each in ranking)
        judgement = judge_on_reports(Pair(trials[0], trials[1]), target, count)
    found = judgement.judged
    return Confirmation(
        study=started.name,
        moment=round(time.time(), 3),
        seeds=tuple(what.seeds[index] for index in shared),
        ranking=ranking,
        winner=_final(winner, judgement, judgement.winner, [trial.number for trial in trials[0]]),
        baseline=_final(baseline, judgement, judgement.baseline, [trial.number for trial in trials[1]]),
        measure=Yardstick(judgement.metric, target.goal, judgement.on, judgement.rows, data, looks),
        result=JudgedDifference(
            found.difference,
            found.interval,
            found.level,
            found.verdict,
            judgement.method,
            needed_text(found, judgement.rows, len(shared)),
        ),
    )


def _finalists(ranking: Sequence[Ranked]) -> tuple[Ranked, Ranked]:
    """Return the winner and the baseline. Raises NoVerdict if one of them did not come through."""
    baseline = next(each for each in ranking if each.baseline)
    if baseline.validation is None:
        raise NoVerdict(f"{baseline.name} {baseline.out}, so there is nothing to judge the others against")
    return ranking[0], baseline


def _with_outputs(home: Home, started: Started, trials: Sequence[Sequence[Any]]) -> Pair:
    kept = KeptOutputs(home.outputs / str(read_study(home, started.name).attributes["id"]))
    paths: list[list[Path]] = [[kept.of(trial.number) for trial in each] for each in trials]
    return Pair(trials[0], trials[1], (paths[0], paths[1]))


def _final(each: Ranked, judgement: Judgement, values: Sequence[float], trials: Sequence[int]) -> Final:
    assert each.validation is not None and each.validation_sd is not None, "it was ranked"
    tested = judgement.on != "validation"
    return Final(
        name=each.name,
        number=each.number,
        params=each.params,
        validation=each.validation,
        validation_sd=each.validation_sd,
        test=statistics.fmean(values) if tested else None,
        test_sd=statistics.stdev(values) if tested else None,
        trials=tuple(trials),
    )
