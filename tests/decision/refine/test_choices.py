"""Choices: those that are worse are left out, if there is evidence of that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpo.decision.refine.chance import CellCounts
from hpo.decision.refine.choices import ChoiceView, refined_choices
from hpo.decision.refine.outcome import RefinedParameter
from hpo.spec.contract import Known
from hpo.spec.space import Categorical, Constant, Parameter


def refined(values: list[Any], seen: list[int], good: list[int], known: Known | None = None,
            shares: tuple[float, ...] | None = None) -> RefinedParameter:  # fmt: skip
    domain = Categorical(tuple(values), shares)
    counts = CellCounts(np.ones(len(values)) / len(values), np.array([seen]), np.array([good]))
    best = values[int(np.argmax(good))]
    return refined_choices(ChoiceView(Parameter("x", domain), domain, counts, best, known))


def test_worse_ones_are_left_out_and_named() -> None:
    found = refined(["a", "b", [1, 2]], [60, 60, 40], [18, 12, 0])
    assert (found.fate, found.domain) == ("narrowed", Categorical(("a", "b")))
    assert "left out, with fewer than chance would give: [1, 2]: 0 of 40" in "; ".join(found.reasons)


def test_what_was_hardly_tried_stays() -> None:
    assert refined(["a", "b", "c"], [90, 90, 4], [60, 60, 0]).fate == "kept"
    assert refined(["a", "b", "c"], [90, 90, 5], [60, 60, 0]).fate == "narrowed"


def test_two_stay_unless_the_evidence_is_strong() -> None:
    weak = refined(["a", "b"], [30, 14], [8, 1])
    assert weak.domain == Categorical(("a", "b"))
    strong = refined(["a", "b", "c"], [60, 60, 60], [27, 1, 2])
    assert (strong.fate, strong.domain) == ("fixed", Constant("a"))


def test_probabilities_sum_to_1() -> None:
    found = refined(["a", "b", "c"], [60, 60, 60], [15, 15, 0], shares=(0.2, 0.3, 0.5)).domain
    assert isinstance(found, Categorical) and found.probabilities == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize(
    ("known", "values", "expected"),
    [
        (Known("int", 32, within="[1, inf)"), [32, 64, 128], (32, 48, 64)),
        (Known("int", 1), [1, 2, 9], (1, 2)),
        (Known("float", 0.5), [0.5, 1.0, 9.0], (0.5, 0.75, 1.0)),
        (Known("float", 0.5), [9.0, 0.5, 1.0], None),
        (None, [18, 34, 50], (18, 34)),  # only the file knows which numbers there are
        (Known("choice", "a", choices=("a", "b", "c")), ["a", "b", "c"], ("a", "b")),
        (Known("layers", [64]), [[64], [32], [8]], ([64], [32])),
    ],
)
def test_numbers_halfway(known: Known | None, values: list[Any], expected: tuple[Any, ...] | None) -> None:
    found = refined(values, [60, 60, 60], [15, 15, 0], known).domain
    assert isinstance(found, Categorical)
    assert found.values == (expected if expected is not None else (9.0, 0.5))


def test_the_best_trials_choice_stays() -> None:
    domain = Categorical(("a", "b", "c"))
    counts = CellCounts(np.ones(3) / 3, np.array([[60, 60, 60]]), np.array([[15, 15, 1]]))
    found = refined_choices(ChoiceView(Parameter("x", domain), domain, counts, "c", None))
    assert isinstance(found.domain, Categorical) and "c" in found.domain.values
