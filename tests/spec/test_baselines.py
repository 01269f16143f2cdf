"""Baselines: what they leave out, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .support import METRIC, Faults, Load
from .toy import TOY

BASELINES = """
    metric: {name: val_accuracy}
    parameters:
      optimizer: {values: [sgd, adam]}
      momentum: {min: 0.5, max: 0.9, when: {optimizer: sgd}}
      learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}
      batch_size: {values: [16, 64]}
      epochs: {value: 5}
    forbid: [{optimizer: adam, batch_size: 64}]
"""


def test_baselines_are_completed(load: Load) -> None:
    """Left out: constants, and what the objective's default fills in if the space has it."""
    baselines = load(
        BASELINES,
        "baselines=[{batch_size: 16}, {optimizer: sgd, momentum: 0.6, learning_rate: 0.1, batch_size: 64, epochs: 5}]",
        contract=TOY,
    ).baselines
    assert baselines == (
        {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 16, "epochs": 5},
        {"optimizer": "sgd", "momentum": 0.6, "learning_rate": 0.1, "batch_size": 64, "epochs": 5},
    )


@pytest.mark.parametrize(
    ("optimizer", "baseline", "expected"),
    [
        ("{values: [adam, sgd]}", "{optimizer: sgd}", 0.01),
        ("{values: [adam, sgd]}", "{optimizer: adam}", 1e-3),
        ("{values: [adam, descent]}", "{optimizer: descent}", 0.01),
        ("{value: sgd}", "{}", 0.01),
        ("{values: [adam, sgd]}", "{}", 1e-3),  # adam is the default
        (None, "{}", 1e-3),
    ],
)
def test_a_baseline_is_completed_by_its_own_optimizers_defaults(
    load: Load, optimizer: str | None, baseline: str, expected: float
) -> None:
    rate = replace(TOY.parameters["learning_rate"], default_where={"optimizer": {"sgd": 0.01}})
    contract = replace(
        TOY,
        parameters={**TOY.parameters, "learning_rate": rate},
        aliases={**TOY.aliases, "optimizer": {"descent": "sgd"}},
    )
    entry = "" if optimizer is None else f"  optimizer: {optimizer}\n"
    text = f"{METRIC}parameters:\n  learning_rate: {{min: 1.0e-5, max: 0.1}}\n{entry}"
    (completed,) = load(text, f"baselines=[{baseline}]", contract=contract).baselines
    assert completed["learning_rate"] == expected


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("{}", "baselines[0]: batch_size is active here and has no value (add batch_size: ...)"),
        ("{batch_size: 16, optimizer: sgd}", "momentum is active here and has no value"),
        (
            "{batch_size: 16, momentum: 0.6}",
            "baselines[0].momentum: momentum is inactive here: it needs {'optimizer': 's",
        ),
        (
            "{batch_size: 32}",
            "baselines[0].batch_size: batch_size must be one of the space's values (16, 64), but got 32",
        ),
        (
            "{batch_size: 16, learning_rate: 1}",
            "must be one of the space's values (1e-05 to 0.1, log scale), but got 1",
        ),
        ("{batch_size: 16, epochs: 6}", "epochs must be one of the space's values (5), but got 6"),
        (
            "{batch_size: 16, learning_rat: 1}",
            "baselines[0].learning_rat: unknown parameter 'learning_rat' (did you me",
        ),
        ("{batch_size: 64}", "baselines[0]: this configuration is forbidden by 'forbid'"),
    ],
)
def test_baselines_refused(faults: Faults, baseline: str, message: str) -> None:
    [found] = faults(BASELINES, f"baselines=[{baseline}]", contract=TOY)
    assert message in found


def test_a_baseline_is_written_as_the_space_has_it(load: Load) -> None:
    """What the objective gets does not depend on how a number is written there."""
    sweep = load("""
        parameters:
          a: {values: [1, 32]}
          b: {values: [[64], '[64]']}
          c: {min: 1, max: 9}
          d: {min: 0.0, max: 9.0}
          e: {value: 3}
        baselines: [{a: 32.0, b: [64.0], c: 4.0, d: 4, e: 3.0}]
    """)
    [baseline] = sweep.baselines
    assert repr(baseline) == "{'a': 32, 'b': [64], 'c': 4, 'd': 4.0, 'e': 3}"


def test_without_a_contract_baselines_name_all(faults: Faults) -> None:
    [fault] = faults("parameters: {a: {min: 0, max: 3}}\nbaselines: [{}]")
    assert fault == "2: baselines[0]: a is active here and has no value (add a: ...)"
