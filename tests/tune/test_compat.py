"""What the adapter uses of Ray Tune's inside is still there, and is what it was taken for. Fails loudly where not."""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.train._internal.storage import StorageContext
from ray.tune import Callback
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.impl.placeholder import create_resolvers_map, inject_placeholders
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
    ResourceChangingScheduler,
)
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter, Repeater, Searcher, SearchGenerator

from hpo.spec.faults import UserError
from hpo.tune import compat


class Fixed(Searcher):
    """A search algorithm that says who asks."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        return {"controller": compat.find_controller()}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TuneController:
    """A real controller, which runs nothing."""
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "1")  # else it asks a cluster
    storage = StorageContext(storage_path=str(tmp_path), experiment_dir_name="experiment")
    return TuneController(
        search_alg=SearchGenerator(Fixed()), metric="score", fail_fast=True, callbacks=[Callback()], storage=storage
    )


def test_a_controller_is_observed(controller: TuneController) -> None:
    scheduler, callback, own = FIFOScheduler(), Callback(), controller.scheduler_alg
    compat.observe(controller, scheduler, callback)
    assert controller.scheduler_alg is scheduler is not own
    heard: list[str] = []
    callback.on_step_begin = lambda **info: heard.append("a step")  # type: ignore[method-assign]
    controller._callbacks.on_step_begin(iteration=1, trials=[])
    assert heard == ["a step"]


@pytest.mark.parametrize("name", ["_scheduler_alg", "_callbacks"])
def test_a_part_of_the_controller_that_is_gone_is_an_error(controller: TuneController, name: str) -> None:
    delattr(controller, name)
    with pytest.raises(UserError, match=rf"has no TuneController.{name}, on which this platform relies"):
        compat.observe(controller, FIFOScheduler(), Callback())


def test_a_controllers_list_of_callbacks_that_is_gone_is_an_error(controller: TuneController) -> None:
    del controller._callbacks._callbacks
    with pytest.raises(UserError, match=r"has no CallbackList\._callbacks"):
        compat.observe(controller, FIFOScheduler(), Callback())


def test_what_a_controller_knows(controller: TuneController) -> None:
    assert compat.metric_of(controller) == "score"
    assert compat.trials_of(controller) == []
    assert compat.ended_by_failure(controller) is False
    controller._has_errored = True
    assert compat.ended_by_failure(controller) is True
    source = inspect.getsource(TuneController)
    assert "fail_fast = self._fail_fast and self._has_errored" in source
    assert "self._has_errored = True" in source


def test_a_controller_that_asks_is_found(controller: TuneController) -> None:
    assert compat.find_controller() is None

    def step(self: Any) -> Any:
        return controller.search_alg.searcher.suggest("one")["controller"]

    assert step(controller) is controller
    assert step(object()) is None


def test_search_algorithms_inside_of_others_are_found() -> None:
    own = Fixed(metric="score", mode="max")
    found = SearchGenerator(ConcurrencyLimiter(Repeater(own, 2), 3))
    assert [type(each) for each in compat.searchers(found)] == [SearchGenerator, ConcurrencyLimiter, Repeater, Fixed]
    assert [type(each) for each in compat.searchers(BasicVariantGenerator())] == [BasicVariantGenerator]
    del found.searcher.searcher
    with pytest.raises(AttributeError):
        list(compat.searchers(found))


def test_what_schedulers_were_given() -> None:
    given: dict[str, Any] = {"metric": "score", "mode": "min"}
    schedulers = [
        ASHAScheduler("steps", **given, max_t=7),
        HyperBandScheduler("steps", **given, max_t=7),
        HyperBandForBOHB("steps", **given, max_t=7),
        MedianStoppingRule("steps", **given),
    ]
    assert [scheduler.metric for scheduler in schedulers] == ["score"] * 4
    assert [compat.mode_of(scheduler) for scheduler in schedulers] == ["min"] * 4
    assert [compat.limit_of(scheduler) for scheduler in schedulers] == [("steps", 7)] * 3 + [("steps", math.inf)]
    assert compat.mode_of(FIFOScheduler()) is None
    assert compat.limit_of(FIFOScheduler()) == ("", math.inf)
    inner = FIFOScheduler()
    assert compat.inner_scheduler(ResourceChangingScheduler(inner, lambda *_: None)) is inner
    assert compat.inner_scheduler(inner) is None


def test_a_trial_that_hyperband_forgets_is_stopped(controller: TuneController) -> None:
    """One that was saving its checkpoint when its bracket finished: Tune would wait for it without end."""
    scheduler = HyperBandScheduler(max_t=9, reduction_factor=3, metric="score", mode="max")
    compat.observe(controller, scheduler, Callback())
    for number in range(3):  # Tune's first bracket has three, which all go to the end
        trial = Trial("Climber", stub=True, trial_id=str(number), storage=controller._storage)
        controller.add_trial(trial)
        controller._set_trial_status(trial, Trial.RUNNING)
    first, second, last = compat.trials_of(controller)
    result = {"score": 1.0, "training_iteration": 9}
    assert [scheduler.on_trial_result(controller, trial, result) for trial in (first, second)] == ["PAUSE", "PAUSE"]
    controller._set_trial_status(first, Trial.PAUSED)  # the second one is still saving its checkpoint

    compat.stop_left_behind(controller, scheduler)
    assert first.status == Trial.PAUSED
    assert scheduler.on_trial_result(controller, last, result) == "STOP"
    controller._set_trial_status(second, Trial.PAUSED)
    assert (first.status, scheduler.choose_trial_to_run(controller)) == (Trial.TERMINATED, None)

    compat.stop_left_behind(controller, FIFOScheduler())
    assert second.status == Trial.PAUSED
    compat.stop_left_behind(controller, scheduler)
    assert (second.status, last.status) == (Trial.TERMINATED, Trial.RUNNING)


@pytest.mark.parametrize("kind", [ASHAScheduler, HyperBandScheduler])
def test_a_limit_that_is_gone_is_an_error(kind: Any) -> None:
    scheduler = kind(max_t=7)
    vars(scheduler).pop("_max_t", None)
    vars(scheduler).pop("_max_t_attr", None)
    with pytest.raises(AttributeError, match="_max_t"):
        compat.limit_of(scheduler)


def test_what_tune_puts_in_place_of_objects_and_functions() -> None:
    resolvers = create_resolvers_map()
    config = {"drawn": tune.sample_from(lambda _: 1), "chosen": tune.choice([object()])}
    replaced = inject_placeholders(config, resolvers)
    assert replaced["drawn"][0] == compat.FUNCTION_PLACEHOLDER
    assert replaced["chosen"].categories[0][0] in compat.PLACEHOLDERS


def test_the_file_with_a_trials_failures() -> None:
    assert f'"{compat.FAILURE_HEADING}{{}} ' in inspect.getsource(Trial.handle_error)


def test_an_entry_of_results_that_is_hyperbands() -> None:
    assert f'result["{compat.HYPERBAND_INFO}"]' in inspect.getsource(sys.modules[HyperBandForBOHB.__module__])
