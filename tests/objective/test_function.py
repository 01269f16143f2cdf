"""Python functions as objectives, run as a worker runs them."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
import pytest
import torch

import hpo
from hpo.events import (
    Assignment,
    Diverged,
    Failed,
    Finished,
    Stopped,
    TrialSpec,
)
from hpo.objective.failures import one_line
from hpo.objective.function import FunctionObjective, Trial
from hpo.objective.values import as_number

from .function_support import RecordingChannel, ending, failure, run


def test_reports() -> None:
    def objective(trial: Trial) -> None:
        for epoch in range(3):
            trial.report(epoch, score=epoch / 10, other=np.float32(2))
        trial.report(9, {"val/score": 5, "score": torch.tensor([0.5])}, other=1)

    channel = run(objective)
    assert channel.reports == [
        (0, {"score": 0.0, "other": 2.0}),
        (1, {"score": 0.1, "other": 2.0}),
        (2, {"score": 0.2, "other": 2.0}),
        (9, {"val/score": 5.0, "score": 0.5, "other": 1.0}),
    ]
    assert all(type(value) is float for _, metrics in channel.reports for value in metrics.values())
    assert channel.end == Finished(7, None, {})


def test_what_a_trial_knows() -> None:
    def objective(trial: Trial) -> float:
        assert (trial.seed, trial.number, trial.epochs, trial.data) == (123, 7, 4, {"csv": "a.csv"})
        assert trial.params == {"a": 1, "b": [1, 2]}
        return float(trial.params["a"] + trial.params["b"][1])

    assert ending(objective, a=1, b=[1, 2]) == Finished(7, 3.0, {})


def test_a_metric_that_is_not_finite_ends_the_trial() -> None:
    def objective(trial: Trial) -> float:
        trial.report(1, score=0.5)
        trial.report(2, score=math.nan, other=3)
        raise AssertionError("not reached")

    channel = run(objective)
    assert channel.reports == [(1, {"score": 0.5}), (2, {"other": 3.0})]
    assert channel.end == Diverged(7, 2)


def test_another_metric_may_be_not_finite() -> None:
    def objective(trial: Trial) -> None:
        trial.report(1, score=0.5, other=math.inf)
        trial.report(2, other=math.nan)

    channel = run(objective)
    assert channel.reports == [(1, {"score": 0.5})]
    assert channel.end == Finished(7, None, {})


def test_reports_of_one_step_are_merged() -> None:
    def objective(trial: Trial) -> None:
        for step in 0, 3:
            trial.report(step, score=step)
            trial.report(step, other=1)

    channel = run(objective)
    assert channel.reports == [(step, metrics) for step in (0, 3) for metrics in ({"score": step}, {"other": 1})]
    assert channel.end == Finished(7, None, {})


def test_a_metric_that_comes_twice_for_a_step_and_folds_are_said() -> None:
    def objective(trial: Trial) -> None:
        for _ in range(2):
            for epoch in range(3):
                trial.report(epoch, score=epoch)
        trial.report(2, score=0.5)

    channel = run(objective)
    assert [step for step, _ in channel.reports] == [0, 1, 2, 3, 4, 5, 5]
    assert set(channel.end.info["notes"]) == {"again", "repeated"}  # type: ignore[union-attr]


def test_a_step_that_no_database_holds() -> None:
    assert failure(lambda trial: trial.report(2**63, score=1)).startswith(
        "ValueError: step must be below 2**63, but got"
    )
    assert run(lambda trial: trial.report(2**63 - 1, score=1)).reports == [(2**63 - 1, {"score": 1.0})]


@pytest.mark.parametrize("name", ["", "a//b", ".", "..", "../a", "..a", "a/", "/a", "a/./b", "a/../b", "a" * 251])
def test_names_that_cannot_be_recorded(name: str) -> None:
    said = failure(lambda trial: trial.report(1, {name: 1, "score": 1}))
    assert said.startswith("ValueError: no metric can be reported so: a name ")
    assert repr(name)[:40] in said or not name


def test_names_that_can_be_recorded() -> None:
    names = ["a/b", "a.b", ".a", "a b", "acc@1", "a" * 250, "é", "a...b"]
    [(_, metrics)] = run(lambda trial: trial.report(1, dict.fromkeys(names, 1), score=1)).reports
    assert set(metrics) == {*names, "score"}


def test_names_that_would_be_recorded_as_one() -> None:
    said = failure(lambda trial: trial.report(1, {"acc@1": 1, "acc_1": 2, "score": 1}))
    assert said.startswith(
        "ValueError: no metrics can be reported so: 'acc@1' and 'acc_1' would be one name in MLflow: "
    )
    assert failure(lambda trial: trial.report(1, {3: 1})).startswith(
        "TypeError: a metric's name must be text, but got 3"
    )


def test_mlflow_agrees_on_names() -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_metric_name

    from hpo.spec.names import name_fault, recorded_name

    for name in (
        "",
        "a//b",
        ".",
        "..",
        "../a",
        "..a",
        "a/",
        "/a",
        "//a",
        "a/./b",
        "a" * 251,
        "a/b",
        ".a",
        "a@b",
        "a b",
        "é",
    ):
        try:
            _validate_metric_name(recorded_name(name))
        except MlflowException:
            assert name_fault(name), name
        else:
            assert not name_fault(name) or len(name) == 251, name


@pytest.mark.parametrize("step", [-1, 1.0, True, "1", None, np.float64(1)])
def test_what_is_no_step(step: Any) -> None:
    assert failure(lambda trial: trial.report(step, score=1)).startswith(
        "ValueError: step must be a whole number >= 0, but got "
    )


def test_numpy_integers_are_steps() -> None:
    def objective(trial: Trial) -> None:
        for epoch in np.arange(2):
            trial.report(epoch, score=1)

    channel = run(objective)
    assert [type(step) for step, _ in channel.reports] == [int, int]
    assert isinstance(channel.end, Finished)


def test_a_report_names_metrics() -> None:
    assert failure(lambda trial: trial.report(1)).startswith("ValueError: report names at least one metric")
    assert failure(lambda trial: trial.report(1, score="high")) == "TypeError: score must be a number, but got 'high'"
    assert failure(lambda trial: trial.report(1, score=None)) == "TypeError: score must be a number, but got None"
    assert failure(lambda trial: trial.report(1, score=True)) == "TypeError: score must be a number, but got True"


def test_pruning() -> None:
    def objective(trial: Trial) -> None:
        for epoch in range(1, 9):
            trial.report(epoch, score=epoch)

    channel = run(objective, stop_at=3)
    assert [step for step, _ in channel.reports] == [1, 2, 3]
    assert channel.end == Stopped(7)


def test_an_objective_may_prune_itself_and_clean_up() -> None:
    cleaned = []

    def objective(trial: Trial) -> None:
        try:
            raise hpo.Pruned
        finally:
            cleaned.append(trial.number)

    assert ending(objective) == Stopped(7, by_itself=True)
    assert cleaned == [7]


def test_optunas_own_exception_prunes() -> None:
    class Mine(optuna.TrialPruned):
        pass

    def objective(trial: Trial) -> None:
        trial.report(2, score=1)
        raise trial.params["kind"]("not worth it")

    for kind in (optuna.TrialPruned, optuna.exceptions.TrialPruned, Mine):
        assert ending(objective, kind=kind) == Stopped(7, by_itself=True)


def test_a_trial_has_data_and_parameters_of_its_own() -> None:
    data, params = {"rows": [1, 2, 3], "size": 4}, {"layers": [8]}

    def objective(trial: Trial) -> float:
        trial.data["rows"].append(trial.data.pop("size"))
        trial.params["layers"].append(9)
        return float(sum(trial.data["rows"]))

    channel = RecordingChannel()
    specs = tuple(TrialSpec(number, params, seed=1) for number in range(2))
    FunctionObjective(objective, "score", data).run(Assignment(1, specs), channel)
    assert channel.events == [Finished(0, 10.0), Finished(1, 10.0)]
    assert (data, params) == ({"rows": [1, 2, 3], "size": 4}, {"layers": [8]})


def test_raising() -> None:
    def objective(trial: Trial) -> None:
        raise KeyError("a\n  long   message " + "x" * 600)

    error = failure(objective)
    assert error.startswith(r"KeyError: 'a\n  long   message xxx".replace("  ", " ").replace("  ", " "))
    assert len(error) == 500 and error.endswith("...")
    assert failure(lambda trial: sys.exit(3)) == "SystemExit: 3"
    assert one_line(ValueError("a\nb")) == "ValueError: a b"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(ValueError("a:")) == "ValueError: a:"


def test_an_interrupt_that_an_objective_raises_is_its_failure() -> None:
    """Ctrl-C never gets here: workers are deaf to it, and the driver counts it."""

    def objective(trial: Trial) -> None:
        raise KeyboardInterrupt

    assert failure(objective) == "KeyboardInterrupt"


def test_one_failure_does_not_touch_the_others() -> None:
    def objective(trial: Trial) -> float:
        return 1 / float(trial.params["x"])

    channel = RecordingChannel()
    trials = tuple(TrialSpec(number, {"x": number}, seed=number) for number in range(3))
    FunctionObjective(objective, "score", {}).run(Assignment(1, trials), channel)
    assert [type(event) for event in channel.events] == [Failed, Finished, Finished]
    assert [event.number for event in channel.events] == [0, 1, 2]


def test_seeding() -> None:
    """The same seed gives the same numbers, whatever ran before; another gives others."""

    def objective(trial: Trial) -> None:
        trial.report(0, score=random.random(), numpy=np.random.random(), torch=torch.rand(1))

    def numbers(seed: int) -> Mapping[str, float]:
        channel = RecordingChannel()
        spec = TrialSpec(0, {}, seed)
        FunctionObjective(objective, "score", {}).run(Assignment(1, (spec,)), channel)
        return channel.reports[0][1]

    first, other, again = numbers(1), numbers(2), numbers(1)
    assert first == again
    assert all(first[name] != other[name] for name in first)
    numbers(2**63 - 1)


def test_as_number_names_the_metric() -> None:
    with pytest.raises(TypeError, match=r"^val_loss must be a number, but got \{\}$"):
        as_number("val_loss", {})
