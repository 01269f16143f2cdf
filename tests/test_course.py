"""The course's studies: each file has no fault, says how many trials its grid has, and makes models that train."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from test_objectives import inspect, task

from hpo.spec.census import size_of
from hpo.spec.load import load_sweep
from hpo.spec.shipped import find_sweep_file
from hpo.training.contract import contract_of, with_defaults

ROOT = Path(__file__).parents[1]
FILES = sorted(path.stem for path in (ROOT / "search_spaces" / "course").glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_a_study(name: str) -> None:
    sweep = load_sweep(find_sweep_file(f"course/{name}"), inspect)
    assert sweep.name == name and sweep.objective is not None
    if sweep.method == "grid":
        assert sweep.budget.trials == size_of(sweep.space)
    subject = task(sweep.objective.removeprefix("objectives."))
    contract, shape = contract_of(subject), torch.Size([3, 32, 32] if "cifar10" in name else [4, 20])
    shape = shape if subject.kind != "regression" or "cell" in str(sweep.space.searched()) else torch.Size([20])
    for _ in range(5):
        params = with_defaults(contract, sweep.space.draw(random.Random(0)))
        assert subject.model(params, shape, 10 if subject.kind == "multiclass" else 1) is not None


def test_the_page_names_each_study() -> None:
    page = (ROOT / "docs" / "course.md").read_text()
    pairs = {f"activation_loss_pairs_{kind}": f"..._{kind}" for kind in ("multiclass", "regression")}
    assert [name for name in FILES if f"`{pairs.get(name, name)}`" not in page] == []
