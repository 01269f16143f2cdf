"""`hpo confirm`: trains the contenders, ranks them on validation, then looks at the test rows once.

Everything can be done again after a kill: what is trained is in the confirming study, the look is noted before it is
taken, and what came out is recorded once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo.decision.confirm.contenders import contenders_of
from hpo.decision.confirm.judging import Judgement, Pair, judge_on_reports, judge_on_test
from hpo.decision.confirm.listening import ConfirmListener
from hpo.decision.confirm.measuring import OutputsGone
from hpo.decision.confirm.plan import (
    confirming_names,
    confirming_sweep,
    contenders_text,
    free_name,
    fresh_seeds,
    takes_seed,
)
from hpo.decision.confirm.records import all_studies, complete, describe, note_look, record, refuse_running
from hpo.decision.confirm.trained import Cells, are_all_there, cells_of, rank, shared_seeds
from hpo.decision.confirm.untouched import UntouchedRows, untouched_rows
from hpo.decision.confirm.words import looks_text, needed_text
from hpo.driver.loop import Driver, run_to_end
from hpo.engines.make import make_engine
from hpo.ledger.ledger import Ledger
from hpo.ledger.mirror.process import Notice
from hpo.ledger.outputs import KeptOutputs
from hpo.ledger.study.confirmations import (
    Confirmation,
    Confirming,
    Contender,
    Final,
    JudgedDifference,
    Ranked,
    Yardstick,
    confirmations_in,
    confirming,
    looks_at,
)
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import record_of
from hpo.objective.build import inspect, named_of
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.faults import SpecError, UserError
from hpo.spec.load import Inspection
from hpo.spec.sweep import Sweep
from hpo.standing import Standing, SweepListener

TOP, SEEDS = 3, 5  # where neither the command nor the sweep file says it


@dataclass(frozen=True)
class ConfirmWish:
    """What is asked for. None: what the sweep file says, else the default. engine: keys in place of its section's."""

    top: int | None = None
    seeds: int | None = None
    against: int | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)


class NoVerdict(Exception):
    """There is no verdict, for the reason that the message gives. interrupted: by this signal, so that the same command
    goes on; 0: it was not."""

    def __init__(self, reason: str, interrupted: int = 0) -> None:
        super().__init__(reason)
        self.interrupted = interrupted


@dataclass(frozen=True)
class Confirmed:
    """What came of a confirmation. before: it was recorded by an earlier command. notices: on MLflow."""

    confirmation: Confirmation
    before: bool
    notices: Sequence[Notice] = ()


def confirm(home: Home, name: str, wish: ConfirmWish, listener: SweepListener) -> Confirmed:
    """Train the best configurations of a study and its baseline over fresh seeds, and judge the winner.

    Goes on with a confirmation of the same contenders over as many seeds, if there is one.
    Raises UserError if the study can't be confirmed, NoVerdict if nothing can be said in the end.
    """
    study = read_study(home, name)
    if (own := confirming(study.attributes)) is not None:
        raise UserError(f"{name!r} is itself a confirmation, of {own.study!r}: confirm that one")
    refuse_running(home, name)
    inspection = _inspected(study)
    contenders, seeds = _wanted(study, wish, inspection)
    if study.successor:
        listener.note(f"this study went on with another space as {study.successor!r}", warning=True)
    for known in confirmations_in(study.attributes):
        if known.is_of(contenders, seeds):
            return Confirmed(known, True, _completed(home, name, known))
    started = _chosen(home, study, contenders, seeds, inspection, listener)
    sweep = confirming_sweep(study, started.name, started.what, wish.engine, inspection)
    untouched = untouched_rows(study.sweep) if started.what.outputs else None
    _warn_of_data(study, started.name, untouched, listener)
    cells = _trained(home, started, sweep, listener)
    found = _judged(home, study, started, cells, untouched)
    record(home, name, found)
    return Confirmed(found, False, _completed(home, name, found))


def _completed(home: Home, name: str, found: Confirmation) -> Sequence[Notice]:
    """Do what follows once a confirmation is recorded; an earlier command may have been killed before it did."""
    here = found.study in _names(home)  # not, in a home that the study was taken to
    if here:
        complete(home, found)
    return describe(home, [name, found.study] if here else [name])


@dataclass(frozen=True)
class _Started:
    """A confirmation that is to be run, or gone on with. name: of the confirming study."""

    name: str
    what: Confirming


def _inspected(study: RecordedStudy) -> Inspection:
    inspection = inspect(named_of(study.sweep))
    if inspection.faults:
        raise SpecError(inspection.faults, study.sweep.source)
    return inspection


def _wanted(study: RecordedStudy, wish: ConfirmWish, inspection: Inspection) -> tuple[tuple[Contender, ...], int]:
    """Return who is trained, and over how many seeds."""
    in_file = study.config.get("confirm") or {}
    top = wish.top if wish.top is not None else int(in_file.get("top", TOP))
    seeds = wish.seeds if wish.seeds is not None else int(in_file.get("seeds", SEEDS))
    return contenders_of(study, top, wish.against, inspection.contract), seeds


def _chosen(
    home: Home,
    study: RecordedStudy,
    contenders: tuple[Contender, ...],
    seeds: int,
    inspection: Inspection,
    listener: SweepListener,
) -> _Started:
    """Return the confirmation of these contenders that there is, or a new one."""
    studies = all_studies(study.storage)
    study_id = str(study.attributes["id"])
    for name in confirming_names(study.name, study_id, studies):
        what = confirming(studies[name])
        assert what is not None
        if not what.is_of(study.name, study_id, contenders, seeds):
            continue
        if not _lost(home, name, what):
            return _Started(name, what)
        listener.note(f"what the models of {name!r} said of the test rows is gone: it begins anew", warning=True)
    name = free_name(study.name, {*studies, *(known.study for known in confirmations_in(study.attributes))})
    used = [int(trial.user_attrs["seed"]) for trial in study.trials if "seed" in trial.user_attrs]
    torch_task = inspection.contract is not None
    what = Confirming(
        study=study.name,
        study_id=study_id,
        contenders=contenders,
        seeds=fresh_seeds(study.sweep.seed, name, seeds, used),
        takes_seed=takes_seed(study.sweep, inspection.contract),
        outputs=torch_task,
        parent=str(study.attributes.get("mlflow_run_id", "")),
    )
    return _Started(name, what)


def _lost(home: Home, name: str, what: Confirming) -> bool:
    """Whether complete trials of a confirming study lack what they have left."""
    if not what.outputs:
        return False
    confirming_study = read_study(home, name)
    kept = KeptOutputs(home.outputs / str(confirming_study.attributes["id"]))
    return any(
        trial.state.name == "COMPLETE" and not kept.of(trial.number).is_file() for trial in confirming_study.trials
    )


def _warn_of_data(study: RecordedStudy, name: str, untouched: UntouchedRows | None, listener: SweepListener) -> None:
    """Say before anything is trained that the test rows are not untouched, or not the study's."""
    if untouched is None:
        return
    if study.references is not None and study.references.data != untouched.data:
        listener.note(
            "the data is not what it was when this study began: what it chose may be out of date", warning=True
        )
    if text := looks_text(len(untouched.split), _other_looks(study, name, untouched)):
        listener.note(text, warning=True)


def _other_looks(study: RecordedStudy, name: str, untouched: UntouchedRows) -> list[str]:
    looked = looks_at(untouched.split.digest, all_studies(study.storage).values())
    return [other for other in looked if other != name]


def _trained(home: Home, started: _Started, sweep: Sweep, listener: SweepListener) -> Cells:
    """Train what is missing; return the trials. Raises NoVerdict if they are not all there in the end."""
    cells = _cells(home, started) if started.name in _names(home) else {}
    if are_all_there(started.what, cells):
        return cells
    listener.note(
        f"confirming {started.what.study!r}: {contenders_text(started.what.contenders)}, "
        f"each over {len(started.what.seeds)} fresh seeds"
    )
    ledger = Ledger(sweep, home)
    if ledger.continued:
        listener.note(f"going on with {started.name!r}: {ledger.done} of {sweep.budget.trials} are trained")
    driver = Driver(sweep, ledger, make_engine(sweep, home.logs / sweep.name), ConfirmListener(listener))
    standing = run_to_end(driver, f"hpo confirm {started.what.study}")
    if standing.unmirrored:
        listener.note(standing.unmirrored, warning=True)
    cells = _cells(home, started)
    if are_all_there(started.what, cells):
        return cells
    raise _unfinished(started, standing, sweep)


def _unfinished(started: _Started, standing: Standing, sweep: Sweep) -> NoVerdict:
    count = f"{standing.done} of {sweep.budget.trials} trainings are done"
    if standing.interrupted:
        return NoVerdict(f"interrupted: {count}; the same command goes on", standing.interrupted)
    why = " ".join(text for text in (standing.reason, standing.error) if text) or "no reason is known"
    return NoVerdict(f"{started.name} ended early ({count}): {why}")


def _names(home: Home) -> set[str]:
    from hpo.ledger.study.home import open_storage

    return set(all_studies(open_storage(home)))


def _cells(home: Home, started: _Started) -> Cells:
    return cells_of(started.what, [record_of(trial) for trial in read_study(home, started.name).trials])


def _judged(
    home: Home, study: RecordedStudy, started: _Started, cells: Cells, untouched: UntouchedRows | None
) -> Confirmation:
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
        data, looks = untouched.split.digest, len(_other_looks(study, started.name, untouched)) + 1
        note_look(home, study.name, started.name, data, time.time())
        try:
            judgement = judge_on_test(_with_outputs(home, started, trials), untouched, target)
        except OutputsGone as gone:
            raise NoVerdict(f"{gone}; the same command begins anew, with other seeds") from None
    else:
        count = sum(each.validation is not None for each in ranking)
        judgement = judge_on_reports(Pair(trials[0], trials[1]), target, count)
    judged = judgement.judged
    return Confirmation(
        study=started.name,
        moment=round(time.time(), 3),
        seeds=tuple(what.seeds[index] for index in shared),
        ranking=ranking,
        winner=_final(winner, judgement, judgement.winner, [trial.number for trial in trials[0]]),
        baseline=_final(baseline, judgement, judgement.baseline, [trial.number for trial in trials[1]]),
        measure=Yardstick(judgement.metric, target.goal, judgement.on, judgement.rows, data, looks),
        result=JudgedDifference(
            judged.difference,
            judged.interval,
            judged.level,
            judged.verdict,
            judgement.method,
            needed_text(judged, judgement.rows, len(shared)),
        ),
    )


def _finalists(ranking: Sequence[Ranked]) -> tuple[Ranked, Ranked]:
    """Return the winner and the baseline. Raises NoVerdict if one of them did not come through."""
    baseline = next(each for each in ranking if each.baseline)
    if baseline.validation is None:
        raise NoVerdict(f"{baseline.name} {baseline.out}, so there is nothing to judge the others against")
    return ranking[0], baseline


def _with_outputs(home: Home, started: _Started, trials: Sequence[Sequence[Any]]) -> Pair:
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
