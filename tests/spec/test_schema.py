"""The JSON schema, read by the library that reads it for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

import search_spaces
from hpo.spec.schema import json_schema
from hpo.spec.source import read_source

SHIPPED = sorted(Path(next(iter(search_spaces.__path__))).glob("*.yaml"))
BASE: dict[str, Any] = {"objective": "m", "metric": {"name": "x"}, "parameters": {"a": {"values": [1, 2]}}}
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_fit(path: Path) -> None:
    data = read_source(path).data
    VALIDATOR.validate(data)
    for key in data:  # and it looks at every key
        assert not VALIDATOR.is_valid({**{k: v for k, v in data.items() if k != key}, f"{key}x": data[key]})


def test_the_files_that_ship() -> None:
    assert [path.stem for path in SHIPPED] == ["binary", "cifar10", "multiclass", "regression", "sequence", "table"]


@pytest.mark.parametrize(
    "keys",
    [
        {"early_terminate": "asha"},
        {"early_terminate": {"type": "asha"}},
        {"early_terminate": {"type": "hyperband", "s": 2, "max_iter": 27}},
        {"early_terminate": None},
        {"engine": {}},
        {"engine": {"workers": 2}},
        {"engine": {"type": "local", "cohort": False}},
        {"engine": {"type": "ray", "gpus_per_worker": 0.25}},
        {"confirm": None},
        {"project": "p", "entity": "e"},
        {"method": "bayes"},
        {"parameters": {"g": {"when": {"x": 1}, "parameters": {"a": {"min": 1, "max": 2.5}}}}},
        {"parameters": {"a": {"value": None}}},
    ],
)
def test_accepted(keys: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors({**BASE, **keys})] == []


@pytest.mark.parametrize(
    "keys",
    [
        {"methd": "tpe"},
        {"method": "bayse"},
        {"early_terminate": "ahsa"},
        {"early_terminate": {"type": "ahsa"}},
        {"early_terminate": {"type": "asha", "mn_iter": 1}},
        {"early_terminate": {"min_iter": 1}},
        {"engine": {"wrkers": 1}},
        {"engine": {"type": "loacl"}},
        {"budget": {"trails": 3}},
        {"budget": {"trials": 0}},
        {"metric": {"name": "x", "goal": "max"}},
        {"metric": {}},
        {"parameters": {"a": {"valeus": [1]}}},
        {"parameters": {"g": {"parameters": {"a": {"valeus": [1]}}}}},
        {"parameters": {"a": {"min": "1"}}},
        {"parameters": {"a": {"distribution": "unifrom"}}},
        {"parameters": {"a": 3}},
        {"forbid": {"a": 1}},
        {"confirm": {"seeds": 1}},
        {"name": "a/b"},
    ],
)
def test_typos_fail(keys: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**BASE, **keys})


def test_required() -> None:
    assert not VALIDATOR.is_valid({name: value for name, value in BASE.items() if name != "metric"})
    # a function may ask for its own
    assert VALIDATOR.is_valid({name: value for name, value in BASE.items() if name != "parameters"})
