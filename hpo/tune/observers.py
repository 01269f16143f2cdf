"""Who looks at Tune's controller for a session: in the place of the scheduler, and as one more callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.utils import flatten_dict

from hpo.tune.compat import TuneController, chain, stop_left_behind


class ObservingSession(Protocol):
    """What observers tell a session (session.py)."""

    def guard(self, act: Callable[[], Any]) -> Any: ...
    def scheduler_call(self) -> AbstractContextManager[None]: ...
    def decided(self, trial: Trial, decision: str, result: Mapping[str, Any]) -> None: ...
    def started(self, trial: Trial) -> None: ...
    def result(self, trial: Trial, result: Mapping[str, Any]) -> object: ...
    def completed(self, trial: Trial) -> None: ...
    def failed(self, trial: Trial) -> None: ...
    def retried(self, trial: Trial) -> None: ...
    def look_around(self) -> None: ...
    def end(self) -> None: ...


class SchedulerObserver(TrialScheduler):
    """Passes everything on to a scheduler, and tells the session when it is asked and what it decides."""

    def __init__(self, scheduler: TrialScheduler, session: ObservingSession) -> None:
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
        with self._session.scheduler_call():
            return getattr(self._base_scheduler, name)(*arguments)

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
        with self._session.scheduler_call():
            for scheduler in chain(self._base_scheduler):
                stop_left_behind(tune_controller, scheduler)
        found: Trial | None = self._call("choose_trial_to_run", tune_controller)
        return found

    def debug_string(self) -> str:
        return str(self._base_scheduler.debug_string())

    def save(self, checkpoint_path: str) -> None:
        self._base_scheduler.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        self._base_scheduler.restore(checkpoint_path)


class CallbackObserver(Callback):
    """Tells the session what Tune tells callbacks: what befalls each trial."""

    def __init__(self, session: ObservingSession) -> None:
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
