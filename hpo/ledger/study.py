"""The study of record: an Optuna study in a storage that outlives the process."""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.ledger.home import Home, open_storage
from hpo.ledger.journal import SafeJournal
from hpo.ledger.records import TrialRecord, end_attributes, local_time, start_attributes
from hpo.search.distributions import searched_params
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

_OWNER_SECONDS = 60.0  # without a sign of life after which an owner on another machine counts as dead
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class StudyBook:
    """Writes one sweep's trials into an Optuna storage. The only writer of that study."""

    def __init__(self, sweep: Sweep, home: Home) -> None:
        """Open the storage and, if there is one, the study. Creates nothing.

        Raises UserError if a study of this name exists with another space, objective, metric or data.
        """
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._sweep = sweep
        self._storage = open_storage(home)
        self._shared = home.storage is not None
        backend = getattr(self._storage, "_backend", None)
        self._journal = backend if isinstance(backend, SafeJournal) else None
        self._ids: dict[int, int] = {}  # of running trials
        self._named: set[int] = set()  # running trials that have their MLflow run's id
        self.next_number = 0  # of the trial that begins next, unless somebody else writes into the study
        existing = [study for study in self._storage.get_all_studies() if study.study_name == sweep.name]
        self._study_id = existing[0]._study_id if existing else None
        self.attributes: dict[str, Any] = dict(existing[0].user_attrs) if existing else {}
        if existing:
            self._check_identity()

    def _check_identity(self) -> None:
        theirs, ours = self.attributes.get("identity"), self._sweep.identity()
        name = self._sweep.name
        if theirs is None:
            raise UserError(f"the study {name!r} was not made by hpo; choose another name with -o name=...")
        differences = list(_differences(theirs, ours))
        if differences:
            shown = "\n".join(f"  {line}" for line in differences[:20])
            raise UserError(
                f"{self._sweep.source}: the study {name!r} exists with another definition:\n{shown}\n"
                f"choose another name for this sweep (-o name={name}-2), or go back to the study's own file"
            )

    @property
    def exists(self) -> bool:
        return self._study_id is not None

    def create(self, attributes: Mapping[str, Any]) -> None:
        """Create the study if there is none; set its attributes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # metric names, for the dashboard's axes
            study = optuna.create_study(
                storage=self._storage,
                study_name=self._sweep.name,
                direction=self._sweep.metric.goal,
                load_if_exists=True,
            )
            study.set_metric_names([self._sweep.metric.name])
        self._study_id = study._study_id
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: Any) -> None:
        if self.attributes.get(key) != value:
            self._storage.set_study_user_attr(self._id, key, value)
            self.attributes[key] = value

    # Who runs the study, for storages that several machines share; on one machine, a lock says it (file_lock.py).

    def refuse_if_owned(self, now: float) -> None:
        """Raise UserError if another driver was alive a moment ago."""
        owner = self.attributes.get("owner") or {}
        if owner and now - owner["seen"] < _OWNER_SECONDS and self._shared and not _died_here(owner):
            remedy = f"wait for it, stop it, or choose another name; if it died, try again in {_OWNER_SECONDS:.0f} s"
            raise UserError(
                f"the study {self._sweep.name!r} is being run by process {owner['pid']} on {owner['host']} ({remedy})"
            )

    def claim(self, now: float) -> None:
        """Say that this driver is alive."""
        if self._shared:
            self.set_attribute("owner", {"host": os.uname().nodename, "pid": os.getpid(), "seen": now})

    def disclaim(self) -> None:
        """Say that nobody runs the study."""
        if self._shared:
            self.set_attribute("owner", {})

    @property
    def _id(self) -> int:
        assert self._study_id is not None, "the study is created first"
        return self._study_id

    def together(self) -> AbstractContextManager[None]:
        """Write what is done inside the block at its end (SafeJournal.together); a database writes at once as ever."""
        return self._journal.together() if self._journal is not None else nullcontext()

    @property
    def failed(self) -> bool:
        """Whether the end of a block could not be written, so that the storage lacks what was done in it."""
        return self._journal is not None and self._journal.failed

    def trials(self) -> list[FrozenTrial]:
        """Return all trials in order."""
        trials = self._storage.get_all_trials(self._id, deepcopy=False) if self.exists else []
        self.next_number = len(trials)
        return trials

    def begin(self, record: TrialRecord) -> int:
        """Add a running trial, in one write; return its number.

        That is `next_number`, unless somebody else writes into the study: what was written then is for another number.
        """
        params, distributions = searched_params(self._sweep.space, dict(record.params))
        template = create_trial(
            state=TrialState.RUNNING,
            params=params,
            distributions=distributions,
            user_attrs=start_attributes(record),
        )
        template.datetime_start = local_time(record.started)
        trial_id = self._storage.create_new_trial(self._id, template_trial=template)
        number = self._storage.get_trial_number_from_id(trial_id)
        self._ids[number] = trial_id
        self.next_number = number + 1
        if record.run_id:
            self._named.add(number)
        return number

    def adopt(self, trial: FrozenTrial) -> None:
        """Take over a running trial that an earlier driver left, in order to end it."""
        self._ids[trial.number] = trial._trial_id
        if "mlflow_run_id" in trial.user_attrs:
            self._named.add(trial.number)

    def report(self, number: int, step: int, value: float) -> None:
        """Record the sweep's metric at a step."""
        self._storage.set_trial_intermediate_value(self._ids[number], step, value)

    def set_trial_attribute(self, number: int, key: str, value: Any) -> None:
        """Set a user attribute of a running trial."""
        self._storage.set_trial_user_attr(self._ids[number], key, value)

    def note_end(self, record: TrialRecord) -> None:
        """Write down all of a trial's end but its state, which Optuna lets nobody add to. From here on nothing of the
        trial can be lost: whoever finds it still running, finds its outcome with it."""
        for key, value in end_attributes(record).items():
            self._storage.set_trial_user_attr(self._ids[record.number], key, value)

    def end(self, record: TrialRecord) -> None:
        """Give a trial whose end was noted its run id and its state."""
        trial_id = self._ids[record.number]
        if record.run_id and record.number not in self._named:
            self._storage.set_trial_user_attr(trial_id, "mlflow_run_id", record.run_id)
        value = record.value
        if record.state == "pruned":  # as Optuna itself does: a pruned trial's value is its last report
            value = record.last(self._sweep.metric.name)
        values = [value] if value is not None and record.state != "failed" else None
        self._storage.set_trial_state_values(trial_id, _STATES[record.state], values)
        del self._ids[record.number]
        self._named.discard(record.number)
        if self._journal is not None:
            forget_history(self._storage.get_trial(trial_id))


def forget_history(trial: FrozenTrial) -> None:
    """Drop the largest part of an ended trial, which nobody in the driver reads again, from the storage's memory.

    A journal's storage keeps every trial that it has seen, and hands out its own objects.
    """
    trial.user_attrs.pop("history", None)


def _died_here(owner: Mapping[str, Any]) -> bool:
    """Whether an owner was a process of this machine and is no more."""
    if owner["host"] != os.uname().nodename:
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def ended_copy(trial: FrozenTrial, record: TrialRecord) -> FrozenTrial:
    """Return a trial of which the study still says that it runs as it will be once its end is written."""
    ended = copy.copy(trial)
    ended.state = _STATES[record.state]
    ended.values = [record.value] if record.value is not None and record.state == "complete" else None
    ended.datetime_complete = local_time(record.ended or record.started)
    return ended


def _differences(theirs: Any, ours: Any, path: str = "") -> Any:
    """Yield one line a difference between two plain structures."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in dict.fromkeys([*theirs, *ours]):
            yield from _differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else str(key))
    elif theirs != ours:
        yield f"{path}: the study has {theirs!r}, the file has {ours!r}"
