"""`hpo confirm`: trains the contenders, ranks them on validation, then looks at the test rows once.

Everything can be done again after a kill: what is trained is in the confirming study, the look is noted before it is
taken, and what came out is recorded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo.decision.confirm.choosing import ConfirmWish as ConfirmWish
from hpo.decision.confirm.choosing import Started, chosen, inspected, wanted
from hpo.decision.confirm.concluding import NoVerdict as NoVerdict
from hpo.decision.confirm.concluding import conclusion, other_looks
from hpo.decision.confirm.listening import ConfirmListener
from hpo.decision.confirm.plan import confirming_sweep, contenders_text
from hpo.decision.confirm.records import all_studies, complete, describe, record, refuse_running
from hpo.decision.confirm.trained import Cells, are_all_there, cells_of
from hpo.decision.confirm.untouched import UntouchedRows, untouched_rows
from hpo.decision.confirm.words import looks_text
from hpo.driver.loop import Driver, run_to_end
from hpo.engines.make import make_engine
from hpo.ledger.ledger import Ledger
from hpo.ledger.mirror.process import Notice
from hpo.ledger.study.confirmations import Confirmation, confirmations_in, confirming
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import record_of
from hpo.ledger.study.sources import changed_files
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep
from hpo.standing import Standing, SweepListener


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
    inspection = inspected(study)
    contenders, seeds = wanted(study, wish, inspection)
    if study.successor:
        listener.note(f"this study went on with another space as {study.successor!r}", warning=True)
    if changed := changed_files(study.attributes, inspection.sources):
        text = f"changed since the last trials of {name!r}: {changed}; what a confirmation trains is of the new files"
        listener.note(text, warning=True)
    for known in confirmations_in(study.attributes):
        if known.is_of(contenders, seeds):
            return Confirmed(known, True, _completed(home, name, known))
    started = chosen(home, study, contenders, seeds, inspection, listener)
    sweep = confirming_sweep(study, started.name, started.what, wish.engine, inspection)
    untouched = untouched_rows(study.sweep) if started.what.outputs else None
    _warn_of_data(study, started.name, untouched, listener)
    cells = _trained(home, started, sweep, listener)
    found = conclusion(home, study, started, cells, untouched)
    record(home, name, found)
    return Confirmed(found, False, _completed(home, name, found))


def _completed(home: Home, name: str, found: Confirmation) -> Sequence[Notice]:
    """Do what follows once a confirmation is recorded; an earlier command may have been killed before it did."""
    here = found.study in _names(home)  # not, in a home that the study was taken to
    if here:
        complete(home, found)
    return describe(home, [name, found.study] if here else [name])


def _warn_of_data(study: RecordedStudy, name: str, untouched: UntouchedRows | None, listener: SweepListener) -> None:
    """Say before anything is trained that the test rows are not untouched, or not the study's."""
    if untouched is None:
        return
    if study.references is not None and study.references.data != untouched.data:
        listener.note(
            "the data is not what it was when this study began: what it chose may be out of date", warning=True
        )
    if text := looks_text(len(untouched.split), other_looks(study, name, untouched)):
        listener.note(text, warning=True)


def _trained(home: Home, started: Started, sweep: Sweep, listener: SweepListener) -> Cells:
    """Train what is missing; return the trials. Raises NoVerdict if they are not all there in the end."""
    cells = _cells(home, started)
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


def _unfinished(started: Started, standing: Standing, sweep: Sweep) -> NoVerdict:
    count = f"{standing.done} of {sweep.budget.trials} trainings are done"
    if standing.interrupted:
        return NoVerdict(f"interrupted: {count}; the same command goes on", standing.interrupted)
    why = " ".join(text for text in (standing.reason, standing.error) if text) or "no reason is known"
    return NoVerdict(f"{started.name} ended early ({count}): {why}")


def _names(home: Home) -> set[str]:
    return set(all_studies(open_storage(home)))


def _cells(home: Home, started: Started) -> Cells:
    if started.name not in _names(home):  # an interrupt may come before anything is recorded
        return {}
    return cells_of(started.what, [record_of(trial) for trial in read_study(home, started.name).trials])
