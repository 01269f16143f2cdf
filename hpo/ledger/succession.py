"""Successors: a sweep file whose space has changed goes on in a study of its own, which starts from the old trials.

Studies form a chain by their attributes `successor` and `predecessor`; all but the last are history. A successor has
`copied`, the number of its first trials, from the moment when they are all there. A database takes them one by one; who
finds `copied` missing adds the rest. Only then does the old study name its successor.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial, create_trial

from hpo.ledger.sharing.extension import ATTRIBUTE, UNCOUNTED
from hpo.ledger.sharing.ownership import own_study
from hpo.ledger.study.book import StudyBook, another_definition, facts_of
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import TrialRecord, is_surplus, optuna_state, record_of
from hpo.ledger.study.restored import sweep_of
from hpo.ledger.study.sources import refuse_changed, sources_attribute
from hpo.ledger.study.space_change import differences, fits, obstacles
from hpo.search.distributions import is_encoded, kept_otherwise, searched_params
from hpo.spec.census import size_of
from hpo.spec.conditions import same
from hpo.spec.faults import UserError
from hpo.spec.space import Categorical
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_OF_THE_OLD_STUDY = ("retry_of", "driver", "mlflow_run_id")  # attributes that mean nothing in another
_MOST_LINES = 20


@dataclass(frozen=True)
class StudyChoice:
    """The study in which a sweep runs."""

    sweep: Sweep  # by the name of its study
    storage: BaseStorage | None  # opened on the way; None: there is none yet
    predecessor: str = ""  # the study that this one has to be made from first
    notes: tuple[str, ...] = ()  # for the user
    goes_back: bool = False  # it has a successor, and goes on itself


def choose_study(sweep: Sweep, home: Home) -> StudyChoice:
    """Return the study in which a sweep runs: of the chain that begins with its name the one whose file it is, or else
    a successor of the last. Writes nothing.

    Raises UserError if the file differs from the last study so that none of its trials would mean the same.
    """
    storage = open_storage(home) if home.exists() else None
    if storage is None:
        return StudyChoice(sweep, None)
    studies = {study.study_name: study.user_attrs for study in storage.get_all_studies()}
    chain = _chain(studies, sweep.name)
    if not chain or "sweep" not in studies[chain[-1]]:  # none, not made by hpo, or never begun
        return StudyChoice(sweep, storage)
    last, theirs = chain[-1], studies[chain[-1]]["identity"]
    sweep = replace(sweep, metric=sweep.metric.going_on_from(theirs["metric"]))
    ours = sweep.identity()
    if not same(theirs, ours):
        if (older := _older_one(sweep, chain, studies)) is not None:
            note = f"this is the file of study {older!r}, which went on with another space as "
            note += f"{studies[older]['successor']!r}: {older!r} itself goes on"
            notes = tuple(filter(None, [note, refuse_changed(older, studies[older], sweep)]))
            return StudyChoice(replace(sweep, name=older), storage, notes=notes, goes_back=True)
        if lines := obstacles(theirs, ours, sweep_of(last, studies[last]).space, sweep.space):
            known = bool(theirs["parameters"]) == bool(ours["parameters"])  # else one of them is define-by-run
            told = differences(theirs, ours) if known else ()
            raise another_definition(sweep, last, list(dict.fromkeys([*lines, *told])))
    changes = tuple(filter(None, [refuse_changed(last, studies[last], sweep), _by_the_old_rule(last, sweep)]))
    if same(theirs, ours) and (otherwise := _kept_otherwise(storage, last, sweep)):
        note = f"study {last!r} keeps choices of {', '.join(otherwise)} otherwise than they are kept now, all different"
        return StudyChoice(replace(sweep, name=_next_name(studies, sweep, last)), storage, last, (note, *changes))
    if same(theirs, ours):
        why = "how its choices are kept" if same(studies[chain[0]].get("identity"), ours) else "its space"
        moved = [f"study {sweep.name!r} goes on as {last!r}, since {why} was changed"] if last != chain[0] else []
        return StudyChoice(replace(sweep, name=last), storage, notes=(*moved, *changes))
    changed = [f"  {line}" for line in differences(theirs, ours)][:_MOST_LINES]
    notes = ("\n".join([f"the file has changed since study {last!r} began:", *changed]), *changes)
    return StudyChoice(replace(sweep, name=_next_name(studies, sweep, last)), storage, last, notes)


def _by_the_old_rule(study: str, sweep: Sweep) -> str:
    """Return what there is to say of a study that an earlier release began; "" if it makes no difference."""
    if sweep.metric.stopped_count or sweep.early_terminate.type == "none":
        return ""
    return (
        f"study {study!r} goes on by the rule that it began with: a trial that is stopped can't be its best, however "
        f"good it is (a study by another name, -o name={study}-2, counts these, too)"
    )


def _chain(studies: Mapping[str, Mapping[str, Any]], name: str) -> list[str]:
    chain: list[str] = []
    while name in studies and name not in chain:
        chain.append(name)
        name = studies[name].get("successor", "")
    return chain


def _kept_otherwise(storage: BaseStorage, name: str, sweep: Sweep) -> list[str]:
    """Return the parameters of whose choices a study keeps others than a trial of the sweep would have: a database, and
    every sampler, takes those of one study only."""
    if not any(isinstance(p.domain, Categorical) and is_encoded(p.domain) for p in sweep.space.parameters):
        return []  # the choices themselves are kept: nothing to look for
    trials = storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)
    own = (trial for trial in trials if "seed" in trial.user_attrs)  # not what others have added
    return sorted({name for trial in own for name in kept_otherwise(sweep.space, trial.distributions)})


def _older_one(sweep: Sweep, chain: list[str], studies: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the latest study of a chain whose file this is, None if there is none."""
    ours = sweep.identity()
    return next((name for name in reversed(chain) if same(studies[name].get("identity"), ours)), None)


def _next_name(studies: Mapping[str, Mapping[str, Any]], sweep: Sweep, last: str) -> str:
    """Return the name of the last study's successor, which may have been begun."""
    number = 2
    while (theirs := studies.get(name := f"{sweep.name}.{number}")) is not None:
        if theirs.get("predecessor") == last and same(theirs.get("identity"), sweep.identity()):
            return name
        number += 1
    return name


def begin_successor(choice: StudyChoice, home: Home) -> list[str]:
    """Make the chosen study, if it has to be made from another; return notes for the user.

    Raises UserError if somebody runs the other study, or if none of its trials fits into the new space.
    """
    notes = list(choice.notes)
    if choice.goes_back:
        assert choice.storage is not None
        study_id = choice.storage.get_study_id_from_name(choice.sweep.name)
        choice.storage.set_study_user_attr(study_id, "went_back", True)  # its trials are to be finished again
    if not choice.predecessor:
        return notes
    _end_what_ran(choice, home)
    old, _ = own_study(replace(choice.sweep, name=choice.predecessor), home, storage=choice.storage, sweeping=True)
    try:
        new, storage = own_study(choice.sweep, home, storage=choice.storage, sweeping=True)
        try:
            return [*notes, _copy(choice, StudyBook(choice.sweep, home, storage or choice.storage))]
        finally:
            new.give_up()
    finally:
        old.give_up()


def _end_what_ran(choice: StudyChoice, home: Home) -> None:
    """End the old study's trials that a dead driver left running, in both records: nobody goes on with it any more."""
    from hpo.ledger.ledger import Ledger

    assert choice.storage is not None
    study_id = choice.storage.get_study_id_from_name(choice.predecessor)
    if all(trial.state.is_finished() for trial in choice.storage.get_all_trials(study_id, deepcopy=False)):
        return
    sweep = sweep_of(choice.predecessor, choice.storage.get_study_user_attrs(study_id))
    ledger = Ledger(sweep, home, storage=choice.storage)
    try:
        ledger.start()
        ledger.close("KILLED", {"outcome": f"goes on as study {choice.sweep.name}"}, hurry=lambda: False)
    finally:
        ledger.abandon()


def _copy(choice: StudyChoice, book: StudyBook) -> str:
    """Copy the old study's trials into the new one; return what there is to say."""
    records = _results(choice)
    kept = [(trial, record) for trial, record in records if fits(choice.sweep.space, record.params)]
    name = choice.sweep.name
    if records and not kept:
        raise UserError(
            f"{choice.sweep.source}: none of the {len(records)} trials of study {choice.predecessor!r} is one of the "
            f"changed space (choose another name: -o name={choice.predecessor}-2)"
        )
    with book.together():
        # First what tells that it is a successor: a database gets one attribute after the other.
        book.create({"predecessor": choice.predecessor, **_facts(choice, book, len(kept), len(records) - len(kept))})
        done = {trial.user_attrs.get("copied_from", {}).get("number") for trial in book.trials()}
        for trial, record in kept:
            if trial.number not in done:
                book.add(_copied(trial, record, choice))
        book.set_attribute("copied", len(kept))
        book.set_attribute_of(choice.predecessor, "successor", name)
    left = len(records) - len(kept)
    left_out = f"; {left} outside the changed space are left out" if left else ""
    counts = f"; its budget counts new trials: {choice.sweep.budget.trials}" if kept else ""
    return f"it goes on as study {name!r}, with {len(kept)} of {len(records)} trials{left_out}{counts}"


def _facts(choice: StudyChoice, book: StudyBook, kept: int, left: int) -> dict[str, Any]:
    """Return what the new study says of itself: an extension that was not finished goes on in it.

    kept, left: trials of the old study that come along, and that don't.
    """
    assert choice.storage is not None
    old = choice.storage.get_study_user_attrs(choice.storage.get_study_id_from_name(choice.predecessor))
    budget, uncounted = choice.sweep.budget, _uncounted(choice.sweep, kept)
    meant = replace(choice.sweep, budget=replace(budget, trials=max(budget.trials + uncounted, kept)))
    extended = {ATTRIBUTE: old[ATTRIBUTE] | {"to": old[ATTRIBUTE]["to"] - left}} if ATTRIBUTE in old else {}
    facts = facts_of(meant, book.attributes.get("id", uuid.uuid4().hex))
    return {**facts, **sources_attribute(old, choice.sweep), **extended, UNCOUNTED: uncounted}


def _uncounted(sweep: Sweep, kept: int) -> int:
    """Return how many of a successor's first trials its budget does not count: who changes a space wants to see what is
    new in it. A grid's budget is never more than what is left of the grid."""
    if sweep.method != "grid" or (size := size_of(sweep.space)) is None:
        return kept
    return max(0, min(kept, size - sweep.budget.trials))


def _results(choice: StudyChoice) -> list[tuple[FrozenTrial, TrialRecord]]:
    """Return the old study's complete and pruned trials. What failed or was interrupted stays behind."""
    assert choice.storage is not None
    study_id = choice.storage.get_study_id_from_name(choice.predecessor)
    trials = [t for t in choice.storage.get_all_trials(study_id, deepcopy=False) if not is_surplus(t)]
    pairs = [(trial, record_of(trial, history=False)) for trial in trials]
    return [(trial, record) for trial, record in pairs if record.counts]


def _copied(trial: FrozenTrial, record: TrialRecord, choice: StudyChoice) -> FrozenTrial:
    """Return a trial as the new study has it."""
    params, distributions = searched_params(choice.sweep.space, dict(record.params))
    attributes = {key: value for key, value in trial.user_attrs.items() if key not in _OF_THE_OLD_STUDY}
    attributes["copied_from"] = {"study": choice.predecessor, "number": trial.number}
    attributes["mlflow_run_id"] = uuid.uuid4().hex
    values = trial.values
    if values is None and record.state == "complete":  # its driver died before it had written the state
        values = [record.value]
    copied = create_trial(
        state=optuna_state(record.state),
        values=values,
        params=params,
        distributions=distributions,
        user_attrs=attributes,
        intermediate_values=trial.intermediate_values,
    )
    copied.datetime_start, copied.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copied
