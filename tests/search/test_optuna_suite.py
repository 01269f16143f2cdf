"""Optuna's own tests of a sampler, run against those of this project, which search for one objective.

For pruners this release of Optuna has no such tests; tests/stopping/test_against_optuna.py compares the stopping rules
with Optuna's pruners, decision by decision.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase

from hpo.search.samplers import WeightedRandomSampler
from hpo.search.tpe import SharingTPESampler
from hpo.spec.space import Categorical, Parameter, Range, Space

# `group` of TPE is marked so
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

FLAT = Space((Parameter("other", Range(0.0, 1.0)),))
TREE = Space((Parameter("other", Range(0.0, 1.0)), Parameter("inner", Range(0.0, 1.0), {"other": {">": 0.5}})))
WEIGHTED = Space((Parameter("weighted", Categorical((1, 2, 3), (0.7, 0.2, 0.1))),))


class TestTpe(BasicSamplerTestCase, RelativeSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: SharingTPESampler(FLAT, 0, n_startup_trials=0)


class TestTpeOfGroups(BasicSamplerTestCase):
    """Not the tests of relative sampling, which Optuna's own TPE fails with groups: they hand it a search space that is
    none of its groups."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: SharingTPESampler(TREE, 0, n_startup_trials=0)


class TestWeightedRandom(BasicSamplerTestCase):
    """It draws each parameter by itself."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: WeightedRandomSampler(WEIGHTED, 0)
