"""What a function returns: its value, what is none, and the numbers beside it."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hpo.events import (
    Diverged,
    Finished,
)
from hpo.objective.function import Trial

from .function_support import ending, failure, run


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (np.float64(0.25), 0.25),
        (np.array([0.25]), 0.25),
        (np.array(0.25), 0.25),
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5], requires_grad=True), 0.5),
        ({"score": 0.5, "other": 1}, 0.5),
        (Decimal("0.125"), 0.125),
        (Fraction(1, 8), 0.125),
        (np.uint8(3), 3.0),
        (np.ma.array([0.5], mask=[False]), 0.5),
        (np.array(Decimal("0.5"), dtype=object), 0.5),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    ],
)
def test_returned_values(returned: Any, value: float) -> None:
    event = ending(lambda trial: returned)
    assert event == Finished(7, value, {})
    assert isinstance(event, Finished) and type(event.value) is float


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (None, "ValueError: the objective returned None and reported nothing: return or report 'score'"),
        ("0.5", "TypeError: what the objective returns must be a number, but got '0.5'"),
        (True, "TypeError: what the objective returns must be a number, but got True"),
        ([0.5], "TypeError: what the objective returns must be a number, but got [0.5]"),
        ((0.5, 1), "TypeError: what the objective returns must be a number"),
        (np.bool_(True), "TypeError: what the objective returns must be a number, but got "),
        (np.array([True]), "TypeError: what the objective returns must be a number, but got array"),
        (torch.tensor(False), "TypeError: what the objective returns must be a number, but got tensor(False)"),
        (np.ma.masked, "TypeError: what the objective returns must be a number, but got masked"),
        (np.ma.array([0.5], mask=[True]), "TypeError: what the objective returns must be a number"),
        (np.str_("0.5"), "TypeError: what the objective returns must be a number, but got "),
        (np.array("0.5"), "TypeError: what the objective returns must be a number, but got array"),
        (b"0.5", "TypeError: what the objective returns must be a number, but got b'0.5'"),
        (bytearray(b"1"), "TypeError: what the objective returns must be a number"),
        (np.complex64(1), "TypeError: what the objective returns must be a number"),
        (torch.tensor(1j), "TypeError: what the objective returns must be a number"),
        (np.timedelta64(5, "ns"), "TypeError: what the objective returns must be a number"),
        (np.datetime64("2026-01-01", "ns"), "TypeError: what the objective returns must be a number"),
        (Decimal("sNaN"), "TypeError: what the objective returns must be a number, but got Decimal('sNaN')"),
        (1j, "TypeError: what the objective returns must be a number, but got 1j"),
        (np.zeros(2), "TypeError: what the objective returns must be a number, but got array([0., 0.])"),
        (torch.zeros(2), "TypeError: what the objective returns must be a number, but got tensor([0., 0.])"),
        ({"other": 1, "acc": 2}, "ValueError: the objective returned ['acc', 'other'], without the metric 'score'"),
        ({"score": "high"}, "TypeError: what the objective returns must be a number, but got 'high'"),
        ({}, "ValueError: the objective returned [], without the metric 'score'"),
    ],
)
def test_what_is_no_value(returned: Any, error: str) -> None:
    assert failure(lambda trial: returned).startswith(error)


def test_none_without_the_metric_says_what_was_reported() -> None:
    def objective(trial: Trial) -> None:
        trial.report(1, acc=0.5, loss=1)

    assert failure(objective) == (
        "ValueError: the objective returned None and reported only acc, loss: return or report 'score'"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_diverged(value: float) -> None:
    assert ending(lambda trial: value) == Diverged(7, 0)
    assert ending(lambda trial: {"score": np.float32(value)}) == Diverged(7, 0)

    def after_reports(trial: Trial) -> float:
        trial.report(4, score=1)
        return value

    assert ending(after_reports) == Diverged(7, 4)


@pytest.mark.parametrize("value", [10**400, -(10**4000), Decimal("1e400"), Fraction(-(10**400), 3)])
def test_a_number_beyond_any_float_is_not_finite(value: Any) -> None:
    """As one that a program prints."""
    assert ending(lambda trial: value) == Diverged(7, 0)


def test_a_value_that_cannot_be_shown() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    said = "TypeError: what the objective returns must be a number, but got a Mute that can't be shown"
    assert failure(lambda trial: Mute()) == said


def test_numbers_beside_the_value_are_metrics() -> None:
    def objective(trial: Trial) -> dict[str, Any]:
        trial.report(2, score=0.1, loss=1.0)
        return {"score": 0.5, "loss": np.float64(0.25), "size": 7, "nan": math.nan}

    channel = run(objective)
    assert channel.end == Finished(7, 0.5, {})
    assert channel.reports == [(2, {"score": 0.1, "loss": 1.0}), (2, {"loss": 0.25, "size": 7.0})]
    assert run(lambda trial: {"score": 1, "rows": 3}).reports == [(0, {"rows": 3.0})]


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("note", "good", "'note' of what the objective returned is left out: note must be a number, but got 'good'"),
        ("a//b", 1, "'a//b' of what the objective returned is left out: a name must not"),
        (3, 1, "3 of what the objective returned is left out: a metric's name must be text"),
        ("acc@1", 1, "'acc@1' of what the objective returned is left out: 'acc_1' and 'acc@1' would be one name"),
    ],
)
def test_what_is_no_metric_beside_the_value_is_told(name: Any, entry: Any, words: str) -> None:
    end = ending(lambda trial: {"score": 1, "acc_1": 1, name: entry})
    assert isinstance(end, Finished) and end.value == 1
    assert end.info["notes"]["returned"].startswith(words)
