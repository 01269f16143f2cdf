"""Objectives that are written for Optuna, run as a worker runs them: what `trial` answers, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hpo.events import (
    Answer,
    AskedParameter,
    Assignment,
    Decision,
    Diverged,
    Event,
    Failed,
    Finished,
    Reported,
    Stopped,
    TrialSpec,
)
from hpo.objective.define_by_run import asks_itself
from hpo.objective.function import FunctionObjective
from hpo.spec.named import Named
from hpo.spec.space import Categorical, Range
from hpo.spec.written import parameter_of


class AnsweringChannel:
    """Answers each parameter by the largest value, or the last choice; has a trial stop at a step."""

    def __init__(self, stop_at: int | None = None, refusal: str = "") -> None:
        self.stop_at = stop_at
        self.refusal = refusal
        self.events: list[Event] = []
        self.asked: list[AskedParameter] = []

    def exchange(self, events: Sequence[Event]) -> Mapping[int, Decision]:
        self.events += events
        stops = [each.number for each in events if isinstance(each, Reported) and each.step == self.stop_at]
        return dict.fromkeys(stops, Decision.STOP)

    def ask(self, asked: AskedParameter) -> Answer:
        self.asked.append(asked)
        domain = parameter_of(asked.name, asked.entry).domain
        if isinstance(domain, Categorical):
            return Answer(domain.values[-1], self.refusal)
        assert isinstance(domain, Range)
        return Answer(domain.high, self.refusal)

    def attach(self, number: int, name: str, path: str) -> None:
        raise AssertionError("functions attach nothing")

    def refer(self, measured: Any) -> None:
        raise AssertionError("there are no references")


def run(
    objective: Callable[[Any], Any],
    channel: AnsweringChannel | None = None,
    params: Mapping[str, Any] | None = None,
) -> tuple[Event, AnsweringChannel]:
    """Run a trial; of a file with `params` if these are given, else define-by-run. Return its end."""
    channel = channel or AnsweringChannel()
    function = FunctionObjective(objective, "score", {}, by_run=params is None, goal="maximize")
    function.run(Assignment(1, (TrialSpec(3, params or {}, seed=5),)), channel)
    return channel.events[-1], channel


def failure(objective: Callable[[Any], Any], **keys: Any) -> str:
    end, _ = run(objective, **keys)
    assert isinstance(end, Failed), end
    return end.error


def test_what_is_asked_for_comes_as_optuna_gives_it() -> None:
    kernels = [(3, 3), (5, 5)]

    def objective(trial: optuna.Trial) -> float:
        assert isinstance(trial, optuna.Trial | optuna.trial.BaseTrial)
        assert trial.number == 3 and trial.params == {}
        assert trial.study.direction is optuna.study.StudyDirection.MAXIMIZE
        assert trial.suggest_float("lr", 1e-5, 1, log=True) == 1.0
        assert type(trial.suggest_float("drop", 0, 1, step=0.25)) is float
        assert type(trial.suggest_int("depth", 1, np.int64(9))) is int
        assert trial.suggest_categorical("kernel", kernels) is kernels[1]
        assert trial.suggest_categorical("flag", [False, True]) is True
        assert trial.suggest_categorical("width", np.array([8, 16])) == 16
        assert trial.suggest_categorical("none", [1, None]) is None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert trial.suggest_int("depth", 1, 4) == 9  # the first time counts
        assert trial.params["kernel"] == [5, 5] and trial.params["depth"] == 9
        assert trial.distributions["lr"] == optuna.distributions.FloatDistribution(1e-5, 1.0, log=True)
        assert trial.distributions["flag"] == optuna.distributions.CategoricalDistribution([False, True])
        trial.set_user_attr("epochs", {"done": 3})
        assert trial.user_attrs == {"epochs": {"done": 3}}
        return np.float32(0.5)

    end, channel = run(objective)
    assert isinstance(end, Finished) and end.value == 0.5, end
    assert end.info["user_attrs"] == {"epochs": {"done": 3}}
    assert "first ones count" in end.info["notes"]["suggest twice"]
    assert [asked.name for asked in channel.asked] == ["lr", "drop", "depth", "kernel", "flag", "width", "none"]


def test_the_deprecated_words() -> None:
    def objective(trial: Any) -> float:
        low = trial.suggest_uniform("a", 0, 1) + trial.suggest_loguniform("b", 0.1, 1)
        return float(low + trial.suggest_discrete_uniform("c", 0, 1, 0.5))

    assert run(objective)[0] == Finished(3, 3.0)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (lambda trial: trial.suggest_float("x", 1, 0), "`low <= high` must hold"),
        (lambda trial: trial.suggest_float("x", 0, 1, log=True), "`low > 0` must hold"),
        (lambda trial: trial.suggest_float("x", 0, math.inf), "the range of 'x' must be finite"),
        (lambda trial: trial.suggest_categorical("x", []), "needs at least one choice"),
        (lambda trial: trial.suggest_categorical("x", [1, object]), "choice 1 of 'x' can't be recorded"),
        (lambda trial: trial.suggest_categorical("x", [{1: 2}]), "must have text as keys"),
        (lambda trial: trial.suggest_float("a//b", 0, 1), "no parameter can go by this name"),
        (lambda trial: trial.suggest_float(3, 0, 1), "a parameter's name must be text"),
        (
            lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_categorical("x", [1, 2]),
            "'x' was 0 to 1 in this trial before, and is 1, 2 now",
        ),
        (lambda trial: trial.params["x"], "the trial has not asked for 'x'"),
        (lambda trial: trial.study.best_value, "trial.study.best_value can't be had here"),
        (lambda trial: trial.set_constraint("c", 1), "constraints are not searched by here"),
        (lambda trial: trial.set_user_attr("c", object()), "can't be recorded"),
        (lambda trial: None, "returned None, which Optuna takes for a failure"),
        (lambda trial: math.nan, "returned nan, which Optuna takes for a failure"),
        (lambda trial: (0.1, 0.2), "a sweep has one metric, 'score' (return a mapping"),
        (lambda trial: trial.report("high", 1), "score must be a number"),
        (lambda trial: trial.report(0.5, -1), "step must be a whole number >= 0"),
    ],
)
def test_what_is_refused(objective: Callable[[Any], Any], words: str) -> None:
    assert words in failure(objective)


def test_the_drivers_refusal_fails_the_trial() -> None:
    channel = AnsweringChannel(refusal="'x' was a number before")
    assert failure(lambda trial: trial.suggest_int("x", 0, 1), channel=channel) == "ValueError: 'x' was a number before"


def test_pruning_as_optuna_does_it() -> None:
    def objective(trial: optuna.Trial) -> float:
        for step in range(9):
            trial.report(step / 10, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return 1.0

    end, channel = run(objective, AnsweringChannel(stop_at=4))
    assert end == Stopped(3)
    reports = [(event.step, event.metrics) for event in channel.events if isinstance(event, Reported)]
    assert reports == [(step, {"score": step / 10}) for step in range(5)]
    assert run(objective, AnsweringChannel())[0] == Finished(3, 1.0)


def test_who_never_asks_is_stopped_by_the_next_report() -> None:
    def objective(trial: optuna.Trial) -> float:
        for step in range(9):
            trial.report(step / 10, step=step)
        return 1.0

    end, channel = run(objective, AnsweringChannel(stop_at=4))
    assert end == Stopped(3) and len(channel.events) == 6


def test_a_report_that_is_not_finite_prunes() -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.report(0.5, 1)
        trial.report(math.nan, 2)
        assert trial.should_prune()
        raise optuna.TrialPruned

    assert run(objective)[0] == Diverged(3, 2)
    assert run(lambda trial: math.inf)[0] == Diverged(3, 0)


def test_with_parameters_in_the_file_the_file_decides() -> None:
    def objective(trial: optuna.Trial) -> float:
        assert trial.suggest_categorical("kernel", [(3, 3), (5, 5)]) == (5, 5)
        return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 3)

    end, channel = run(objective, params={"x": 7, "n": 2, "kernel": [5, 5]})
    assert isinstance(end, Finished) and end.value == 9.0 and channel.asked == []
    assert "the file decides" in end.info["notes"]["suggest outside"]
    assert "the sweep file's 'parameters' don't have" in failure(objective, params={"x": 7})
    assert "asks for a number" in failure(lambda trial: trial.suggest_int("x", 0, 1), params={"x": "a"})


def test_our_own_reports_go_on_beside_them() -> None:
    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(1, score=x, loss=0.5)
        trial.report(2, {"loss": 0.4})
        trial.report(0.9, 3)
        return float(x)

    _, channel = run(objective)
    reports = [(event.step, event.metrics) for event in channel.events if isinstance(event, Reported)]
    assert reports == [(1, {"score": 1.0, "loss": 0.5}), (2, {"loss": 0.4}), (3, {"score": 0.9})]


def test_values_and_steps_are_read_as_optuna_reads_them() -> None:
    def objective(trial: Any) -> float:
        trial.report("0.5", 1.0)
        trial.report(0.75, 1)  # Optuna ignores the second value of a step
        return 0.25

    end, channel = run(objective)
    assert [(each.step, each.metrics) for each in channel.events if isinstance(each, Reported)] == [(1, {"score": 0.5})]
    assert isinstance(end, Finished) and "the first value counts" in end.info["notes"]["report twice"]


def test_user_attributes_are_what_json_takes() -> None:
    def objective(trial: Any) -> float:
        trial.set_user_attr("epoch", np.argmax([1, 3, 2]))
        trial.set_user_attr("p", [float("nan"), {"low": -math.inf}])
        return 0.25

    end, _ = run(objective)
    assert isinstance(end, Finished) and end.info["user_attrs"] == {"epoch": 1, "p": ["nan", {"low": "-inf"}]}
    assert "'x' can't be recorded: it must be" in failure(lambda trial: trial.set_user_attr("x", object()))


def test_who_prunes_untold_does_so_by_itself() -> None:
    def objective(trial: Any) -> float:
        trial.report(0.5, 1)
        raise optuna.TrialPruned

    assert run(objective)[0] == Stopped(3, by_itself=True)
    assert run(objective, AnsweringChannel(stop_at=1))[0] == Stopped(3)


FIRST = """
import sys
from hpo.events import Assignment, TrialSpec
from hpo.objective.function import FunctionObjective

class Channel:
    def exchange(self, events):
        print(events)
        return {}

def objective(trial):
    import optuna
    return float(isinstance(trial, optuna.Trial) and isinstance(trial, optuna.trial.Trial))

assert "optuna.trial" not in sys.modules
FunctionObjective(objective, "score", {}).run(Assignment(1, (TrialSpec(0, {}, seed=1),)), Channel())
"""


def test_the_first_trial_of_a_worker_passes_for_optunas_where_the_objective_itself_loads_it() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, timeout=60)
    assert "Finished(number=0, value=1.0" in done.stdout, done.stdout + done.stderr


class Deep:
    """Asks in a method that its own code calls."""

    def __call__(self, trial: Any) -> float:
        return self._ask(trial)

    def _ask(self, trial: Any) -> float:
        return float(trial.suggest_float("x", 0.0, 1.0))


def by_word(trial: Any) -> float:
    return float(getattr(trial, "suggest_" + "float")("x", 0.0, 1.0))


def plainly(trial: Any) -> float:
    return float(trial.params["x"])


@pytest.mark.parametrize(("objective", "asks"), [(Deep(), True), (by_word, True), (plainly, False)])
def test_who_asks_is_seen_in_the_code(objective: Callable[[Any], float], asks: bool, tmp_path: Path) -> None:
    named = Named("live:objective (code 0)", None, (), {}, "score", (), tmp_path)
    assert asks_itself(objective, named) is asks
