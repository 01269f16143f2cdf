"""One run of Tune's controller with a StudySearcher: what Tune does becomes the study's and MLflow's records.

Tune tells a searcher little: not that a scheduler stopped a trial, not its last report, not why it failed. So the
session looks at the controller itself: a callback tells it of trials, and an observer of what the scheduler decides.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.result import DEFAULT_METRIC
from ray.tune.schedulers import PopulationBasedTraining, PopulationBasedTrainingReplay, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Repeater
from ray.tune.utils import flatten_dict

from hpo.driver.recorder import NoTrial, Recorder
from hpo.events import Decision
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep
from hpo.tune.compat import TuneController, ended_by_failure, metric_of, mode_of, observe, searchers, trials_of
from hpo.tune.results import Metrics, at_the_end, chain, facts_of, failure_of, step_of
from hpo.tune.space import flat, nested
from hpo.tune.sweep import check_goal

_STOPPED_ALL = "the experiment's stopper or time budget"


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
        self._inside = 0  # calls of the scheduler that have not returned
        self._broken: BaseException | None = None
        self.ended = False
        scheduler = controller.scheduler_alg
        _check(controller, scheduler, sweep)
        self._schedulers = list(chain(scheduler))
        observe(controller, Observer(scheduler, self), _Reporter(self))

    @property
    def recorder(self) -> Recorder:
        """Of the study, which is opened at first use."""
        if self._broken is not None:  # Tune goes on after some errors; the records must not
            raise self._broken
        if self._recorder is None:
            self._recorder = self._open_recorder(self.controller.search_alg.total_samples)
        return self._recorder

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
        params = {name: value for name, value in flat(trial.config).items() if name in names}
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
        config = flat(trial.config)
        changed = [name for name, value in params.items() if config.get(name, value) != value]
        if changed:
            raise UserError(
                f"{changed[0]} of trial {trial.trial_id} was changed under way, from {params[changed[0]]!r} to "
                f"{config[changed[0]]!r}: a trial of a study has one configuration (use a scheduler that changes none)"
            )

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
        if self._inside:  # the scheduler ended it, while it looked at another one
            self.stopped(trial)
            if at_the_end(self._schedulers, flatten_dict(trial.last_result)):
                self._stopped[trial.trial_id] = ("", True)
        name, whole = self._stopped.pop(trial.trial_id, ("", True))
        self.recorder.end(trial.trial_id, facts_of(trial), stopped_by=None if whole else name)

    def failed(self, trial: Trial) -> None:
        self.recorder.end(trial.trial_id, facts_of(trial), failure=failure_of(trial))

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
            self._recorder.abandon()
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


class StudyRule(TrialScheduler):
    """Marks the scheduler that stops by the study's own rule."""


def _check(controller: TuneController, scheduler: TrialScheduler, sweep: Sweep) -> None:
    """Raise UserError for what would be recorded wrongly."""
    for found in searchers(controller.search_alg):
        if isinstance(found, Repeater):
            raise UserError(
                "Repeater hides from the study which trials it repeats, and their reports (say duplicates='replicate' "
                "and list the configuration in baselines, or repeat inside of the trainable)"
            )
        if isinstance(found, ConcurrencyLimiter) and found.batch:
            raise UserError("ConcurrencyLimiter(batch=True) holds back ends of trials (leave out batch)")
    check_goal(sweep, metric_of(controller), None)
    schedulers = list(chain(scheduler))
    for each in schedulers:
        if isinstance(each, PopulationBasedTraining | PopulationBasedTrainingReplay):
            raise UserError(
                f"{type(each).__name__} changes the configurations of trials under way, and takes them over from one "
                "another: a trial of a study has one configuration (and Tune allows it no search algorithm; use "
                "StudyScheduler, ASHAScheduler, HyperBandScheduler or MedianStoppingRule, or leave out search_alg)"
            )
        if not isinstance(each, StudyRule):
            check_goal(sweep, None if each.metric == DEFAULT_METRIC else each.metric, mode_of(each))
    if sweep.early_terminate.type != "none" and not any(isinstance(each, StudyRule) for each in schedulers):
        raise UserError(
            f"the study's early_terminate ({sweep.early_terminate.type}) has no effect: add "
            "scheduler=hpo.tune.StudyScheduler() to TuneConfig, or leave out early_terminate"
        )


class Observer(TrialScheduler):
    """Passes everything on to a scheduler, and tells the session what it decides."""

    def __init__(self, scheduler: TrialScheduler, session: Session) -> None:
        self._base_scheduler = scheduler
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._base_scheduler, name)

    @property
    def metric(self) -> Any:
        return self._base_scheduler.metric

    @property
    def supports_buffered_results(self) -> bool:
        return bool(self._base_scheduler.supports_buffered_results)

    def _call(self, name: str, *arguments: Any) -> Any:
        self._session._inside += 1
        try:
            return getattr(self._base_scheduler, name)(*arguments)
        finally:
            self._session._inside -= 1

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        self._call("on_trial_add", tune_controller, trial)

    def on_trial_error(self, tune_controller: TuneController, trial: Trial) -> None:
        self._call("on_trial_error", tune_controller, trial)

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        decision = str(self._call("on_trial_result", tune_controller, trial, result))
        self._session.decided(trial, decision, result)
        return decision

    def on_trial_complete(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> None:
        self._call("on_trial_complete", tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: TuneController, trial: Trial) -> None:
        self._call("on_trial_remove", tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        found: Trial | None = self._call("choose_trial_to_run", tune_controller)
        return found

    def debug_string(self) -> str:
        return str(self._base_scheduler.debug_string())

    def save(self, checkpoint_path: str) -> None:
        self._base_scheduler.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        self._base_scheduler.restore(checkpoint_path)


class _Reporter(Callback):
    """Tells the session what Tune tells callbacks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._session.guard(lambda: self._session.started(trial))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._session.guard(lambda: self._session.result(trial, flatten_dict(result)))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._session.guard(lambda: self._session.completed(trial))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._session.guard(lambda: self._session.failed(trial))

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._session.guard(lambda: self._session.retried(trial))

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self._session.guard(self._session.look_around)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        self._session.end()
