"""What counts for a decision is what the study has of the trials, in whatever order they came about."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from search.support import drawn

from hpo.stopping.asha import AshaKeys
from hpo.stopping.base import Course, StoppingKeys, StoppingRule
from hpo.stopping.hyperband import HyperbandKeys
from hpo.stopping.none import NoStopKeys
from hpo.stopping.patience import PatienceKeys
from hpo.stopping.percentile import MedianKeys, PercentileKeys
from hpo.stopping.rules import RULES

SECTIONS: dict[str, StoppingKeys] = {
    "none": NoStopKeys(type="none"),
    "asha": AshaKeys(type="asha", min_iter=2, eta=2),
    "hyperband": HyperbandKeys(type="hyperband", min_iter=1, eta=2),
    "median": MedianKeys(type="median", n_startup_trials=2, n_min_trials=2),
    "percentile": PercentileKeys(type="percentile", n_startup_trials=2, percentile=40.0),
    "patience": PatienceKeys(type="patience", patience=2),
}
LONGEST = 30  # steps of a trial


@dataclass
class Made:
    """A trial of a made-up study."""

    number: int
    values: dict[int, float]
    fate: str  # complete, stopped or failed
    repeats: int | None  # the trial of which it is the repetition


def made_study(rng: random.Random) -> list[Made]:
    trials = []
    for number in range(40):
        steps = [step for step in range(1, rng.randint(2, LONGEST)) if rng.random() < 0.7] or [1]
        fate = rng.choice(("complete", "complete", "stopped", "failed"))
        repeats = rng.choice((None, None, 500 + number))
        trials.append(Made(number, {step: drawn(rng, nans=0.05) for step in steps}, fate, repeats))
    return trials


def happens(rule: StoppingRule, trials: list[Made], rng: random.Random) -> None:
    """Have trials report side by side, their steps out of order, and end; ask for decisions now and then."""
    left = {trial.number: rng.sample(sorted(trial.values), len(trial.values)) for trial in trials}
    courses = {trial.number: Course(trial.number, repeats=trial.repeats) for trial in trials}
    fates = {trial.number: trial for trial in trials}
    while left:
        number = rng.choice(sorted(left)[:8])
        step, course = left[number].pop(), courses[number]
        course.values[step] = fates[number].values[step]
        rule.report(course, step, course.values[step])
        if rng.random() < 0.5:
            rule.stops(course)
        if not left[number]:
            del left[number]
            if fates[number].fate == "failed":
                rule.withdraw(course)
            else:
                rule.end(course, fates[number].fate == "complete")


def is_replayed(rule: StoppingRule, trials: list[Made]) -> None:
    """Report what the record has of ended trials, as a searcher does when a sweep goes on."""
    for trial in trials:
        if trial.fate == "failed":
            continue
        course = Course(trial.number, repeats=trial.repeats)
        for step, value in sorted(trial.values.items()):
            course.values[step] = value
            rule.report(course, step, value)
        rule.end(course, trial.fate == "complete")


def decisions(rule: StoppingRule, rng: random.Random) -> list[bool]:
    """Return what a rule decides on further trials, some of which are longer than all before."""
    decided = []
    for number in range(100, 130):
        course = Course(number)
        for step in range(1, rng.randint(2, 2 * LONGEST)):
            course.values[step] = drawn(rng)
            rule.report(course, step, course.values[step])
            decided.append(rule.stops(course))
            if decided[-1]:
                break
        rule.end(course, complete=not decided[-1])
    return decided


@pytest.mark.parametrize("most", [LONGEST, None])
@pytest.mark.parametrize("kind", SECTIONS)
def test_live_is_as_replayed(kind: str, most: int | None) -> None:
    stopped = 0
    for seed in range(30):
        trials = made_study(random.Random(seed))
        live, replayed = (SECTIONS[kind].rule("study", most) for _ in range(2))
        happens(live, trials, random.Random(seed))
        is_replayed(replayed, trials)
        decided = [decisions(rule, random.Random(seed)) for rule in (live, replayed)]
        assert decided[0] == decided[1]
        stopped += sum(decided[0])
    assert (stopped > 100) == (kind != "none")


def test_every_rule_is_here() -> None:
    assert {type(section) for section in SECTIONS.values()} == set(RULES)


def test_a_longer_trial_makes_room_for_a_bracket() -> None:
    """Where nobody knows how long trials are, the brackets are those of the longest complete one, whichever ended
    first. Who was let past a rung is not asked about it again when trials are dealt anew."""
    learns, knows = (HyperbandKeys(type="hyperband", eta=2).rule("study", most) for most in (None, 20))
    courses = [Course(number) for number in range(60)]
    for rule in (learns, knows):
        for course in courses:
            rule.report(course, 1, float(course.number % 7))
        assert rule is knows or not any(rule.stops(course) for course in courses)
        for number, steps in ((100, 5), (101, 20), (102, 10)):
            rule.end(Course(number, {steps - 1: 0.0}), complete=True)
    stopped = {course.number for course in courses if learns.stops(course)}
    assert stopped == {course.number for course in courses if knows.stops(course)} != set()
    passed = [course for course in courses if knows._climbs[course.number].passed == 0]  # type: ignore[attr-defined]
    assert passed
    learns.end(Course(103, {400: 0.0}), complete=True)
    for number in range(200, 300):
        learns.report(Course(number), 1, -1.0)
    assert not any(learns.stops(course) for course in passed)
    late = Course(next(number for number in range(300, 400) if learns._bracket(number) == 0))  # type: ignore[attr-defined]
    learns.report(late, 1, 9.0)
    assert learns.stops(late)
