"""What every stopping rule promises. A new one is under test as soon as it is in hpo/stopping/rules.py."""

from __future__ import annotations

import itertools
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from optuna.trial import TrialState
from pydantic import TypeAdapter
from search.support import space_of, started, sweep_of

from hpo.events import Decision
from hpo.search.searcher import Searcher
from hpo.spec.schema import json_schema
from hpo.spec.space import Parameter, Range
from hpo.spec.validation import validate_section
from hpo.stopping.base import Course, StoppingKeys
from hpo.stopping.rules import RULES, EarlyTerminate

DOCS = Path(__file__).parents[2] / "docs" / "sweep-files.md"
EPOCHS = 9
NUMBERS = itertools.count()  # of trials
SPACE = space_of(Parameter("x", Range(0.0, 1.0)))
ADAPTER: TypeAdapter[StoppingKeys] = TypeAdapter(EarlyTerminate)
# one that acts soon for each rule
SOON: dict[str, dict[str, Any]] = {
    "none": {},
    "asha": {"min_iter": 1, "eta": 3},
    "hyperband": {"min_iter": 1, "eta": 3},
    "median": {"n_startup_trials": 3},
    "percentile": {"n_startup_trials": 3, "percentile": 50.0},
    "patience": {"patience": 2},
}


def rule_of(kind: str, **keys: Any) -> StoppingKeys:
    return ADAPTER.validate_python({"type": kind, **SOON[kind], **keys})


def run_trial(searcher: Searcher, rule: StoppingKeys, curve: list[float]) -> int:
    """Report a trial's curve as a worker does; return the epochs that it was let train."""
    proposal = started(searcher, next(NUMBERS))
    steps = rule.decision_steps(EPOCHS)
    for epoch, value in enumerate(curve, 1):
        if searcher.report(proposal.key, epoch, value, decide=epoch in steps) is Decision.STOP:
            searcher.finish(proposal.key, TrialState.PRUNED)
            return epoch
    searcher.finish(proposal.key, TrialState.COMPLETE, curve[-1])
    return len(curve)


def curves(goal: str, level: float) -> list[float]:
    """Ever better values around a level; `level` 1 is best."""
    sign = 1 if goal == "maximize" else -1
    return [sign * (level + 0.01 * epoch) for epoch in range(1, EPOCHS + 1)]


def test_every_rule_is_here() -> None:
    assert {kind for keys in RULES for kind in get_args(keys.model_fields["type"].annotation)} == set(SOON)


@pytest.mark.parametrize("kind", SOON)
def test_it_is_a_type_of_the_sweep_file(kind: str) -> None:
    """Validation, the JSON schema for editors and the list take it from its module; people find it in the docs."""
    section, faults = validate_section("early_terminate", kind, ("early_terminate",))
    assert not faults and section.type == kind
    assert kind in json_schema()["properties"]["early_terminate"]["anyOf"][1]["enum"]
    assert f"`{kind}`" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", SOON)
@pytest.mark.parametrize("epochs", [None, 1, 2, 9, 27])
def test_it_builds(kind: str, epochs: int | None) -> None:
    for rule in (ADAPTER.validate_python({"type": kind}), rule_of(kind)):
        assert rule.rule("study", epochs) is not None
        steps = rule.decision_steps(epochs)
        asked = [step for step in range(1, EPOCHS + 1) if step in steps]
        if kind == "none":
            assert asked == []
        elif epochs is None or kind not in ("asha", "hyperband"):
            assert len(asked) == EPOCHS
        else:
            assert all(step < epochs for step in asked)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
@pytest.mark.parametrize("kind", SOON)
def test_a_clearly_bad_trial_is_stopped_and_a_clearly_best_one_never(kind: str, goal: str) -> None:
    rule = rule_of(kind)
    searcher = Searcher(sweep_of(SPACE, goal=goal, rule=rule, epochs=EPOCHS))
    for _ in range(12):
        run_trial(searcher, rule, curves(goal, 0.5))
    for level in (0.6, 0.7, 0.8):
        assert run_trial(searcher, rule, curves(goal, level)) == EPOCHS
    bad = [run_trial(searcher, rule, curves(goal, -1.0)[:1] * EPOCHS) for _ in range(6)]
    if kind == "none":
        assert bad == [EPOCHS] * 6
    elif kind == "hyperband":  # each of its brackets has a first rung of its own, the last one none
        assert sum(epochs < EPOCHS for epochs in bad) >= 2
    else:
        assert max(bad) <= 3
    assert run_trial(searcher, rule, curves(goal, 1.0)) == EPOCHS


@pytest.mark.parametrize(
    ("rule", "rungs"),
    [
        ({"type": "asha"}, {1, 3, 9}),
        ({"type": "asha", "min_iter": 2, "eta": 3}, {2, 6, 18}),
        ({"type": "hyperband"}, {1, 3, 9}),
        ({"type": "hyperband", "max_iter": 27, "s": 2}, {3, 9}),
    ],
)
def test_workers_wait_at_rungs_only(rule: dict[str, Any], rungs: set[int]) -> None:
    steps = ADAPTER.validate_python(rule).decision_steps(20)
    assert {step for step in range(40) if step in steps} == rungs
    unknown = ADAPTER.validate_python(rule).decision_steps(None)
    assert all(step in unknown for step in range(40))


@pytest.mark.parametrize("kind", ["median", "percentile", "patience"])
def test_other_rules_decide_at_every_step(kind: str) -> None:
    assert all(step in rule_of(kind).decision_steps(EPOCHS) for step in range(40))


def test_without_a_rule_nobody_waits() -> None:
    assert not any(step in rule_of("none").decision_steps(EPOCHS) for step in range(40))


@pytest.mark.parametrize("kind", ["asha", "hyperband"])
def test_asking_at_rungs_only_loses_nothing(kind: str) -> None:
    """Optuna would stop a trial at no other step: asking at every step stops the same trials at the same steps."""
    import random

    stopped = []
    for every in (False, True):
        rule, rng = rule_of(kind), random.Random(0)
        searcher = Searcher(sweep_of(SPACE, rule=rule, epochs=EPOCHS))
        ends = []
        for number in range(40):
            proposal = started(searcher, number)
            level, end = rng.random(), EPOCHS
            for epoch in range(1, EPOCHS + 1):
                decide = every or epoch in rule.decision_steps(EPOCHS)
                if searcher.report(proposal.key, epoch, level + 0.01 * epoch, decide) is Decision.STOP:
                    end = epoch
                    break
            searcher.finish(proposal.key, TrialState.PRUNED if end < EPOCHS else TrialState.COMPLETE, level)
            ends.append(end)
        stopped.append(ends)
    assert stopped[0] == stopped[1]
    assert min(stopped[0]) < EPOCHS


def test_percentiles_keep_their_share() -> None:
    ends = {}
    for percentile in (25.0, 75.0):
        rule = rule_of("percentile", percentile=percentile)
        searcher = Searcher(sweep_of(SPACE, rule=rule, epochs=EPOCHS))
        for level in range(9):
            run_trial(searcher, rule_of("none"), curves("maximize", float(level)))
        ends[percentile] = run_trial(searcher, rule, curves("maximize", 4.5))
    assert ends == {25.0: 1, 75.0: EPOCHS}


def test_patience_waits_as_long_as_it_says() -> None:
    for patience in (0, 1, 3):
        for goal in ("maximize", "minimize"):
            rule = rule_of("patience", patience=patience)
            searcher = Searcher(sweep_of(SPACE, goal=goal, rule=rule, epochs=EPOCHS))
            assert run_trial(searcher, rule, [0.5] * EPOCHS) == max(1, patience) + 1  # level is no improvement
            assert run_trial(searcher, rule, curves(goal, 0.0)) == EPOCHS


@pytest.mark.parametrize(("min_delta", "end"), [(0.0, EPOCHS), (0.015, EPOCHS), (0.025, 3)])
def test_too_small_an_improvement_is_none(min_delta: float, end: int) -> None:
    """The curve gains 0.02 in the two epochs of its patience."""
    rule = rule_of("patience", min_delta=min_delta)
    assert run_trial(Searcher(sweep_of(SPACE, rule=rule, epochs=EPOCHS)), rule, curves("maximize", 0.5)) == end


def test_patience_counts_from_the_best() -> None:
    rule = rule_of("patience", patience=3)
    searcher = Searcher(sweep_of(SPACE, rule=rule, epochs=EPOCHS))
    assert run_trial(searcher, rule, [0.5, 0.4, 0.3, 0.6, 0.5, 0.5, 0.55, 0.9, 0.9]) == 7


@pytest.mark.parametrize("kind", SOON)
def test_asking_what_would_be_stopped_changes_nothing(kind: str) -> None:
    """A forecast asks of ended and of running trials; decisions must not depend on whether it did."""
    rule = rule_of(kind).rule("study", EPOCHS)
    courses = []
    for number in range(12):
        course = Course(number)
        for step in range(1, EPOCHS - (number == 11)):
            course.values[step] = round(1 / step + number % 5, 1)  # several have the same
            rule.report(course, step, course.values[step])
        if number < 11:
            rule.end(course, complete=number % 3 > 0)
        courses.append(course)
    before = deepcopy(vars(rule))
    found = [rule.would_stop(course, complete=course.number % 3 > 0 and course.number < 11) for course in courses]
    assert vars(rule) == before
    assert (kind == "none") == (found == [None] * 12)
    if kind in ("asha", "median", "percentile"):  # the best of all goes on, the worst does not
        assert found[0] is None and found[9] is not None


PAIR = [{"type": "asha", "min_iter": 4, "eta": 3}, {"type": "patience", "patience": 2}]


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_two_rules_each_stop_what_they_would_alone(goal: str) -> None:
    """At its rung, asha; between rungs and behind the last, patience; each counts what it would count alone."""
    rule = ADAPTER.validate_python(PAIR)
    assert (rule.type, rule.plain()) == ("asha and patience", [PAIR[0], {**PAIR[1], "min_delta": 0.0}])
    assert rule.decision_steps(EPOCHS).every and rule.lasting(EPOCHS) == ADAPTER.validate_python(PAIR[0]).lasting(
        EPOCHS
    )
    searcher = Searcher(sweep_of(SPACE, goal=goal, rule=rule, epochs=EPOCHS))
    assert run_trial(searcher, rule, curves(goal, 0.5)) == EPOCHS
    assert run_trial(searcher, rule, curves(goal, 0.4)) == 4  # asha's: ever better, but not among the best
    assert run_trial(searcher, rule, curves(goal, 0.9)[:1] * EPOCHS) == 3  # patience's, before the first rung
    risen = curves(goal, 0.9)[:5]
    assert run_trial(searcher, rule, risen + risen[-1:] * 4) == 7  # past the rung, then level
    assert run_trial(searcher, rule, curves(goal, 1.0)) == EPOCHS
    course = Course(0, {epoch: -0.1 * epoch for epoch in range(1, EPOCHS + 1)})
    assert searcher.rule.awaited == 0 and searcher.rule.would_stop(course, complete=True) == 4


def test_rules_that_wait_at_rungs_only_still_do_together() -> None:
    assert ADAPTER.validate_python([PAIR[0]]).decision_steps(EPOCHS).steps == {4}
    first, second = ADAPTER.validate_python(PAIR).in_words(EPOCHS).split("; ")
    assert first == "asha: after epochs 4 about the best 1/3 go on"
    assert second == "patience: a trial stops whose metric has not improved for 2 reports"
