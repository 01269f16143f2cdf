"""Runs Tune with a study behind it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from e2e.support import Place
from optuna.trial import FrozenTrial
from ray import tune

from hpo.review.doctor import diagnose, lines_of
from hpo.tune import StudySearcher

GOAL = {"name": "score", "goal": "maximize"}
SPACE = {"x": tune.uniform(0.0, 1.0)}


def searcher(place: Place, **keys: Any) -> StudySearcher:
    """Return a searcher of the study `small`."""
    return StudySearcher(home=place.home.path, **{"name": "small", "metric": GOAL, "method": "random", **keys})


def fit(
    place: Place,
    trainable: Any,
    search_alg: Any,
    scheduler: Any = None,
    space: Any = SPACE,
    trials: int = 6,
    failures: int = 0,
    callbacks: Any = None,
    stop: Any = None,
    **config: Any,
) -> tune.ResultGrid:
    """Run a Tuner to its end."""
    settings = {"max_concurrent_trials": 2, "reuse_actors": True, **config}
    tuner = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(search_alg=search_alg, scheduler=scheduler, num_samples=trials, **settings),
        run_config=tune.RunConfig(
            name="experiment",
            storage_path=str(place.folder / "ray"),
            failure_config=tune.FailureConfig(max_failures=failures),
            callbacks=callbacks,
            stop=stop,
            verbose=0,
        ),
    )
    return tuner.fit()


def states(place: Place) -> Counter[str]:
    return Counter(trial.state.name for trial in place.trials())


def steps(trial: FrozenTrial) -> list[int]:
    """Return the steps of all reports that were kept of a trial, the same in both places of the study."""
    noted: list[int] = trial.user_attrs["history"]["steps"]
    assert sorted(trial.intermediate_values) == noted
    return noted


def assert_sound(place: Place, waiting: int = 0) -> None:
    """The doctor has nothing to say."""
    diagnosis = diagnose(place.home, "small", fix=False)
    assert not len(diagnosis.before), lines_of(diagnosis, place.home)
    assert diagnosis.waiting == waiting
