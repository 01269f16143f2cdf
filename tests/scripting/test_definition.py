"""What `hpo.run` takes for a sweep: files, mappings, keywords and what is set over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo
from hpo.scripting.definition import Given, define
from hpo.spec.sweep import Sweep

PARAMETERS = {"x": {"min": 0.0, "max": 1.0}}
FILE = """\
name: small
objective: math:sqrt
metric: {name: score, goal: maximize}
budget: {trials: 5, seconds: 60}
parameters:
  x: {min: 0.0, max: 1.0}
"""


def objective(trial: Any) -> float:
    return float(trial.params["x"])


def defined(sweep: Any = None, overrides: Any = (), settings: Any = (), **keys: Any) -> Sweep:
    return define(Given(sweep, keys, overrides, settings))


def refused(*arguments: Any, **keys: Any) -> list[str]:
    with pytest.raises(hpo.UserError) as caught:
        defined(*arguments, **keys)
    return str(caught.value).splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(FILE)
    return path


def test_a_file_with_keys_over_it(file: Path) -> None:
    sweep = defined(str(file), {"budget.seconds": 5}, [("trials", "budget.trials", 7)], seed=3, metric="loss")
    assert (sweep.name, sweep.budget.trials, sweep.budget.seconds, sweep.seed) == ("small", 7, 5.0, 3)
    assert (sweep.metric.name, sweep.metric.goal) == ("loss", "minimize")  # the whole key is replaced
    assert sweep.source == file and sweep.text == FILE
    assert defined(file, ["budget.seconds=1e1"]).budget.seconds == 10.0


def test_a_shipped_file() -> None:
    assert defined("binary").name == "binary"


def test_a_mapping_and_keywords_are_the_same() -> None:
    keys = {"objective": objective, "parameters": PARAMETERS, "metric": "loss", "budget": {"trials": 3}}
    by_mapping, by_keywords = defined(keys), defined(**keys)
    assert by_mapping.identity() == by_keywords.identity() and by_mapping.name == by_keywords.name == "objective"
    assert by_mapping.objective == f"{__name__}:objective"
    assert "parameters:" in by_mapping.text and "x: {min: 0.0, max: 1.0}" in by_mapping.text
    assert keys["budget"] == {"trials": 3} and "name" not in keys  # the caller's own


def test_values_of_numpy_and_paths(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"parameters": {"x": {"min": np.float64(0), "max": np.int64(1)}}, "metric": "loss"}
    sweep = defined(**keys, objective=objective, data={"table": tmp_path / "a.csv"}, budget={"trials": np.int64(2)})
    assert sweep.data == {"table": str(tmp_path / "a.csv")} and sweep.budget.trials == 2
    assert refused(**keys, objective=objective, data={"rows": np.zeros(2)}) == [
        "hpo.run(data=...): data.rows: must be a number, text, true, false or null, or a list or a mapping of them, "
        "but got array([0., 0.]) (write its tolist())"
    ]


def test_all_faults_at_once_each_with_its_keyword() -> None:
    lines = refused(
        None, {"budget.trails": 5}, [("trials", "budget.trials", 0)],
        objective=objective, parameters={"x": {"min": 2.0, "max": 1.0}}, metric="loss", methd="tpe",
    )  # fmt: skip
    assert sorted(line.partition(": ")[0] for line in lines) == [
        "hpo.run(methd=...)", "hpo.run(overrides=...)", "hpo.run(parameters=...)", "hpo.run(trials=...)",
    ]  # fmt: skip
    assert any("did you mean 'method'?" in line for line in lines)


def test_a_name_that_is_none_is_none() -> None:
    keys = {"parameters": PARAMETERS, "metric": "loss", "name": None}
    assert defined({"objective": objective, **keys}).name == "objective"
    assert any('add name="..."' in line for line in refused({"objective": "math:sqrt", **keys}))


def test_a_value_that_is_no_section_is_not_replaced_in_silence() -> None:
    assert refused({"objective": objective, "parameters": PARAMETERS, "metric": "loss", "budget": 7},
                   settings=[("trials", "budget.trials", 2)]) == [
        "hpo.run(trials=...): budget: 'trials' leads nowhere in what stands there",
        "hpo.run: budget: must be a mapping, but got 7",
    ]  # fmt: skip


def test_a_file_with_a_faulty_key_over_it(file: Path) -> None:
    assert refused(file, budget={"trials": -1})[0].startswith("hpo.run(budget=...): budget.trials: ")
    assert refused(file, overrides=["budget.trials=-1"])[0].startswith("-o budget.trials=-1: budget.trials: ")
    file.write_text(FILE.replace("seconds: 60", "seconds: -1"))
    assert refused(file, seed=1)[0].startswith(f"{file}:4: budget.seconds: ")


@pytest.mark.parametrize(
    ("arguments", "keys", "words"),
    [
        ((), {}, ["the key 'metric' is missing", "the key 'parameters' is missing", 'add name="..."']),
        ((3,), {}, ["takes a sweep file or a mapping of its keys, but got 3"]),
        ((objective,), {}, ["give it as objective=..."]),
        (("none.yaml",), {}, ["none.yaml: there is no such file (shipped: binary"]),
        ((None, "budget.trials=5"), {}, ["overrides is a mapping, or a list of texts"]),
        ((None, 5), {}, ["overrides is a mapping, or a list of texts", "but got 5"]),
        ((None, None), {}, ["but got None"]),
        ((), {"objective": lambda trial: 1.0, "parameters": PARAMETERS, "metric": "m"}, ["the study has no name"]),
        ((), {"objective": "math:sqrt", "parameters": PARAMETERS, "metric": "m"}, ["the study has no name"]),
        (
            (),
            {"objective": lambda: 1.0, "name": "n", "parameters": PARAMETERS, "metric": "m"},
            ["must take one argument"],
        ),
    ],
)
def test_what_is_refused(arguments: tuple[Any, ...], keys: dict[str, Any], words: list[str]) -> None:
    said = "\n".join(refused(*arguments, **keys))
    assert all(word in said for word in words), said
    assert ":1:" not in said  # there is no line
