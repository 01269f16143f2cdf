"""No key is ignored in silence: each changes what both records have of the sweep, and is in the docs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo.spec.grammar import SERVICE_KEYS, SERVICE_KEYS_OF_METRIC
from hpo.spec.schema import json_schema
from hpo.spec.sweep import Sweep

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("sweep-files.md", "your-table.md", "your-code.md", "your-script.md")
SCHEMA = json_schema()
# `repeats` (tests/spec/test_rules.py), `keep` (tests/e2e/test_kept_models.py) and `health` (tests/e2e/test_health.py)
# have tests of their own, as have `parameters` and `stack` (tests/e2e/test_replay.py).
OF_TASKS = ("repeats", "keep", "health")
# What can't be told from a key's type.
VALUES: dict[str, Any] = {
    "objective": "other",
    "program": "train.py",
    "command": ["python", "${program}"],
    "data": {"csv": "a.csv"},
    "forbid": [{"x": 1}],
    "baselines": [{"x": 2}],
    "engine.address": "host:6399",
    "engine.resources": {"a100": 1},
    "engine.files": ["a.csv"],
    "metric.goal": "minimize",
    "engine.cohort": "off",
    "references": "off",
    "report.regex": "acc=(?P<acc>.*)",
}
NEEDED = {"program": {"objective": None}, "command": {"objective": None, "program": "train.py"}}
NEEDED |= {f"report.{key}": {"objective": None, "program": "train.py"} for key in ("regex", "csv", "tensorboard")}
BASE = {"metric": {"name": "score", "goal": "maximize"}, "parameters": {"x": {"values": [1, 2, 3]}}}
ELSEWHERE = {  # what a Sweep has of a key that its definition in the records does not name
    "description": lambda sweep: sweep.description,  # the study's attribute `origin`
}


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    return SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def sections(part: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sections that a part of the schema may be."""
    part = resolved(part)
    choices = [section for choice in part.get("anyOf", part.get("oneOf", [])) for section in sections(choice)]
    return [part] if "properties" in part else choices


def keys() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield each key's path, its part of the schema, and what must stand beside it."""
    for name, part in SCHEMA["properties"].items():
        if name in (*SERVICE_KEYS, "parameters", "stack", *OF_TASKS):
            continue
        found = sections(part)
        if not found:
            yield name, part, {}
        for section in found:
            kind = section["properties"].get("type", {}).get("const")
            for key, inner in section["properties"].items():
                if name == "metric" and key in SERVICE_KEYS_OF_METRIC:
                    continue
                yield f"{name}.{key}", inner, {"type": kind} if kind else {}


def value_of(path: str, part: dict[str, Any]) -> Any:
    """Return a value that is not the default."""
    if path in VALUES:
        return VALUES[path]
    part = resolved(part)
    if "const" in part:
        return part["const"]
    if "anyOf" in part:  # the last one that says something: numbers come after words
        return value_of(path, [choice for choice in part["anyOf"] if choice.get("type") != "null"][-1])
    if "enum" in part:
        return next(word for word in part["enum"] if word != part.get("default"))
    return {"integer": 7, "number": 7.0, "boolean": True, "string": "words"}[part["type"]]


KEYS = list(keys())


@pytest.mark.parametrize(("path", "part", "beside"), KEYS, ids=[f"{path}-{beside}" for path, _, beside in KEYS])
def test_it_has_an_effect(load: Callable[..., Sweep], path: str, part: dict[str, Any], beside: dict[str, Any]) -> None:
    name, _, key = path.partition(".")
    without = {**BASE, "objective": "thing", **NEEDED.get(path, {})}
    if name in ("engine", "early_terminate") and key != "type":
        without[name] = beside
    value = value_of(path, part)
    given = {**without, name: {**without.get(name, {}), **beside, key: value} if key else value}
    text, plain = (json.dumps({k: v for k, v in keys.items() if v is not None}) for keys in (given, without))
    sweeps = [sweep_of(load, data) for data in (text, plain)]
    is_default = path in ("engine.type", "early_terminate.type") and value in ("local", "none")
    seen = ELSEWHERE.get(path, Sweep.config)
    assert (seen(sweeps[0]) == seen(sweeps[1])) is is_default, (path, value)


def sweep_of(load: Callable[..., Sweep], data: str) -> Sweep:
    return load("\n".join(f"{key}: {json.dumps(value)}" for key, value in json.loads(data).items()))


@pytest.mark.parametrize("path", sorted({path for path, _, _ in KEYS}))
def test_it_is_in_the_docs(path: str) -> None:
    word = path.rpartition(".")[2]
    texts = [(DOCS / page).read_text(encoding="utf-8") for page in PAGES]
    assert any(re.search(rf"\b{word}\b", text) for text in texts), f"none of {PAGES} names {path}"


@pytest.mark.parametrize("key", sorted({path.partition(".")[0] for path, _, _ in KEYS}))
def test_the_page_on_sweep_files_names_each_section(key: str) -> None:
    """With its meaning, or with the page that has it."""
    assert re.search(rf"^{key}:|`{key}`", (DOCS / PAGES[0]).read_text(encoding="utf-8"), re.MULTILINE)
