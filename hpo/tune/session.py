"""One run of Tune's controller with a StudySearcher: what Tune does becomes the study's and MLflow's records.

Tune tells a searcher little: not that a scheduler stopped a trial, not its last report, not why it failed. So the
session looks at the controller itself: one observer tells it what the scheduler decides, and one what befalls trials.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils import flatten_dict

from hpo.driver.recorder import NoTrial, Recorder
from hpo.events import Decision
from hpo.objective.failures import says_pruned
from hpo.spec.conditions import same
from hpo.spec.faults import Fault, UserError
from hpo.spec.plain import plain
from hpo.spec.sweep import Sweep
from hpo.tune.checks import StudyRule, check_experiment
from hpo.tune.compat import TuneController, chain, ended_by_failure, observe, trials_of
from hpo.tune.observers import CallbackObserver, SchedulerObserver
from hpo.tune.results import Metrics, at_the_end, facts_of, failure_of, step_of
from hpo.tune.space import flat, nested

_STOPPED_ALL = "the experiment's stopper or time budget"
_STOPPED_ITSELF = "the trainable itself"


class Session:
    """Keeps the records of one experiment. Lives from the searcher's first call to the experiment's end."""

    def __init__(
        self, controller: TuneController, sweep: Sweep, open_recorder: Callable[[int], Recorder], seed_key: str,
        restored: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        """open_recorder: takes over the study, given how many trials Tune is to run; called when it is known.

        restored: what `saved` returned before the driver died. Raises UserError for what can't be recorded.
        """
        self.controller = controller
        self._sweep = sweep
        self._open_recorder = open_recorder
        self._seed_key = seed_key
        self._recorder: Recorder | None = None
        self._restored: Mapping[str, Any] = restored or {}
        self._metrics = Metrics()
        self._stopped: dict[str, tuple[str, bool]] = {}  # by a scheduler: its name, and whether at its max_t
        self._scheduler_calls = 0  # that have not returned
        self._broken: BaseException | None = None
        self.ended = False
        scheduler = controller.scheduler_alg
        check_experiment(controller, scheduler, sweep)
        self._schedulers = list(chain(scheduler))
        observe(controller, SchedulerObserver(scheduler, self), CallbackObserver(self))

    @property
    def recorder(self) -> Recorder:
        """Of the study, which is opened at first use."""
        if self._broken is not None:  # Tune goes on after some errors; the records must not
            raise self._broken
        if self._recorder is None:
            self._recorder = self._open_recorder(self.controller.search_alg.total_samples)
        return self._recorder

    @property
    def study(self) -> str | None:
        """The name of the study, once it is open."""
        return self._recorder.sweep.name if self._recorder is not None else None

    @property
    def unmirrored(self) -> str:
        """What MLflow lacks in the end; "" if nothing, or if it isn't known yet."""
        return self._recorder.unmirrored if self._recorder is not None else ""

    def guard(self, act: Callable[[], Any]) -> Any:
        """Do something to the records; after an error nothing more is done."""
        try:
            return act()
        except BaseException as error:
            self._broken = self._broken or error
            raise

    # Ask.

    def suggest(self, trial_id: str) -> dict[str, Any] | NoTrial:
        """Return the configuration of a new trial."""
        record = self.recorder.suggest(trial_id, self._coming())
        if isinstance(record, NoTrial):
            return record
        seed = {self._seed_key: record.seed} if self._seed_key else {}
        return {**nested(record.params), **seed}

    def _coming(self) -> set[int]:
        """Return the study's numbers of trials that Tune runs again after Tuner.restore, and has not begun yet."""
        known = self._restored.get("known", {})
        if not known or self._restored.get("study_id") != self.recorder.study_id:
            return set()
        over = (Trial.TERMINATED, Trial.ERROR)
        waiting = [trial.trial_id for trial in trials_of(self.controller) if trial.status not in over]
        return {known[name] for name in waiting if name in known and name not in self.recorder.known}

    # Tell.

    def started(self, trial: Trial) -> None:
        recorder = self.recorder
        if recorder.record(trial.trial_id) is not None or recorder.is_past(trial.trial_id):
            return
        reported = self._restored.get("open", {}).get(trial.trial_id, {})
        steps = {int(step): (metrics, moment) for step, (metrics, moment) in reported.items()}
        same = self._restored.get("study_id") == recorder.study_id
        number = self._restored.get("known", {}).get(trial.trial_id) if same else None
        if trial.trial_id in recorder.known:
            number = recorder.known[trial.trial_id]
        names = set(recorder.sweep.space.names())
        params = {name: value for name, value in flat(trial.config, names).items() if name in names}
        recorder.resume(trial.trial_id, number, params, steps)

    def result(self, trial: Trial, result: Mapping[str, Any]) -> Decision:
        """Record a report (a flat result); return whether the study would stop the trial."""
        recorder, name = self.recorder, trial.trial_id
        record = recorder.record(name)
        if record is None:
            return Decision.CONTINUE
        self._check_config(trial, record.params)
        step = step_of(result)
        goes_on = recorder.report(name, step, self._metrics.of(result), result.get("timestamp") or time.time())
        if not goes_on:
            return Decision.STOP
        return recorder.decide(name, step) if self._sweep.metric.name in result else Decision.CONTINUE

    def _check_config(self, trial: Trial, params: Mapping[str, Any]) -> None:
        config = flat(trial.config, params)
        changed = [name for name, value in params.items() if name in config and not _is_still(config[name], value)]
        if changed:
            raise UserError(
                f"{changed[0]} of trial {trial.trial_id} was changed under way, from {params[changed[0]]!r} to "
                f"{config[changed[0]]!r}: a trial of a study has one configuration (use a scheduler that changes none)"
            )

    @contextmanager
    def scheduler_call(self) -> Iterator[None]:
        """Have the scheduler decide something inside the block: a trial that ends meanwhile is one that it ended."""
        self._scheduler_calls += 1
        try:
            yield
        finally:
            self._scheduler_calls -= 1

    def stopped(self, trial: Trial) -> None:
        """Take in that the scheduler stops a trial."""
        ours = any(isinstance(scheduler, StudyRule) for scheduler in self._schedulers)
        name = "" if ours else type(self._schedulers[-1]).__name__
        self._stopped.setdefault(trial.trial_id, (name, False))

    def decided(self, trial: Trial, decision: str, result: Mapping[str, Any]) -> None:
        if decision == TrialScheduler.STOP:
            self.stopped(trial)
            if at_the_end(self._schedulers, result):
                self._stopped[trial.trial_id] = ("", True)

    def completed(self, trial: Trial) -> None:
        """Record the end of a trial that Tune calls terminated."""
        if self._scheduler_calls:  # the scheduler ended it, while it looked at another one
            self.stopped(trial)
            if at_the_end(self._schedulers, flatten_dict(trial.last_result)):
                self._stopped[trial.trial_id] = ("", True)
        name, whole = self._stopped.pop(trial.trial_id, ("", True))
        self.recorder.end(trial.trial_id, facts_of(trial), stopped_by=None if whole else name)

    def failed(self, trial: Trial) -> None:
        failure = failure_of(trial)
        if says_pruned(failure.error):
            self.recorder.end(trial.trial_id, facts_of(trial), stopped_by=_STOPPED_ITSELF)
        else:
            self.recorder.end(trial.trial_id, facts_of(trial), failure=failure)

    def look_around(self) -> None:
        """Record the ends that Tune told nobody of, and write what is due."""
        recorder = self.recorder
        running = set(recorder.running())
        for trial in [trial for trial in trials_of(self.controller) if trial.trial_id in running]:
            if trial.status == Trial.ERROR:  # an actor that could not be used again
                self.failed(trial)
            elif trial.status == Trial.TERMINATED and not ended_by_failure(self.controller):
                if recorder.has_reported(trial.trial_id):
                    recorder.end(trial.trial_id, facts_of(trial), stopped_by=_STOPPED_ALL)
                else:  # perhaps it never began to train
                    recorder.interrupt(trial.trial_id)
        recorder.tick()

    def retried(self, trial: Trial) -> None:
        self._stopped.pop(trial.trial_id, None)  # Tune forgets a decision that the failure came before
        self.recorder.again(trial.trial_id)

    def end(self) -> None:
        """Close the records. What still runs was interrupted."""
        self.ended = True
        error = self._broken or sys.exception()
        if self._recorder is None:
            return
        if self._broken is not None:
            self._recorder.abandon(self._broken)
        else:
            self._recorder.close("" if error is None else f"{type(error).__name__}: {error}"[:500])

    def saved(self) -> dict[str, Any]:
        """Return, as plain data, what is needed to go on with Tuner.restore."""
        if self._recorder is None:
            return dict(self._restored)
        known = {**self._restored.get("known", {}), **self._recorder.known}
        return {
            "study": self._recorder.sweep.name,
            "study_id": self._recorder.study_id,
            "known": known,
            "open": self._recorder.reported(),
        }


def _is_still(value: Any, recorded: Any) -> bool:
    """Whether a value of a trial's configuration is the recorded one, perhaps as NumPy has it."""
    faults: list[Fault] = []
    now = plain(value, (), faults)
    return not faults and same(now, recorded)
