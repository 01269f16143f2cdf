"""Sweep files with something changed in them at random: their text, what stands at a key, or an override."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable
from typing import Any

ODD_TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "\udfff.csv",
    "~nosuchuser/x",
    "x" * 300,
    "名" * 90,
    "/",
    "..",
    "a//b",
    "²",
    "1e5",
    "-",
    "\x1b[31m",
    "NaN",
    "true",
    "null",
    "a:b",
    "a.py:",
    ":",
    "/root/x/y.py",
    "${program}",
    "é",
    "\n",
    "a\nb",
    "%s",
    "{}",
    "x" * 70_000,
]
ODD_NUMBERS = [
    0,
    -1,
    1,
    2,
    0.5,
    -0.5,
    1e-5,
    1e308,
    -1.7e308,
    9e307,
    -9e307,
    5e-324,
    1e150,
    1e-160,
    1e12,
    2**31,
    2**53,
    2**53 + 1,
    2**63,
    10**400,
    -(10**400),
    16**5000,
    float("inf"),
    float("-inf"),
    float("nan"),
    1_000_000_000,
    0.1,
    1e-9,
    1e-13,
]
ODD_SHAPES: list[Callable[[], Any]] = [
    dict,
    list,
    lambda: [[]],
    lambda: {"": 1},
    lambda: {"a": {}},
    lambda: [None],
    lambda: [True, 1, 1.0, "true"],
    lambda: list(range(3_000)),
    lambda: [[1, 2]] * 3,
    lambda: {"min": 0, "max": 9},
    lambda: {"<": 9},
    lambda: {"in": [1, [2], {}]},
    lambda: {"min": 0.0, "max": 1e308, "q": 1e-5},
    lambda: {"min": 16, "max": 20, "q": 0.5},
    lambda: {"values": [1, {}, []]},
    lambda: {"min": 1, "max": 10**9},
    lambda: {"parameters": {"x": {"value": 1}}},
    lambda: {"not_in": []},
    lambda: {"!=": None},
    lambda: {"min": 0, "max": 1, "q": 1e-9},
    lambda: nested(40),
    lambda: nested(150),
    lambda: {"distribution": {}},
]
WORDS = [
    "min",
    "max",
    "q",
    "values",
    "value",
    "distribution",
    "when",
    "parameters",
    "forbid",
    "baselines",
    "probabilities",
    "type",
    "method",
    "budget",
    "epochs",
    "trials",
    "data",
    "csv",
    "program",
    "command",
    "objective",
    "name",
    "engine",
    "seed",
    "<",
    "in",
    "grid",
    "random",
    "uniform",
    "int_uniform",
    "q_uniform",
    "log_uniform_values",
    "q_log_uniform_values",
    "log_uniform",
    "normal",
    "asha",
    "hyperband",
    "ray",
    "auto",
    "adam",
    "sgd",
    "learning_rate",
    "optimizer",
    "batch_size",
    "momentum",
    "val_accuracy",
]


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def odd(rng: random.Random) -> Any:
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(ODD_TEXTS)
    if kind == 1:
        return rng.choice([None, True, False])
    return rng.choice(ODD_SHAPES)() if kind == 2 else rng.choice(ODD_NUMBERS) if kind == 3 else rng.choice(WORDS)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a tree."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], dict | list):
                waiting.append(container[key])
    return found


def mild(tree: Any, rng: random.Random) -> None:
    """Change a number a little, or add a parameter or a forbidden clause."""
    numbers = [(c, k) for c, k in _places(tree) if isinstance(c[k], int | float) and not isinstance(c[k], bool)]
    parameters = tree.get("parameters") if isinstance(tree, dict) else None
    if isinstance(parameters, dict) and rng.random() < 0.5:
        names = list(parameters)
        low = rng.choice([0, 1, -3, 0.5, 1e-3])
        domain = rng.choice([{"min": low, "max": low + rng.choice([1, 2, 30])}, {"values": [low, "a", True, [1]]}])
        if names and rng.random() < 0.5:
            domain["when"] = {rng.choice(names): rng.choice([{">": low}, {"!=": low}, [1, "sgd"], {"not_in": [2, 3]}])}
        if rng.random() < 0.6:
            parameters[f"new{rng.randrange(3)}"] = domain
        elif names:
            clause = {rng.choice(names): rng.choice([{">": low}, {"<=": low}, {"!=": 1}]) for _ in range(2)}
            tree.setdefault("forbid", []).append(clause) if isinstance(tree.get("forbid", []), list) else None
    elif numbers:
        container, key = rng.choice(numbers)
        container[key] += rng.choice([1, 2, -1, 100])


def mutated_tree(tree: Any, rng: random.Random) -> Any:
    """Return a copy in which one to three things are other than they were."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 2, 3])):
        places = _places(tree)
        if not places:
            return tree
        container, key = rng.choice(places)
        if rng.random() < 0.4:  # where the file is mostly as sound as before
            mild(tree, rng)
            continue
        change = rng.randrange(6)
        if change == 0:
            container[key] = odd(rng)
        elif change == 1:
            del container[key]
        elif change == 2 and isinstance(container, dict):
            container[rng.choice([*WORDS, *ODD_TEXTS])] = container.pop(key)
        elif change == 3 and isinstance(container, dict):
            container[rng.choice(WORDS)] = odd(rng)
        elif change == 4 and isinstance(container[key], int | float):
            container[key] = rng.choice([-container[key], container[key] * 1000, container[key] // 3])
        else:
            other, at = rng.choice(places)
            container[key] = copy.deepcopy(other[at])
    return tree


def mutated_text(text: str, rng: random.Random) -> str:
    """Return a text with some of its letters or lines cut out, doubled or replaced."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(text) + 1)
        stop = min(len(text), start + rng.choice([0, 1, 2, 5, 40]))
        middle = rng.choice(
            ["", text[start:stop] * 2, *"{}[]:,-#&*!|>'\"%@`\t\n", "<<: *a", "&a ", "*a", "- ", ": ", "\\", "?"]
        )
        text = text[:start] + middle + text[stop:]
    return text


def written(value: Any, top: bool = True) -> str:
    """Return a tree as YAML, a line for each key at the top, with escapes for what YAML does not allow as it is."""
    if isinstance(value, dict) and value:
        pairs = [f"{json.dumps(key)}: {written(entry, top=False)}" for key, entry in value.items()]
        return "\n".join(pairs) + "\n" if top else f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(written(entry, top=False) for entry in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[str(value)]
    if isinstance(value, int) and abs(value) > 10**4000:
        return hex(value)
    return json.dumps(value)
