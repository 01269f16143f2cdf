"""The study of record: an Optuna study in a storage that outlives the process."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.ledger.study import provenance
from hpo.ledger.study.compat import HoldsTrials, JournalStudies, study_id_of, trial_id_of
from hpo.ledger.study.confirmations import CONFIRMS
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import (
    TrialRecord,
    end_attributes,
    is_surplus,
    local_time,
    optuna_state,
    start_attributes,
    value_in_study,
)
from hpo.ledger.study.sources import sources_mark
from hpo.ledger.study.space_change import differences
from hpo.ledger.study.unfinished import refuse_half_removed
from hpo.search.distributions import recorded_param, searched_params
from hpo.spec.choices import quoted_parameters
from hpo.spec.faults import UserError
from hpo.spec.space import Parameter
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_MOST_LINES = 20  # of differences that are shown


class StudyGone(UserError):
    """Somebody deleted the study while it was written."""


class StudyBook:
    """Writes one driver's trials into an Optuna storage. Once it has a study, its methods raise StudyGone."""

    def __init__(self, sweep: Sweep, home: Home, storage: BaseStorage | None = None, driver: int = 0) -> None:
        """Open the storage, unless it is given, and, if there is one, the study. Creates nothing.

        driver: this driver's number in a study that several share; its trials bear it.
        Raises UserError if a study of this name exists with another space, objective, metric or data.
        """
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._sweep = sweep
        self._storage = storage or open_storage(home)
        self._marks = {"driver": driver} if driver else {}
        self._journal = self._storage.journal if isinstance(self._storage, JournalStudies) else None
        self._ids: dict[int, int] = {}  # of running trials
        self._reported: dict[int, set[int]] = {}  # steps of running trials that have a value
        self._named: dict[int, str] = {}  # what running trials have as their MLflow runs' ids
        self.next_number = 0  # of the trial that begins next, unless somebody else writes into the study
        existing = [study for study in self._storage.get_all_studies() if study.study_name == sweep.name]
        self._study_id = study_id_of(existing[0]) if existing else None
        self.attributes: dict[str, Any] = dict(existing[0].user_attrs) if existing else {}
        if existing:
            self._check_identity()
            if existing[0].direction.name.lower() != sweep.metric.goal:
                raise UserError(f"the study {sweep.name!r} was not made to {sweep.metric.goal} anything")

    def _check_identity(self) -> None:
        theirs, ours = self.attributes.get("identity"), self._sweep.identity()
        name = self._sweep.name
        if theirs is None:  # nor an empty one that somebody else made (owners.py)
            raise UserError(f"the study {name!r} was not made by hpo; choose another name with -o name=...")
        refuse_half_removed(name, self.attributes)
        if lines := list(differences(theirs, ours)):
            raise another_definition(self._sweep, name, lines)

    @property
    def exists(self) -> bool:
        """Whether a driver has begun to record something."""
        return "sweep" in self.attributes

    def create(self, attributes: Mapping[str, Any]) -> None:
        """Create the study if there is none; set its attributes. A study that was begun keeps what says how its runs
        write their params: MLflow lets nobody change one."""
        if self.exists:
            attributes = {key: value for key, value in attributes.items() if key != "quoted"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, for the dashboard's axes
            study = optuna.create_study(
                storage=self._storage,
                study_name=self._sweep.name,
                direction=self._sweep.metric.goal,
                load_if_exists=True,
            )
            study.set_metric_names([self._sweep.metric.name])
        self._study_id = study_id_of(study)
        for key, value in attributes.items():
            self.set_attribute(key, value)

    @contextmanager
    def _there(self) -> Iterator[None]:
        try:
            yield
        except KeyError:
            if any(study_id_of(study) == self._study_id for study in self._storage.get_all_studies()):
                raise
            name = self._sweep.name
            raise StudyGone(f"somebody deleted the study {name!r}; this sweep stops, and writes nothing more") from None

    def set_attribute(self, key: str, value: Any) -> None:
        if self.attributes.get(key) != value:
            with self._there():
                self._storage.set_study_user_attr(self._id, key, value)
            self.attributes[key] = value

    def look_again(self, key: str) -> None:
        """Take in what an attribute is by now: other drivers may have set it."""
        with self._there():
            attributes = self._storage.get_study_user_attrs(self._id)
        if key in attributes:
            self.attributes[key] = attributes[key]

    def set_attribute_of(self, study: str, key: str, value: Any) -> None:
        """Set an attribute of another study of this storage."""
        self._storage.set_study_user_attr(self._storage.get_study_id_from_name(study), key, value)

    @property
    def _id(self) -> int:
        assert self._study_id is not None, "the study is created first"
        return self._study_id

    def wait_with(self, tell: Callable[[str], None], hurry: Callable[[], bool]) -> None:
        """From now on, `tell` of a journal that another process locks, and wait for it unless told to `hurry`."""
        if self._journal is not None:
            self._journal.wait_with(tell, hurry)

    def together(self) -> AbstractContextManager[None]:
        """Write what is done inside the block at its end (SafeJournal.together); a database writes at once as ever."""
        return self._journal.together() if self._journal is not None else nullcontext()

    @property
    def failed(self) -> bool:
        """Whether the end of a block could not be written, so that the storage lacks what was done in it."""
        return self._journal is not None and self._journal.failed

    def trials(self) -> list[FrozenTrial]:
        """Return all trials in order, but for the surplus ones of a shared study."""
        with self._there():
            trials = self._storage.get_all_trials(self._id, deepcopy=False) if self._study_id is not None else []
        self.next_number = len(trials)
        return [trial for trial in trials if not is_surplus(trial)]

    def begin(self, record: TrialRecord, named: bool = True) -> int:
        """Add a running trial, in one write; return its number. named: its run's id is certain, so it is written, too.

        That is `next_number`, unless somebody else writes into the study: what was written then is for another number.
        """
        params, distributions = searched_params(self._sweep.space, dict(record.params))
        template = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs=start_attributes(record, named) | self._marks | sources_mark(self.attributes),
        )
        template.datetime_start = local_time(record.started)
        with self._there():
            trial_id = self._storage.create_new_trial(self._id, template_trial=template)
            number = self._storage.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        self.next_number = number + 1
        if named and record.run_id:
            self._named[number] = record.run_id
        return number

    def suggest(self, number: int, parameter: Parameter, value: Any) -> None:
        """Add a parameter to a running trial, which asks for it."""
        with self._there():
            self._storage.set_trial_param(self._ids[number], parameter.name, *recorded_param(parameter, value))

    def add(self, trial: FrozenTrial) -> None:
        """Add a trial that has ended elsewhere, as it is but for its number."""
        self._storage.create_new_trial(self._id, template_trial=trial)

    def withdraw(self, number: int, reason: str) -> None:
        """Take back a trial that must not run. It stays in the study as a failed one with the attribute `surplus`,
        which says why; it is no trial of the sweep's, and MLflow has no run of it."""
        trial_id = self._ids.pop(number)
        self._named.pop(number, None)
        self._storage.set_trial_user_attr(trial_id, "surplus", reason)
        self._storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def adopt(self, trial: FrozenTrial) -> None:
        """Take over a running trial that an earlier driver left, in order to end it."""
        self._ids[trial.number] = trial_id_of(trial)
        for key, value in self._marks.items():
            self._storage.set_trial_user_attr(trial_id_of(trial), key, value)
        if "mlflow_run_id" in trial.user_attrs:
            self._named[trial.number] = trial.user_attrs["mlflow_run_id"]

    def report(self, number: int, step: int, value: float) -> None:
        """Record the sweep's metric at a step. One that comes again, from a trial that is run again, keeps its value:
        decisions on this and on other trials may rest on it, and must do so after a resume."""
        steps = self._reported.setdefault(number, set())
        if step in steps:
            return
        with self._there():
            self._storage.set_trial_intermediate_value(self._ids[number], step, value)
        steps.add(step)

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of a running trial."""
        self._storage.set_trial_user_attr(self._ids[number], key, value)

    def note_end(self, record: TrialRecord) -> None:
        """Write down all of a trial's end but its state, which Optuna lets nobody add to. From here on nothing of the
        trial can be lost: whoever finds it still running, finds its outcome with it."""
        with self._there():
            for key, value in end_attributes(record).items():
                self._storage.set_trial_user_attr(self._ids[record.number], key, value)

    def end(self, record: TrialRecord) -> None:
        """Give a trial whose end was noted its run id and its state."""
        trial_id = self._ids[record.number]
        value = value_in_study(record, record.last(self._sweep.metric.name))
        with self._there():
            if record.run_id and self._named.get(record.number) != record.run_id:
                self._storage.set_trial_user_attr(trial_id, "mlflow_run_id", record.run_id)
            values = [value] if value is not None else None
            self._storage.set_trial_state_values(trial_id, optuna_state(record.state), values)
        del self._ids[record.number]
        self._named.pop(record.number, None)
        self._reported.pop(record.number, None)
        if self._journal is not None:
            self.forget([self._storage.get_trial(trial_id)])

    def forget(self, ended: Iterable[FrozenTrial]) -> None:
        """Drop all of ended trials but their states and values from a journal's memory: a driver has no more use for
        it, and a hundred thousand trials are hundreds of megabytes."""
        if self._journal is not None:  # in a shared study the trials are looked at again and again
            self._hold(map(_outline, ended))

    def forget_histories(self, ended: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Return ended trials without their steps; drop these from the storage's memory, too, as far as it knows of the
        ends."""
        light = [without_history(trial) for trial in ended]
        self._hold(light)
        return light

    def _hold(self, trials: Iterable[FrozenTrial]) -> None:
        if isinstance(self._storage, HoldsTrials):
            for trial in trials:
                self._storage.hold(trial)


def facts_of(sweep: Sweep, study_id: str) -> dict[str, Any]:
    """Return the attributes that say what a study is."""
    return {
        "objective": sweep.objective or sweep.program,
        "metric": f"{sweep.metric.goal} {sweep.metric.name}",
        "id": study_id,
        "identity": sweep.identity(),
        "quoted": quoted_parameters(sweep.space),
        "sweep": sweep.config(),
        "sweep_file": sweep.text,
        "hpo_version": provenance.hpo_version(),
        **({CONFIRMS: dict(sweep.confirms)} if sweep.confirms is not None else {}),
    }


def another_definition(sweep: Sweep, study: str, lines: Sequence[str]) -> UserError:
    """Return the error that a file and a study differ. lines: one a difference."""
    shown = "\n".join(f"  {line}" for line in lines[:_MOST_LINES])
    if any(line.startswith("metric.goal: the study has minimize") for line in lines):
        shown += "\n  (a metric without a goal was minimized before: with `metric.goal: minimize` such a study goes on)"
    return UserError(
        f"{sweep.source}: the study {study!r} exists with another definition:\n{shown}\n"
        f"choose another name for this sweep (-o name={study}-2), or go back to the study's own file"
    )


def without_history(trial: FrozenTrial) -> FrozenTrial:
    """Return an ended trial without its steps, the largest part of it, which nobody in the driver reads again."""
    other = copy.copy(trial)
    other.user_attrs = {key: value for key, value in trial.user_attrs.items() if key != "history"}
    return other


def _outline(trial: FrozenTrial) -> FrozenTrial:
    """Return an ended trial with its number, state, values and times only."""
    other = copy.copy(trial)
    other.params, other.distributions, other.intermediate_values, other.user_attrs = {}, {}, {}, {}
    return other


def ended_copy(trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
    """Return a trial of which the study still says that it runs as it will be once its end is written."""
    ended = copy.copy(trial)
    ended.state = optuna_state(record.state)
    ended.user_attrs = trial.user_attrs | end_attributes(record)
    _, last = max(trial.intermediate_values.items(), default=(0, None))
    value = value_in_study(record, last)
    ended.values = [value] if value is not None else None
    ended.datetime_complete = local_time(record.ended or record.started)
    return ended
