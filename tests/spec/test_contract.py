"""What a contract says of values."""

from __future__ import annotations

import pytest

from hpo.spec.contract import Interval, Known


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5], [1, -0.1]),
        ("(0, inf)", [1e-9, 1e9], [0, -1]),
        ("(-inf, inf)", [-1e9, 0], [float("nan")]),
        ("[1, 1]", [1], [0, 2]),
    ],
)
def test_intervals(text: str, inside: list[float], outside: list[float]) -> None:
    assert all(number in Interval(text) for number in inside)
    assert not any(number in Interval(text) for number in outside)


def test_an_interval_that_is_none() -> None:
    with pytest.raises(ValueError, match="is written like"):
        assert 1 in Interval("0 to 1")


def test_null_is_a_value_only_where_it_means_off() -> None:
    assert Known("float", None, nullable=True).objection(None) == ""
    assert Known("float", 1.0).objection(None) == "must be a number in (-inf, inf), but got None"
