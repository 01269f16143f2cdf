"""Public W&B sweep files load as they stand."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from hpo.spec.census import size_of
from hpo.spec.faults import SpecError
from hpo.spec.grammar import SERVICE_KEYS, SERVICE_KEYS_OF_METRIC
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection, Named
from hpo.spec.names import COMPLETED
from hpo.spec.schema import json_schema
from hpo.spec.source import read_source
from hpo.spec.space import Categorical, Constant, Range
from hpo.spec.sweep import Sweep

FOLDER = Path(__file__).parent / "wandb"
NAMED: list[Named] = []


def load(name: str) -> Sweep:
    NAMED.clear()

    def inspect(named: Named) -> Inspection:
        NAMED.append(named)
        return Inspection()

    return load_sweep(FOLDER / f"{name}.yaml", inspect)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_they_fit_the_schema_and_every_service_key_is_noted(path: Path) -> None:
    data = read_source(path).data
    jsonschema.validate(data, json_schema())
    notes = load(path.stem).notes
    service = {*(data.keys() & set(SERVICE_KEYS))}
    service |= {f"metric.{key}" for key in SERVICE_KEYS_OF_METRIC if key in data.get("metric", {})}
    assert {note.split("'")[1] for note in notes if "W&B's service" in note} == service


def test_bayes_with_hyperband_and_a_command() -> None:
    sweep = load("bayes_hyperband")
    assert (sweep.method, sweep.budget.trials, sweep.program) == ("tpe", 40, "train.py")
    assert sweep.command == ("${env}", "${interpreter}", "${program}", "${args}") == NAMED[0].command
    assert sweep.early_terminate.rungs(27) == [3, 9]  # type: ignore[attr-defined]
    assert sweep.space["learning_rate"].domain == Range(1e-4, 1e-1, log=True)
    assert NAMED[0].parameters == ("learning_rate", "batch_size", "optimizer")
    assert sweep.notes == ()


def test_random() -> None:
    sweep = load("random")
    domains = {parameter.name: parameter.domain for parameter in sweep.space.parameters}
    assert sweep.name == "sweepdemo"
    assert domains["learning_rate"] == Range(0.0, 0.1)
    assert domains["momentum"] == Range(0.5, 0.95, step=0.05)
    assert domains["batch_size"] == Range(32, 256, log=True, integer=True, step=8)
    assert domains["augment"] == Categorical((True, False), (0.8, 0.2))
    assert isinstance(domains["warmup"], Range) and domains["warmup"].log
    assert domains["warmup"].holds(1e-3) and not domains["warmup"].holds(0.2)


def test_grid_with_nested_parameters() -> None:
    sweep = load("grid_nested")
    names = ["optimizer.name", "optimizer.learning_rate", "model.depth", "model.head.dropout", "seed"]
    assert sweep.space.names() == names
    assert sweep.budget.trials == size_of(sweep.space) == 2 * 2 * 3 * 2
    assert sweep.metric.target == 0.99
    assert sweep.space["model.head.dropout"].domain == Constant(0.1)


def test_the_service_and_strict() -> None:
    sweep = load("controller")
    assert any("early_terminate.strict is W&B's" in note for note in sweep.notes)
    assert sweep.space["x"].domain == Range(1, 32, integer=True)
    assert sweep.space["z"].domain == Constant(7)


def test_a_grid_without_a_metric_runs_and_ranks_nothing() -> None:
    sweep = load("grid_without_metric")
    assert (sweep.metric.name, sweep.metric.goal) == (COMPLETED, "maximize")
    assert sweep.command[1:8] == ("python3", "${program}", "--epochs", "3", "--rate", "0.5", "--verbose")
    assert sweep.space["optimizer"].domain.choices() == ("sgd", "adam")
    assert sweep.budget.trials == 2 * 2
    assert any("the file names no metric" in note for note in sweep.notes)


def test_every_distribution() -> None:
    sweep = load("every_distribution")
    domains = {parameter.name: parameter.domain for parameter in sweep.space.parameters}
    a, c = domains["a"], domains["c"]
    assert isinstance(a, Range) and a.log and a.low == pytest.approx(1e-4) and a.high == pytest.approx(0.1)
    assert domains["b"] == Range(1e-4, 0.1, log=True)
    assert isinstance(c, Range) and c.high == pytest.approx(1.10517)
    assert domains["e"] == Categorical(("x", "y"), (0.25, 0.75))
    assert domains["f"] == Categorical((1, 2), (0.75, 0.25))
    assert domains["g"] == Categorical(("a", "b"), (0.5, 0.5))
    assert sweep.metric.name == "epoch/val_loss" and sweep.metric.goal == "minimize"
    told = {note.split(":")[0]: note for note in sweep.notes}
    assert "min: 0.0001, max: 0.1 is 1.0001 to 1.10517; if they are the values, write distribution" in told["c"]
    assert "steps of q count from min here (7.38906, 8.38906, ...)" in told["d"]
    assert "(write distribution: q_log_uniform_values, min: 7, max: " in told["d"]
    assert "(1, 9, ...)" in told["h"]
    assert "1 is repeated in 'values': it is one choice" in told["f"] and "'a'" not in told["g"]
    assert "i" not in told and "a" not in told


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(-9.2, -2.3, False), (0, 3, False), (2.3, 6.9, False), (0.5, 1, True), (16, 256, True), (1e-6, 1e-2, True)],
)
def test_exponents_that_look_like_values_are_told(tmp_path: Path, low: float, high: float, told: bool) -> None:
    entry = f"{{distribution: log_uniform, min: {low}, max: {high}}}"
    (tmp_path / "a.yaml").write_text(f"program: a.py\nmethod: random\nparameters: {{x: {entry}}}\n")
    sweep = load_sweep(tmp_path / "a.yaml", lambda named: Inspection())
    assert any("exponents of e" in note for note in sweep.notes) is told


@pytest.mark.parametrize(
    "keys",
    ["program: a.py\nmethod: bayes", "program: a.py", "objective: a\nmethod: random",
     "program: a.py\nmethod: random\nearly_terminate: {type: hyperband, min_iter: 3}"],
)  # fmt: skip
def test_a_metric_is_needed_by_who_looks_at_it(tmp_path: Path, keys: str) -> None:
    (tmp_path / "a.yaml").write_text(f"{keys}\nparameters: {{x: {{values: [1, 2]}}}}\n")
    with pytest.raises(SpecError, match="the key 'metric' is missing"):
        load_sweep(tmp_path / "a.yaml", lambda named: Inspection())


def test_a_metric_with_nothing_behind_it_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("program: a.py\nmethod: random\nmetric:\nparameters: {x: {values: [1, 2]}}\n")
    assert load_sweep(tmp_path / "a.yaml", lambda named: Inspection()).metric.name == COMPLETED


def test_values_are_repeated_in_programs_only(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("objective: a\nmetric: {name: loss}\nparameters: {x: {values: [1, 2, 1]}}\n")
    with pytest.raises(SpecError, match="the value 1 is repeated"):
        load_sweep(tmp_path / "a.yaml", lambda named: Inspection())
