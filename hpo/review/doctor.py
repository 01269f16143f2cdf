"""What `hpo doctor` says, and how its parts follow one another."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.ledger.doctor.findings import BEYOND_REPAIR, Findings
from hpo.ledger.mirror.process import restrain_mlflow
from hpo.ledger.study.confirmations import CONFIRMS
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord
from hpo.ledger.study.restored import find_study, sweep_of
from hpo.ledger.study.unfinished import refuse_half_copied
from hpo.review.summary import home_options, hpo_command
from hpo.spec.space import counted
from hpo.spec.sweep import Sweep


@dataclass
class Checkup:
    """What was found, what was done about it, and what is left."""

    study: str
    before: Findings
    after: Findings  # the same, if nothing was done
    trials: int
    waiting: int  # interrupted trials that `command`, given again, runs again
    command: str  # hpo sweep, or hpo confirm
    notes: list[str]
    done: list[str] | None = None  # None: nothing was to be repaired


def diagnose(home: Home, name: str, fix: bool) -> Checkup:
    """Compare a study's records and, if told so, repair them. Raises UserError if there is no such study, or if
    somebody runs it."""
    restrain_mlflow()
    storage, study = find_study(home, name)
    refuse_half_copied(name, {each.study_name: each.user_attrs for each in storage.get_all_studies()})
    sweep = sweep_of(name, study.user_attrs)

    from hpo.ledger.doctor.audit import audit
    from hpo.ledger.doctor.repair import mend_store, repair
    from hpo.ledger.renaming import settle_renaming
    from hpo.ledger.sharing.ownership import owned

    with owned(home, sweep, storage, to_look=not fix) as ownership:
        found = first = audit(home, name, storage)
        done: list[str] | None = None
        if fix and found.findings.repairable:
            done = mend_store(home, found)
            done += settle_renaming(home, storage, name, ownership.renew)
            found = audit(home, name, storage) if done else found
            done += repair(home, found, ownership.renew, _summary)
            found = audit(home, name, storage)
    command = "hpo confirm" if sweep.confirms else "hpo sweep"
    notes = list(dict.fromkeys([*first.notes, *found.notes]))
    return Checkup(name, first.findings, found.findings, len(found.trials), len(found.again), command, notes, done)


def diagnose_all(home: Home, name: str, fix: bool) -> list[Checkup]:
    """Compare a study's records and those of its confirmations, each a study of its own. Raises as `diagnose`."""
    storage, study = find_study(home, name)
    confirming = [
        other.study_name
        for other in storage.get_all_studies()
        if other.user_attrs.get(CONFIRMS, {}).get("study_id", "") == study.user_attrs.get("id")
    ]
    return [diagnose(home, each, fix) for each in (name, *sorted(confirming))]


def _summary(sweep: Sweep, ended: Sequence[TrialRecord], seconds: float) -> Mapping[str, Any]:
    """Return what a driver would have written into the parent run."""
    from hpo.driver.tally import Tally

    tally = Tally(sweep)
    for record in ended:
        tally.take(record)
    if tally.standing.done < sweep.budget.trials:
        tally.standing.reason = "interrupted"
    return tally.summary(seconds)


def lines_of(diagnosis: Checkup, home: Home) -> list[str]:
    """Return the lines to print; the last one says what to do."""
    lines = list(diagnosis.before.lines())
    if diagnosis.done is not None:
        lines += [f"fixed: {what}" for what in diagnosis.done]
        lines += [f"left: {line}" for line in diagnosis.after.lines()]
    last, notes = _last_line(diagnosis, home), [f"note: {note}" for note in diagnosis.notes]
    return [*lines, *notes, last] if lines else ["; ".join([last, *notes])]


def _last_line(diagnosis: Checkup, home: Home) -> str:
    left = diagnosis.after
    waiting = _waiting(diagnosis.waiting, diagnosis.command)
    if not len(left):
        count = counted(diagnosis.trials, "trial")
        return f"{diagnosis.study}: study, MLflow and disk agree ({count}){waiting}"
    verdict = counted(len(left), "disagreement")
    if diagnosis.done is not None:
        verdict += " left"
    remedies = [f"{kind}: {why}" for kind, why in BEYOND_REPAIR.items() if kind in left.counts]
    if left.repairable:
        why = "to repair from the study" if diagnosis.done is None else "see above why, then again"
        remedies.insert(0, f"{why}: {hpo_command()} doctor {shlex.quote(diagnosis.study)} --fix{home_options(home)}")
    return f"{diagnosis.study}: {verdict}; {'; '.join(remedies)}{waiting}"


def _waiting(count: int, command: str) -> str:
    if not count:
        return ""
    return f"; {counted(count, 'interrupted trial')} will be run again by the next {command}"


def json_of(diagnosis: Checkup) -> dict[str, Any]:
    """Return the object that `hpo doctor --json` prints."""
    return {
        "study": diagnosis.study,
        "trials": diagnosis.trials,
        "interrupted": diagnosis.waiting,
        "found": dict(diagnosis.before.counts),
        "findings": [
            {"kind": finding.kind, "trial": finding.trial, "text": finding.text} for finding in diagnosis.before.shown
        ],
        "fixed": diagnosis.done or [],
        "left": dict(diagnosis.after.counts),
        "notes": diagnosis.notes,
        "agree": not len(diagnosis.after),
    }
