"""Which hyperparameters a function has read."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from hpo.events import (
    Finished,
)
from hpo.objective.function import TrackedParams, Trial

from .function_support import ending

READERS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "[]": (lambda params: params["a"], {"a"}),
    "get": (lambda params: (params.get("a"), params.get("zz")), {"a"}),
    "pop": (lambda params: (params.pop("a"), params.pop("zz", 1)), {"a"}),
    "setdefault": (lambda params: params.setdefault("a", 5), {"a"}),
    "nothing": (lambda params: None, set()),
    "in": (lambda params: "a" in params, {"a"}),  # what follows from it may be an effect
    "len": (lambda params: len(params), set()),
    "keys": (lambda params: sorted(params.keys()), {"a", "b", "c"}),  # as `**` begins
    "**": (lambda params: (lambda **named: named)(**params), {"a", "b", "c"}),
    "{**}": (lambda params: {**params}, {"a", "b", "c"}),
    "dict": (lambda params: dict(params), {"a", "b", "c"}),
    "|": (lambda params: params | {"d": 4}, {"a", "b", "c"}),
    "copy": (lambda params: params.copy(), {"a", "b", "c"}),
    "deepcopy": (copy.deepcopy, {"a", "b", "c"}),
    "pickle": (lambda params: pickle.loads(pickle.dumps(params)), {"a", "b", "c"}),
    "items": (lambda params: list(params.items()), {"a", "b", "c"}),
    "values": (lambda params: list(params.values()), {"a", "b", "c"}),
    "for": (lambda params: [params[name] for name in params], {"a", "b", "c"}),
    "update": (lambda params: {}.update(params), {"a", "b", "c"}),
    "json": (json.dumps, {"a", "b", "c"}),
    "json, sorted": (lambda params: json.dumps(params, sort_keys=True, indent=1), {"a", "b", "c"}),
    "match": (lambda params: _match(params), {"a"}),
}


def _match(params: Any) -> Any:
    match params:
        case {"a": value}:
            return value


@pytest.mark.parametrize("reader", READERS)
def test_parameters_that_nobody_read(reader: str) -> None:
    read, names = READERS[reader]

    def objective(trial: Trial) -> float:
        found = read(trial.params)
        if reader in ("{**}", "dict", "copy", "deepcopy", "pickle"):
            assert found == {"a": 1, "b": 2, "c": 3}
        if reader.startswith("json"):
            assert json.loads(found) == {"a": 1, "b": 2, "c": 3}
        return 1.0

    unread = sorted({"a", "b", "c"} - names)
    assert ending(objective, a=1, b=2, c=3) == Finished(7, 1.0, {"unread": unread} if unread else {})


def test_the_seed_need_not_be_read() -> None:
    assert ending(lambda trial: 1.0, seed=3) == Finished(7, 1.0, {})


def test_tracked_params_are_a_dict() -> None:
    params = TrackedParams({"a": 1})
    assert isinstance(params, dict)
    params["b"] = 2
    assert params.read == set()
    assert params == {"a": 1, "b": 2}
    assert params.read == {"a", "b"}
    with pytest.raises(KeyError):
        params["c"]
