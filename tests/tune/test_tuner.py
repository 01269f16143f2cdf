"""A study behind Tune's own Tuner: what is recorded of trials that end in every way."""

from __future__ import annotations

from typing import Any

import pytest
from e2e.support import Place
from ray import tune
from ray.tune.error import TuneError
from ray.tune.schedulers import ASHAScheduler, HyperBandScheduler, MedianStoppingRule, PopulationBasedTraining
from ray.tune.search import ConcurrencyLimiter, Repeater

from hpo.review.studies import best_of, list_studies, read_study
from hpo.spec.faults import UserError
from hpo.tune import StudyScheduler
from tune.support import SPACE, assert_sound, fit, searcher, states, steps
from tune.trainables import STEPS, Climber, climb, odd

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cluster")]
ASHA = {"type": "asha", "min_iter": 1, "eta": 3}


def test_a_study_behind_the_tuner_goes_on_when_it_is_constructed_again(place: Place) -> None:
    keys: dict[str, Any] = {"early_terminate": ASHA, "baselines": [{"x": 0.0}, {"x": 1.0}]}
    space = {"x": tune.uniform(0.0, 1.0), "net": {"width": tune.choice([8, 16]), "depth": 2}}
    keys["baselines"] = [{"x": x, "net": {"width": 8}} for x in (0.0, 1.0)]
    results = fit(place, climb, searcher(place, budget={"trials": 6}, **keys), StudyScheduler(), space, trials=-1)

    trials = place.trials()
    assert states(place) == {"COMPLETE": len(results) - states(place)["PRUNED"], "PRUNED": states(place)["PRUNED"]}
    assert len(trials) == len(results) == 6
    assert states(place)["PRUNED"] >= 1
    assert [trial.user_attrs["params"] for trial in trials[:2]] == [
        {"x": x, "net/width": 8, "net/depth": 2} for x in (0.0, 1.0)
    ]
    for trial, result in zip(trials, results, strict=True):
        assert result.metrics is not None and result.metrics["trial_id"] == trial.user_attrs["info"]["tune_trial"]
        x, last = trial.params["x"], result.metrics["training_iteration"]
        assert steps(trial) == list(range(1, last + 1))
        metrics = trial.user_attrs["history"]["metrics"]
        assert metrics == {"score": [x + s / 100 for s in steps(trial)], "inner/loss": [1 / s for s in steps(trial)]}
        assert trial.value == metrics["score"][-1] == trial.intermediate_values[last]
        assert (last == STEPS) == (trial.state.name == "COMPLETE")
    assert_sound(place)

    fit(place, climb, searcher(place, budget={"trials": 8}, **keys), StudyScheduler(), space, trials=8)
    trials = place.trials()
    assert len(trials) == 8
    assert sum(trial.user_attrs["params"]["x"] in (0.0, 1.0) for trial in trials) == 2
    assert_sound(place)
    (line,) = list_studies(place.home)
    assert (line.counts.complete, line.counts.pruned) == (states(place)["COMPLETE"], states(place)["PRUNED"])
    assert best_of(read_study(place.home, "small")).number == max(
        (trial for trial in trials if trial.state.name == "COMPLETE"), key=lambda trial: trial.value or 0.0
    ).number  # fmt: skip


@pytest.mark.parametrize(
    ("scheduler", "whole"),
    [
        (ASHAScheduler(max_t=STEPS - 1, grace_period=1, reduction_factor=2), STEPS - 1),
        (HyperBandScheduler(max_t=STEPS - 1, reduction_factor=2), STEPS - 1),
        (MedianStoppingRule("training_iteration", grace_period=2, min_samples_required=2), STEPS),
    ],
    ids=["ASHA", "HyperBand", "median"],
)
def test_what_tunes_own_schedulers_stop_is_pruned(place: Place, scheduler: Any, whole: int) -> None:
    """But for trials that come as far as the scheduler lets any trial come."""
    config: dict[str, Any] = {"trials": 8, "max_concurrent_trials": 8, "metric": "score", "mode": "max"}
    results = fit(place, Climber, searcher(place), scheduler, **config)

    trials = place.trials()
    assert len(trials) == 8
    assert states(place)["PRUNED"] >= 1 and states(place)["COMPLETE"] >= 1
    for trial, result in zip(trials, results, strict=True):
        assert result.metrics is not None
        last = result.metrics["training_iteration"]
        assert steps(trial) == list(range(1, last + 1)) and trial.value == pytest.approx(result.metrics["score"])
        assert (trial.state.name == "COMPLETE") == (last >= whole)
        assert trial.user_attrs.get("stopped_by") == (None if last >= whole else type(scheduler).__name__)
    assert_sound(place)


def test_failures_and_what_is_no_number(place: Place) -> None:
    """Tune runs each failed trial once more: it stays one trial."""
    kinds = ["raises", "dies", "silent", "nan", "once", "fine", "prunes"]
    space = {"kind": tune.choice(kinds), "folder": str(place.folder), "object": {1, 2}}
    fit(place, odd, searcher(place, method="grid"), space=space, trials=7, failures=1)

    found = {trial.params["kind"]: trial for trial in place.trials()}
    assert len(place.trials()) == 7
    assert {kind: trial.state.name for kind, trial in found.items()} == {
        "raises": "FAIL", "dies": "FAIL", "silent": "FAIL", "nan": "PRUNED", "once": "COMPLETE", "fine": "COMPLETE",
        "prunes": "PRUNED",
    }  # fmt: skip
    said = {kind: trial.user_attrs for kind, trial in found.items()}
    assert said["raises"]["error"] == "RuntimeError: no luck" and "trainables.py" in said["raises"]["traceback"]
    assert said["raises"]["failure"] == said["silent"]["failure"] == "error" and said["dies"]["failure"] == "died"
    assert "never reported; it reported nothing" in said["silent"]["error"]
    assert said["nan"]["diverged"] == 2 and steps(found["nan"]) == [1]
    assert said["raises"]["history"]["metrics"] == {"score": [1.0], "flag": [1.0]}
    assert [said[kind].get("attempts") for kind in kinds] == [2, 2, None, None, 2, None, 2]
    assert said["prunes"]["stopped_by"] == "the trainable itself" and steps(found["prunes"]) == [1]
    assert said["once"]["history"]["metrics"] == {"score": [1.0, 2.0], "flag": [1.0, None]}
    assert_sound(place)


def test_a_stopper_ends_a_trial_or_all_of_them(place: Place) -> None:
    class Stopper(tune.Stopper):
        def __init__(self) -> None:
            self.seen = 0

        def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
            self.seen += 1
            return bool(result["training_iteration"] == 3)

        def stop_all(self) -> bool:
            return self.seen >= 5

    fit(place, climb, searcher(place), trials=4, stop=Stopper(), max_concurrent_trials=1)
    whole, cut = place.trials()
    assert whole.state.name == "COMPLETE" and steps(whole) == [1, 2, 3]
    assert cut.state.name == "PRUNED" and steps(cut) == [1, 2] and "budget" in cut.user_attrs["stopped_by"]
    assert_sound(place)


def test_what_would_be_recorded_wrongly_is_refused_before_anything_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    population = PopulationBasedTraining("training_iteration", hyperparam_mutations=SPACE)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("PopulationBasedTraining changes the config", {"scheduler": population, "metric": "score", "mode": "max"}),
        ("StudyScheduler decides for a study", {"search_alg": None, "scheduler": StudyScheduler(), "space": {}}),
        ("Repeater hides", {"search_alg": Repeater(searcher(place), 2)}),
        ("ConcurrencyLimiter.batch=True", {
            "search_alg": ConcurrencyLimiter(searcher(place), 2, batch=True), "max_concurrent_trials": None}),
        ("to maximize loss, but the study 'small' is to maximize score", {"metric": "loss", "mode": "max"}),
        ("to minimize score", {"metric": "score", "mode": "min"}),
        ("to minimize score", {"scheduler": ASHAScheduler(metric="score", mode="min")}),
        ("early_terminate .asha. has no effect", {"search_alg": searcher(place, early_terminate=ASHA)}),
        ("x: it is in the Tuner's param_space, too", {"search_alg": searcher(place, parameters={"x": {"value": 1}})}),
        ("'parameters' is missing", {"space": {}}),
    ]  # fmt: skip
    for message, config in refused:
        with pytest.raises((UserError, TuneError), match=message):
            fit(place, climb, **{"search_alg": searcher(place), **config})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlr")
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI=\./mlr: this is a folder"):
        fit(place, climb, searcher(place))
    assert not place.home.journal.exists() and not list(place.folder.rglob("result.json"))
