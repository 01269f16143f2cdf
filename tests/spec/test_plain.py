"""What of Python, NumPy and Torch is a plain value, and what is refused."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.spec.contract import Known
from hpo.spec.faults import Fault
from hpo.spec.plain import plain
from hpo.spec.source import parse_source
from hpo.spec.yaml_text import dump_source


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    ONE = "one"


class Level(enum.IntEnum):
    LOW = 1


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("no")


HOLDS_ITSELF: list[Any] = []
HOLDS_ITSELF.append(HOLDS_ITSELF)

TAKEN: tuple[tuple[Any, Any], ...] = (
    (np.int64(3), 3), (np.uint8(255), 255), (np.bool_(True), True), (np.str_("é"), "é"), (np.float64(0.1), 0.1),
    (np.float32(0.1), float(np.float32(0.1))), (np.float16(2), 2.0), (np.array(7), 7), (np.array("t"), "t"),
    (np.ma.array(5, mask=False), 5), (torch.tensor(3), 3), (torch.tensor(True), True), (torch.tensor(0.5), 0.5),
    (torch.tensor(1.0, requires_grad=True), 1.0), (torch.tensor(2, dtype=torch.int8), 2), ((64, (32,)), [64, [32]]),
    ({"a": np.int32(1), np.str_("b"): (np.True_,)}, {"a": 1, "b": [True]}), ([np.int64(2**62)], [2**62]),
    (None, None), (10**30, 10**30), ({}, {}), ([], []),
)  # fmt: skip
REFUSED: tuple[tuple[Any, str], ...] = (
    (np.array([64, 32]), "tolist"), (np.array([3]), "tolist"), (torch.zeros(2), "tolist"), (torch.ones(1), "tolist"),
    (np.ma.masked, ""), (np.ma.array(5, mask=True), ""), (np.datetime64("2026-01-01"), ""), (np.bytes_(b"a"), ""),
    (np.complex64(1), ""), (1j, ""), (Path("a/b"), "str(path)"), (Colour.RED, "Colour.RED.value"),
    (Word.ONE, "Word.ONE.value"), (Level.LOW, "Level.LOW.value"), (decimal.Decimal("0.1"), "float(...)"),
    (fractions.Fraction(1, 3), "float(...)"), (datetime.date(2026, 1, 1), "isoformat"), (b"a", ""), ({1, 2}, "a list"),
    (range(3), "a list"), (object(), "name it by text"), (Shy(), "name it by text"), (torch.float32, ""),
    (torch.relu, ""),
    (torch.empty((), device="meta"), ""), ({1: 2}, "write '1'"), ({Word.ONE: 2}, ""), (HOLDS_ITSELF, ""),
    (lambda: 1, ""),
)  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), TAKEN, ids=repr)
def test_taken(value: Any, expected: Any) -> None:
    for whole, its in ((value, expected), ([value], [expected]), ({"k": value}, {"k": expected})):
        faults: list[Fault] = []
        found = plain(whole, (), faults)
        assert (faults, repr(found)) == ([], repr(its))
        json.dumps(found)
    assert parse_source(dump_source({"x": found}), "f").data == {"x": found}


@pytest.mark.parametrize(("value", "remedy"), REFUSED, ids=lambda value: type(value).__name__)
def test_refused(value: Any, remedy: str) -> None:
    faults: list[Fault] = []
    plain({"a": [1, value]}, ("parameters",), faults)
    [fault] = faults
    assert fault.path[:3] == ("parameters", "a", 1) or fault.message.endswith("nor hold itself")
    assert fault.message and remedy in fault.remedy


def test_all_are_named_with_their_places() -> None:
    faults: list[Fault] = []
    plain({"a": [1, b"x"], "b": {"c": Path("p")}}, ("keys",), faults)
    assert [fault.path for fault in faults] == [("keys", "a", 1), ("keys", "b", "c")]
    assert faults[0].message.endswith("but got b'x'")


def test_defaults_of_a_contract_are_plain() -> None:
    known = Known("float", np.float32(0.5), default_where={"optimizer": {"sgd": torch.tensor(0.25)}})
    assert repr(known.default) == "0.5" and repr(known.default_beside({"optimizer": "sgd"})) == "0.25"
    with pytest.raises(TypeError, match=r"a default must be a number, .*but got array\(\[1, 2\]\) \(write its tolist"):
        Known("layers", np.array([1, 2]))
