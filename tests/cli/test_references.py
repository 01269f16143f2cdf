"""`references` in a sweep file of something that has none: said, if the key is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support import Hpo

FILE = """
objective: score_it.py
metric: {name: score, goal: maximize}
parameters: {x: {values: [1, 2]}}
"""
BINARY = """
objective: objectives.binary
metric: {name: train_accuracy}
parameters: {learning_rate: {values: [0.1, 0.2]}}
"""


def check(hpo: Hpo, text: str) -> tuple[int, str]:
    Path("score_it.py").write_text("def objective(trial): return 1.0\n")
    Path("sweep.yaml").write_text(text)
    outcome = hpo("check", "sweep.yaml")
    return outcome.code, outcome.out + outcome.err


def test_a_function_has_none_and_needs_no_word_of_it(hpo: Hpo) -> None:
    for text in (FILE, FILE + "references: off"):
        code, said = check(hpo, text)
        assert code == 0 and "reference" not in said


def test_auto_that_finds_none_is_said(hpo: Hpo) -> None:
    code, said = check(hpo, FILE + "references: auto")
    assert code == 0 and "note      'references' has no effect here: they need a table task" in said
    code, said = check(hpo, BINARY + "references: auto")
    assert code == 0 and "measured on the validation split, but the metric is train_accuracy" in said


@pytest.mark.parametrize(("text", "line"), [(FILE, 5), (BINARY, 5)])
def test_names_that_can_not_be_had_are_refused(hpo: Hpo, text: str, line: int) -> None:
    code, said = check(hpo, text + "references: [linear]")
    assert code == 2 and f"sweep.yaml:{line}: references: there are no references here: " in said


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("[]", ": must be one of auto, off or a list of at least 1, but got []"),
        (
            "[linear, forest]",
            "[1]: must be one of constant, linear, random_forest, gradient_boosting, but got 'forest'",
        ),
        ("all", ": must be one of auto, off or a list, but got 'all'"),
        ("5", ": must be one of auto, off or a list, but got 5"),
        ("on", ": must be one of auto, off or a list, but got 'on'"),
    ],
)
def test_other_values_are_refused(hpo: Hpo, value: str, fault: str) -> None:
    code, said = check(hpo, BINARY + f"references: {value}")
    assert code == 2 and f"sweep.yaml:5: references{fault}" in said and "one fault" in said, said
