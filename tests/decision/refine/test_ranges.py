"""Ranges: narrowed to the good trials, widened where they lie at an end, never beyond where numbers of the kind end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpo.decision.refine.chance import cell_counts
from hpo.decision.refine.evidence import BLOCKS, Sighting
from hpo.decision.refine.limits import natural_ends
from hpo.decision.refine.outcome import RefinedParameter
from hpo.decision.refine.ranges import RangeView, refined_range
from hpo.objective.build import inspect
from hpo.spec.contract import Contract
from hpo.spec.named import Named
from hpo.spec.space import Parameter, Range


@pytest.fixture(scope="module")
def contract() -> Contract:
    """Return that of the binary task."""
    from pathlib import Path

    found = inspect(Named("objectives.binary", None, (), {"source": "synthetic"}, "val_accuracy", (), Path())).contract
    assert found is not None
    return found


def refined(
    domain: Range,
    low: float,
    high: float,
    trials: int = 100,
    name: str = "x",
    contract: Contract | None = None,
    troubles: tuple[Any, ...] = (),
    most_epochs: int | None = None,
) -> RefinedParameter:
    """Refine a range whose values were drawn from all of it, and are good between two positions; the rest is not."""
    places = np.random.default_rng(1).permutation(np.linspace(0, 1, trials))
    scale = np.geomspace if domain.log else np.linspace
    grid = scale(domain.low, domain.high, 1001)
    values = [domain.own(domain.snap(min(max(float(grid[round(1000 * place)]), domain.low), domain.high)))
              for place in places]  # fmt: skip
    seen = [
        Sighting(value, bool(low <= place <= high), index * BLOCKS // trials)
        for index, (value, place) in enumerate(zip(values, places, strict=True))
    ]
    best = next(sighting.value for sighting in seen if sighting.good)
    ends = natural_ends(name, domain, contract, most_epochs)
    parameter = Parameter(name, domain)
    return refined_range(RangeView(parameter, domain, seen, cell_counts(domain, seen), best, troubles, ends))


def new_range(found: RefinedParameter) -> Range:
    assert isinstance(found.domain, Range)
    return found.domain


def test_narrowed_on_its_own_scale_with_margins() -> None:
    found = refined(Range(1e-5, 1e-1, log=True), 0.5, 0.75)  # 1e-3 to 1e-2
    domain = new_range(found)
    assert found.fate == "narrowed" and domain.log
    assert 2e-4 < domain.low < 1e-3 and 1e-2 < domain.high < 4e-2
    assert [float(f"{bound:.2g}") for bound in (domain.low, domain.high)] == [domain.low, domain.high]
    words = "; ".join(found.reasons)
    assert "of the 25 good trials lie in" in words and "searched before: 1e-05 to 0.1, log scale" in words


def test_the_best_trial_is_inside_wherever_it_lies() -> None:
    seen = [Sighting(index / 40, 10 <= index < 20, index * BLOCKS // 40) for index in range(40)]
    seen[39] = Sighting(0.975, True, 3)
    domain = Range(0.0, 1.0)
    parameter, counts, ends = Parameter("x", domain), cell_counts(domain, seen), natural_ends("x", domain, None, None)
    found = new_range(refined_range(RangeView(parameter, domain, seen, counts, 0.3, (), ends)))
    assert found.high < 0.6
    assert 0.75 < new_range(refined_range(RangeView(parameter, domain, seen, counts, 0.7, (), ends))).high < 0.9


def test_never_narrower_than_a_quarter() -> None:
    domain = new_range(refined(Range(0.0, 1.0), 0.495, 0.595))
    assert 0.25 <= domain.high - domain.low <= 0.3
    at_the_end = new_range(refined(Range(0.0, 1.0), 0.78, 0.92))
    assert at_the_end.high <= 1.0 and at_the_end.low <= 0.75


@pytest.mark.parametrize("trials", [20, 100])
def test_what_is_good_everywhere_stays(trials: int) -> None:
    found = refined(Range(0.0, 1.0), 0.0, 1.0, trials)
    assert found.fate == "kept" and found.domain == Range(0.0, 1.0)


def test_widened_where_the_good_lie_at_an_end() -> None:
    found = refined(Range(1.0, 1000.0, log=True), 0.85, 1.0)
    domain = new_range(found)
    assert found.fate == "widened" and domain.high == 10_000 and domain.low > 100
    assert "so it is widened there from 1000 to 10000" in "; ".join(found.reasons)
    down = new_range(refined(Range(-4.0, 5.0), 0.0, 0.15))
    assert down.low == -7.0 and down.high < 0


@pytest.mark.parametrize(
    ("name", "domain", "at", "bound"),
    [
        ("momentum", Range(0.0, 0.98), 1.0, 0.99),  # halfway to 1, which it must not reach
        ("dropout", Range(0.0, 0.5), 0.0, 0.0),
        ("learning_rate", Range(0.001, 0.1), 0.0, 0.0005),
        ("learning_rate", Range(1e-5, 1e-1, log=True), 1.0, 2.1),  # nothing ends there
        ("batch_size", Range(1, 60, integer=True), 0.0, 1),
        ("batch_size", Range(4, 60, integer=True, step=8), 0.0, 4),
        ("batch_size", Range(16, 64, integer=True, step=16), 1.0, 80),
        ("hidden_layers", Range(1, 4, integer=True), 0.0, 1),
    ],
)
def test_natural_ends_of_known_hyperparameters(
    contract: Contract, name: str, domain: Range, at: float, bound: float
) -> None:
    found = new_range(refined(domain, *((0.85, 1.0) if at else (0.0, 0.15)), name=name, contract=contract))
    assert (found.high if at else found.low) == pytest.approx(bound, rel=0.06)
    assert contract.parameters[name].objection(found.high) == contract.parameters[name].objection(found.low) == ""


@pytest.mark.parametrize(
    ("domain", "at", "bound"),
    [(Range(0.0, 0.5), 0.0, 0.0), (Range(0.0, 1.0), 1.0, 1.0), (Range(0.2, 0.8), 1.0, 0.9),
     (Range(5, 20, integer=True), 0.0, 1), (Range(0.1, 0.4), 0.0, 0.05)],
)  # fmt: skip
def test_of_a_functions_parameters_0_and_1_are_taken_for_ends(domain: Range, at: float, bound: float) -> None:
    found = refined(domain, *((0.85, 1.0) if at else (0.0, 0.15)))
    assert (new_range(found).high if at else new_range(found).low) == pytest.approx(bound)
    if bound in (0.0, 1.0) and not domain.integer:
        assert "is mostly a natural end" in "; ".join(found.reasons)


def test_not_widened_to_where_trials_diverge() -> None:
    found = refined(Range(1.0, 1000.0, log=True), 0.85, 1.0, troubles=(700.0, 800.0, 900.0))
    assert new_range(found).high == 1000.0 and "3 trials failed or diverged" in "; ".join(found.reasons)


def test_epochs_end_at_the_budgets(contract: Contract) -> None:
    domain = Range(5, 20, integer=True)
    assert new_range(refined(domain, 0.8, 1.0, name="epochs", contract=contract)).high == 25
    assert new_range(refined(domain, 0.8, 1.0, name="epochs", contract=contract, most_epochs=20)).high == 20


@pytest.mark.parametrize(
    ("domain", "step"),
    [(Range(0, 96, integer=True, step=6), 3), (Range(0, 135, integer=True, step=9), 3),
     (Range(0, 70, integer=True, step=5), 5), (Range(0, 32, integer=True, step=2), None),
     (Range(0.0, 10.0, step=0.5), 0.25), (Range(8, 512, integer=True, log=True, step=8), 4)],
)  # fmt: skip
def test_finer_steps_that_keep_the_old_values(domain: Range, step: float | None) -> None:
    found = new_range(refined(domain, 0.4, 0.65))
    assert found.step == step
    choices = domain.choices()
    assert choices is not None and found.low in choices and found.high in choices
    assert all(found.holds(value) for value in choices if found.low <= value <= found.high)


def test_a_few_whole_numbers() -> None:
    for domain in (Range(1, 2, integer=True), Range(1, 3, integer=True)):
        assert refined(domain, 0.0, 0.1).domain in (domain, Range(0, 3, integer=True), Range(1, 3, integer=True))
    assert new_range(refined(Range(1, 12, integer=True), 0.4, 0.5)).count() in range(3, 6)


def test_a_bound_of_billions_of_steps_is_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The good trials lie at 0, beyond which it is not widened: no step is tried that lies there."""
    tried, at = [], Range.at

    def counted(domain: Range, index: int) -> float:
        tried.append(index)
        assert len(tried) < 1000
        return at(domain, index)

    monkeypatch.setattr(Range, "at", counted)
    found = refined(Range(0, 2**31, integer=True, step=1), 0.0, 0.1)
    assert found.fate == "narrowed" and new_range(found).low == 0
    assert "it can't be widened there (0 is mostly a natural end" in "; ".join(found.reasons)
