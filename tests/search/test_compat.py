"""Each name that Optuna keeps for itself and the search uses is there, and is what it was."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

import hpo.search
from hpo.search import compat

SPACE = {"x": FloatDistribution(0.0, 1.0)}


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def study_of(sampler: optuna.samplers.BaseSampler, trials: int = 20) -> optuna.Study:
    study = optuna.create_study(storage=InMemoryStorage(), sampler=sampler)
    for number in range(trials):
        study.add_trial(create_trial(params={"x": number / trials}, distributions=SPACE, value=float(number)))
    return study


def test_this_release_is_one_that_was_read() -> None:
    assert compat.tested(), f"read Optuna {optuna.__version__}, mend hpo/search/compat.py, and add it to TESTED"


def test_the_names_of_a_random_sampler() -> None:
    assert isinstance(compat.generator_of(RandomSampler(seed=1)), np.random.RandomState)


def test_the_names_of_a_study() -> None:
    study = study_of(RandomSampler(seed=1))
    study.ask()
    held = compat.trials_of(study, (TrialState.COMPLETE,))
    assert [trial.number for trial in held] == list(range(20))
    assert held[0] is compat.trials_of(study, (TrialState.COMPLETE,))[0]  # the storage's own, not copies


def test_the_names_of_tpe() -> None:
    assert parameters(TPESampler._sample) == ["self", "study", "trial", "search_space"]
    assert parameters(TPESampler._get_params) == ["self", "trial", "study"]
    below, above = compat.split_trials(study := study_of(RandomSampler(seed=1)), study.get_trials(deepcopy=False))
    assert [trial.value for trial in below] == [0.0, 1.0] and len(above) == 18  # a tenth of them
    assert compat.default_weights(3).tolist() == [1.0, 1.0, 1.0]
    sampler = compat.OpenTPESampler(seed=1, multivariate=True, constant_liar=True)
    assert isinstance(sampler.generator, np.random.RandomState) and sampler.candidates == 24
    estimator = sampler.estimator({**SPACE}, np.array([[0.25, 0.75]]))
    samples = compat.mixture_of(estimator).sample(sampler.generator, 5)
    assert samples.shape == (5, 1)
    means = [
        compat.weighted(compat.mixture_of(estimator), weights).sample(sampler.generator, 2000).mean()
        for weights in np.eye(3)
    ]
    assert means[0] < means[2] - 0.02 < means[1] - 0.04  # a kernel at each observation, and the wide one
    assert estimator.log_pdf({"x": samples[:, 0]}).shape == compat.mixture_of(estimator).log_pdf(samples).shape == (5,)


def test_tpe_draws_by_the_method_that_is_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were it another one, asking would silently be slow."""
    asked = []
    monkeypatch.setattr(
        compat.OpenTPESampler, "draw", lambda self, study, trial, space: asked.append(space) or {"x": 0.125}
    )
    study = study_of(compat.OpenTPESampler(seed=1, multivariate=True))
    assert study.ask().suggest_float("x", 0.0, 1.0) == 0.125
    assert asked == [SPACE]


def test_given_values_are_under_this_key() -> None:
    study = study_of(RandomSampler(seed=1))
    study.enqueue_trial({"x": 0.5})
    trial = study.ask()
    assert study.get_trials()[-1].system_attrs[compat.FIXED_PARAMS] == {"x": 0.5}
    assert trial.suggest_float("x", 0.0, 1.0) == 0.5


@pytest.mark.parametrize("kind", [compat.OpenTPESampler, GPSampler])
def test_a_sampler_leaves_what_it_drew_under_this_key(kind: Any) -> None:
    """Else the working copy would keep it: samplers would take draws that no trial has for its parameters."""
    keys = {"multivariate": True, "constant_liar": True} if kind is compat.OpenTPESampler else {}
    sampler = kind(seed=1, **keys)
    study = study_of(sampler)
    trial = study.ask()
    x = trial.suggest_float("x", 0.0, 1.0)
    (running,) = study.get_trials(states=(TrialState.RUNNING,))
    assert running.system_attrs and all(compat.RELATIVE_PARAMS in key for key in running.system_attrs)
    if kind is compat.OpenTPESampler:
        assert sampler.params_of(study, running) == {"x": x}


def test_the_names_of_cmaes() -> None:
    """That it starts from these trials, test_resuming.py sees."""
    assert vars(CmaEsSampler(seed=1))["_source_trials"] is None


def test_no_other_module_of_the_search_touches_them() -> None:
    """Private names are those of an object that is neither `self` nor a class or module of the search's own."""
    own = re.compile(r"^(self|cls|super\(\))")
    found = []
    for file in sorted(Path(next(iter(hpo.search.__path__))).glob("*.py")):
        if file.name == "compat.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            private = isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr)
            if private and not own.match(ast.unparse(node.value)):
                found.append(f"{file.name}:{node.lineno} {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and "._" in f"{node.module}":
                found.append(f"{file.name}:{node.lineno} {node.module}")
    assert found == []
