"""Public W&B sweep files load as they stand."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from hpo.spec.census import size_of
from hpo.spec.load import Inspection, Named, load_sweep
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
    service = data.keys() & {"project", "entity", "controller", "job", "image_uri"}
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
