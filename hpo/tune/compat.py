"""What this adapter uses of Ray Tune that is no public API of it, gathered here. Read from Ray 2.60.0.

A name that is gone is an error, never a guarantee less; tests/tune/test_compat.py fails if one is.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.execution.tune_controller import TuneController as TuneController
from ray.tune.experiment import Trial
from ray.tune.impl.placeholder import _FunctionResolver, _RefResolver
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    ResourceChangingScheduler,
    TrialScheduler,
)
from ray.tune.search import ConcurrencyLimiter, Repeater, SearchGenerator

from hpo.spec.faults import UserError

FUNCTION_PLACEHOLDER: str = _FunctionResolver.TOKEN  # what Tune puts in place of sample_from
PLACEHOLDERS: tuple[str, str] = (_RefResolver.TOKEN, FUNCTION_PLACEHOLDER)  # and of objects
FAILURE_HEADING = "Failure # "  # begins each failure in the file that Tune writes beside a trial; experiment/trial.py
HYPERBAND_INFO = "hyperband_info"  # an entry of results that is HyperBandForBOHB's own; schedulers/hb_bohb.py

_WRAPPERS = (SearchGenerator, ConcurrencyLimiter, Repeater)  # search algorithms with another one inside


def find_controller() -> TuneController | None:
    """Return the controller on whose behalf the caller was called: Tune hands a searcher no way to it."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, TuneController):
            return owner
        frame = frame.f_back
    return None


def observe(controller: TuneController, scheduler: TrialScheduler, callback: Callback) -> None:
    """Have a controller ask another scheduler from now on, and tell one more callback.

    Raises UserError if this Ray's controller has no such parts.
    """
    _need(controller, "_scheduler_alg")
    _need(controller, "_callbacks")
    _need(controller._callbacks, "_callbacks")
    controller._scheduler_alg = scheduler
    controller._callbacks._callbacks.append(callback)


def _need(owner: object, name: str) -> None:
    if not hasattr(owner, name):
        raise UserError(f"Ray {ray.__version__} has no {type(owner).__name__}.{name}, on which this platform relies")


def trials_of(controller: TuneController) -> list[Trial]:
    """Return all trials of an experiment."""
    return list(controller.get_trials())  # type: ignore[no-untyped-call]


def ended_by_failure(controller: TuneController) -> bool:
    """Whether the experiment ends because a trial failed (FailureConfig.fail_fast)."""
    return bool(controller._fail_fast and controller._has_errored)


def metric_of(controller: TuneController) -> str | None:
    """Return the metric that TuneConfig names."""
    metric: str | None = controller._metric
    return metric


def mode_of(scheduler: TrialScheduler) -> str | None:
    """Return the mode that a scheduler was given, "min" or "max"; None if it has none."""
    if isinstance(scheduler, AsyncHyperBandScheduler | HyperBandScheduler | MedianStoppingRule):
        mode: str | None = scheduler._mode
        return mode
    return getattr(scheduler, "_mode", None)  # of the user's own making: as Tune's name it


def limit_of(scheduler: TrialScheduler) -> tuple[str, float]:
    """Return how far a scheduler lets any trial come: the entry of a result that it counts by, and its largest value
    (max_t), which is inf if there is no limit."""
    if isinstance(scheduler, AsyncHyperBandScheduler):
        return scheduler._time_attr, scheduler._max_t
    if isinstance(scheduler, HyperBandScheduler):
        return scheduler._time_attr, scheduler._max_t_attr
    # Of the user's own making: as Tune's name it.
    longest = getattr(scheduler, "_max_t", getattr(scheduler, "_max_t_attr", math.inf))
    return getattr(scheduler, "_time_attr", ""), longest


def stop_left_behind(controller: TuneController, scheduler: TrialScheduler) -> None:
    """Stop the trials that HyperBand has forgotten, for which Tune would wait without end.

    A bracket that is finished stops its paused trials (`_Bracket.cleanup_full`), but not one that is still saving
    its checkpoint at that moment: it is paused an instant later, and nobody asks for it again.
    """
    if not isinstance(scheduler, HyperBandScheduler):
        return
    brackets = [bracket for band in scheduler._hyperbands for bracket in band if bracket is not None]
    for bracket in brackets:
        if bracket.finished():
            for trial in bracket.current_trials():
                if trial.status == Trial.PAUSED:
                    controller.stop_trial(trial)  # type: ignore[no-untyped-call]


def inner_scheduler(scheduler: TrialScheduler) -> TrialScheduler | None:
    """Return the scheduler that another one wraps; None if it wraps none."""
    if isinstance(scheduler, ResourceChangingScheduler):
        base: TrialScheduler = scheduler._base_scheduler
        return base
    return getattr(scheduler, "_base_scheduler", None)  # of the user's own making, or ours: as Tune's name it


def chain(scheduler: TrialScheduler) -> Iterator[TrialScheduler]:
    """Yield a scheduler and those that it wraps."""
    found: Any = scheduler
    while isinstance(found, TrialScheduler):
        yield found
        found = inner_scheduler(found)


def searchers(search_alg: Any) -> Iterator[Any]:
    """Yield a search algorithm and those that it wraps."""
    found = search_alg
    while found is not None:
        yield found
        found = found.searcher if isinstance(found, _WRAPPERS) else getattr(found, "searcher", None)
