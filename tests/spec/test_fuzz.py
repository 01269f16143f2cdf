"""Whatever a sweep file says, it is a Sweep or a list of faults with their lines, within bounds of work."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

import pytest
from grids import grid_of

from hpo.objective.build import inspect
from hpo.review.outline import outline
from hpo.search.distributions import decode_params, searched_params
from hpo.spec.census import census_of
from hpo.spec.faults import Bug, SpecError
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection, Named
from hpo.spec.sweep import Sweep
from hpo.spec.yaml_text import plain

from .mutants import mutated_text, mutated_tree, odd, written
from .toy import TOY

SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
RICH = """
objective: toy
metric: {name: val_accuracy, goal: maximize, target: 0.99}
data: {csv: a.csv, target: b}
early_terminate: {type: hyperband, max_iter: 27, s: 2}
budget: {trials: 20, epochs: 3, seconds: 60}
method: random
parameters:
  optimizer: {values: [sgd, adam, rmsprop], probabilities: [0.5, 0.25, 0.25]}
  learning_rate: {min: 1e-5, max: 1e-1, distribution: log_uniform_values}
  momentum: {min: 0.0, max: 0.9, q: 0.1, when: {optimizer: [sgd, rmsprop]}}
  batch_size: {min: 16, max: 64, q: 16}
  hidden_layers: {values: [[64], [64, 32], 2]}
  epochs: {min: 1, max: 3}
forbid: [{optimizer: sgd, learning_rate: {">": 0.05}}, {batch_size: 64, momentum: {in: [0.1, 0.2]}}]
baselines: [{optimizer: adam, learning_rate: 0.001, batch_size: 32, hidden_layers: [64], epochs: 2}]
engine: {type: local, workers: 2, memory_gb: 4}
"""
RICH_AND_FREE = RICH.replace("objective: toy", "objective: free")
FREE = """
program: train.py
metric: {name: score, goal: minimize}
method: grid
parameters:
  a: {values: [1, 2, true, x, null, [1]]}
  b: {min: 0, max: 4, when: {a: {not_in: [1]}}}
  c: {parameters: {d: {min: 0.0, max: 1.0, q: 0.25}, e: {value: 3}}, when: {b: {">": 1}}}
forbid: [{a: 2, b: 3}, {c.d: {">=": 0.5}, b: [2, 4]}]
"""
MUTANTS = 6000 if os.environ.get("HPO_LONG") else 320


@cache
def known(objective: str) -> Inspection:
    """Return what is known of a shipped objective; of others, that they are toys."""
    return inspect(Named(objective, None, (), {}, "", (), Path())) if objective.startswith("obj") else Inspection(TOY)


def stub(named: Named) -> Inspection:
    if named.program is not None or named.objective == "free":
        return Inspection()
    shipped = named.objective in ("objectives.binary", "objectives.regression")
    return Inspection(known(named.objective or "" if shipped else "toy").contract)


@contextmanager
def no_hang(seconds: int = 60) -> Iterator[None]:
    """Fail where the work has no bound: what takes a second at most here has that many."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError("this takes without end")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mutant(rng: random.Random) -> tuple[str, list[str]]:
    """Return the text of a sweep file, and overrides."""
    text = rng.choice(
        [RICH, RICH.replace("objective: toy", "objective: free"), FREE, *(path.read_text() for path in SPACES)]
    )
    overrides = []
    if rng.random() < 0.2:
        keys = [
            "seed",
            "budget.trials",
            "baselines.0.optimizer",
            "parameters.epochs.max",
            "forbid.0",
            "parameters.x.y.z",
        ]
        value = rng.choice(["1", "²", "[", "{a: *b}", "1e999", "\ud800", written(odd(rng)).strip()])
        overrides = [f"{rng.choice([*keys, 'baselines.²', 'a' * 300, '', '.'])}={value}"]
    if rng.random() < 0.25:
        return mutated_text(text, rng), overrides
    return written(mutated_tree(plain(text)[0], rng)), overrides


def check_sweep(sweep: Sweep, rng: random.Random) -> None:
    """What a sweep says of itself fits together, and can be shown and recorded."""
    outline(sweep)
    json.dumps(sweep.config()).encode()
    space = sweep.space
    for _ in range(3):
        params = space.draw(rng)
        assert all(space[name].domain.holds(value) for name, value in params.items())
        stored, distributions = searched_params(space, params)
        assert stored.keys() == distributions.keys()
        assert all(distributions[name]._contains(distributions[name].to_internal_repr(v)) for name, v in stored.items())
        assert repr(decode_params(space, stored)) == repr(params)
    census = census_of(space)
    counts = [parameter.domain.count() for parameter in space.parameters]
    if census is not None and all(counts) and math.prod(count or 0 for count in counts) <= 1000:
        assert census.size == len(grid_of(space))
        assert list(census.grid()) == grid_of(space)


def judged(text: str, path: Path, overrides: list[str], real: bool, rng: random.Random) -> str:
    """Return "sound" or "faulty"; fail if it is neither."""
    path.write_text(text, encoding="utf-8")
    with no_hang():
        try:
            sweep = load_sweep(path, inspect if real else stub, overrides)
        except SpecError as error:
            assert not isinstance(error, Bug), "".join(map(str, [error, error.__cause__]))
            assert error.faults and len(str(error)) < 2_000_000
            located = [fault for fault in error.faults if fault.line or fault.source]
            assert located or "YAML text file" in str(error) or "empty" in str(error)
            return "faulty"
        check_sweep(sweep, rng)
    return "sound"


@pytest.mark.parametrize("part", range(4))
def test_mutants(part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("")
    seed = int(os.environ.get("HPO_FUZZ_SEED", "0"))
    found = {"sound": 0, "faulty": 0}
    for number in range(part, MUTANTS, 4):
        rng = random.Random(f"{seed}-{number}")
        text, overrides = mutant(rng)
        try:
            found[judged(text, tmp_path / "mutant.yaml", overrides, rng.random() < 0.05, rng)] += 1
        except BaseException as error:
            print(f"mutant {number}, -o {overrides}:\n{text[:3000]}", file=sys.stderr)
            raise AssertionError(f"mutant {number} of seed {seed}: {type(error).__name__}: {error}") from error
    assert min(found.values()) >= 1, found  # one in fifteen or so is sound


def test_the_grammar_is_as_yaml_has_it() -> None:
    """What a mutant's tree is written as is read back as the same tree."""
    for text in (RICH, FREE):
        tree = plain(text)[0]
        assert plain(written(tree))[0] == tree
