"""What samplers work on: it shows them what Optuna's own storage would, and lets go of trials unnoticed."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search.distributions import searched_params, suggest
from hpo.search.keep import Bound, kept
from hpo.search.memory import Memory
from hpo.search.samplers import bound_of, make_sampler
from hpo.search.tpe import SharingTPESampler
from hpo.search.working_copy import WorkingCopy
from hpo.spec.methods import METHODS
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Target

from .support import space_of

# `group` of TPE is marked so
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

FLAT = space_of(
    Parameter("x", Range(-5.0, 5.0)),
    Parameter("y", Range(0, 9, integer=True)),
    Parameter("rate", Range(1e-5, 1e-1, log=True)),
    Parameter("kind", Categorical(("a", "b", "c"))),
)
CONDITIONAL = space_of(
    *FLAT.parameters,
    Parameter("share", Range(0.0, 0.9), {"kind": ["a", "b"]}),
    Parameter("count", Range(1, 5, integer=True), {"share": {">": 0.5}}),
    Parameter("deep", Categorical((True, False)), {"kind": "c"}),
)
TRIALS = {"gp": 18, "cmaes": 60, "nsga2": 120}  # a GP's fit is slow; the others' generations are large


def score(params: dict[str, Any]) -> float:
    """Best at x = 1, y = 7, kind = b."""
    far = (params["x"] - 1) ** 2 + 0.2 * (params["y"] - 7) ** 2
    return float(far + 3 * (params["kind"] != "b") + params["rate"])


def ends(
    rng: random.Random, params: dict[str, Any], complete: float = 0.7
) -> tuple[TrialState, float | None, tuple[int, float] | None]:
    """Return how a trial ends: its state, its value, and the last it reported. complete: the share of such trials."""
    shares = (complete, 0.9 - complete, 0.1)
    state = rng.choices((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL), shares)[0]
    last = (rng.randint(1, 5), score(params)) if rng.random() < 0.8 else None
    return state, score(params) if state == TrialState.COMPLETE else None, last


class InOptuna:
    """What a working copy does, done by an Optuna study that keeps everything."""

    def __init__(self, space: Space, sampler: BaseSampler, storage: Any = None) -> None:
        self._space = space
        self.study = optuna.create_study(storage=storage or InMemoryStorage(), study_name="study", sampler=sampler)

    def ask(self) -> tuple[int, dict[str, Any]]:
        trial = self.study.ask()
        return trial.number, suggest(trial, self._space)

    def end(self, number: int, state: TrialState, value: float | None, last: tuple[int, float] | None) -> None:
        if last is not None:
            self.study._storage.set_trial_intermediate_value(number, *last)
        self.study.tell(number, value, state)


def copy_of(method: str, space: Space, seed: int, bound: Bound | None = None) -> WorkingCopy:
    return WorkingCopy(
        space, Target("score", "minimize"), make_sampler(method, space, seed), bound or bound_of(method), seed
    )


def proposals(
    study: WorkingCopy | InOptuna, trials: int, at_once: int, seed: int = 0, complete: float = 0.7
) -> list[dict[str, Any]]:
    """Ask for trials, up to `at_once` of which are open, and end them in any order; return what was proposed."""
    rng, found, running = random.Random(seed), [], list[tuple[int, dict[str, Any]]]()
    for _ in range(trials):
        while len(running) >= rng.randint(1, at_once):
            number, params = running.pop(rng.randrange(len(running)))
            study.end(number, *ends(rng, params, complete))
        running.append(study.ask())
        found.append(running[-1][1])
    return found


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["flat", "conditional"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_samplers_see_no_difference(method: str, space: Space, at_once: int) -> None:
    """On the memory, as an Optuna storage, every sampler proposes what it does on Optuna's."""
    trials = TRIALS.get(method, 60)
    found = [
        proposals(InOptuna(space, make_sampler(method, space, 7), storage), trials, at_once)
        for storage in (Memory(), InMemoryStorage())
    ]
    assert found[0] == found[1]
    assert len({repr(params) for params in found[0]}) > trials * 0.9


@pytest.mark.parametrize(
    ("space", "at_once"), [(FLAT, 1), (FLAT, 4), (CONDITIONAL, 1)], ids=["flat", "open", "conditional"]
)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_what_the_copy_forgets_at_once_is_not_missed(method: str, space: Space, at_once: int) -> None:
    """Trials in a state that a sampler does not look at. So the copy proposes what a study that keeps all does."""
    trials = TRIALS.get(method, 60)
    expected = proposals(InOptuna(space, make_sampler(method, space, 7)), trials, at_once)
    assert proposals(copy_of(method, space, 7), trials, at_once) == expected


def test_pruned_trials_teach_by_how_far_they_came() -> None:
    """TPE's good trials are pruned ones where hardly any is complete."""
    expected = proposals(InOptuna(FLAT, make_sampler("tpe", FLAT, 7)), 60, 2, complete=0.02)
    assert proposals(copy_of("tpe", FLAT, 7), 60, 2, complete=0.02) == expected


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"cmaes", "nsga2"}))
def test_a_record_is_taken_over_as_it_is(method: str) -> None:
    """The next proposals are those of a study that has the same trials. (CMA-ES and NSGA-II know only trials of their
    own in such a study; test_resuming.py.)"""
    record = trials_of(FLAT, TRIALS.get(method, 30))
    mine, theirs = copy_of(method, FLAT, 3), InOptuna(FLAT, make_sampler(method, FLAT, 3))
    mine.add(record)
    theirs.study.add_trials(record)
    more = 2 if method == "gp" else 6
    assert proposals(mine, more, 2) == proposals(theirs, more, 2)
    assert all(trial.number == -1 for trial in record)  # the record itself is not written to


def test_running_trials_count_with_what_they_have() -> None:
    """TPE draws all conditional parameters of a trial, and leaves them to be seen until the trial has its own. To the
    copy, a running trial has no parameters that are not active in it."""
    sampler = Seeing()
    copy = WorkingCopy(CONDITIONAL, Target("score", "minimize"), sampler, bound_of("tpe"), 0)
    number, params = copy.ask()
    copy.ask(Leaving())
    copy.ask()
    running = sampler.seen
    assert running[number].params == params
    assert all(not trial.system_attrs for trial in running.values())


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("seed", [0, 2])
def test_groups_that_are_remembered_are_the_same_groups(seed: int, at_once: int) -> None:
    """As TPE that works them out at each ask, also when a combination comes up late, in a pruned or a failed trial."""
    late = space_of(*CONDITIONAL.parameters, Parameter("rare", Range(0.0, 1.0), {"rate": {">": 0.02}, "kind": "b"}))
    theirs = TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    mine = make_sampler("tpe", late, seed)
    assert isinstance(mine, SharingTPESampler)
    expected = proposals(InOptuna(late, theirs), 80, at_once, seed)
    assert proposals(InOptuna(late, mine), 80, at_once, seed) == expected
    assert any("rare" in params for params in expected)


class Seeing(RandomSampler):
    """Draws at random, and keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.seen: dict[int, FrozenTrial] = {}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, Any]:
        shown = study.get_trials(deepcopy=False)
        self.seen = {other.number: other for other in shown if other.number != trial.number}
        assert len(shown) == len(self.seen) + 1
        assert [other.number for other in shown] == sorted(other.number for other in shown)
        return {}


class Leaving(RandomSampler):
    """Leaves its draws for other processes, as TPE does."""

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        study._storage.set_trial_system_attr(trial._trial_id, "tpe:relative_params:0", '{"share": 0.5, "deep": true}')
        return {}


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_what_a_sampler_sees_is_bounded(method: str, goal: Any) -> None:
    """However many trials there were. Numbers stay, the best and the most recent are there, and whatever runs is."""
    bound, sampler, rng = bound_of(method), Seeing(), random.Random(0)
    assert bound.most is not None
    copy = WorkingCopy(FLAT, Target("score", goal), sampler, bound, 0)
    running = dict(copy.ask() for _ in range(5))
    slow = tuple(running)  # they run until all others have ended
    proposed, sizes, ended = dict(running), [], dict[int, float]()
    for _ in range(1500):
        number, params = copy.ask()
        assert number not in proposed
        ended_seen = {seen: trial for seen, trial in sampler.seen.items() if trial.state.is_finished()}
        sizes.append(len(ended_seen))
        assert sampler.seen.keys() - ended_seen.keys() == running.keys()
        assert all(trial.params == proposed[seen] for seen, trial in sampler.seen.items())
        assert {trial.state for trial in ended_seen.values()} <= set(bound.states)
        best = sorted(ended, key=lambda one: -ended[one] if goal == "maximize" else ended[one])[:25]
        assert ended_seen.keys() >= {*best, *sorted(ended)[-25:]}
        proposed[number] = running[number] = params
        if len(running) > 8:
            one = rng.choice(sorted(running.keys() - set(slow)))
            state, value, last = ends(rng, running.pop(one))
            copy.end(one, state, value, last)
            if value is not None:
                ended[one] = value
    assert max(sizes) == round(bound.most * 1.2) - 1
    assert sizes.count(bound.most) >= 5  # it was thinned out, and to that
    assert min(sizes[sizes.index(bound.most) :]) == bound.most
    for number in slow:
        copy.end(number, TrialState.COMPLETE, 1000.0 if goal == "maximize" else -1000.0, None)
        del running[number]
    copy.ask()
    assert {sampler.seen[number].state for number in slow} == {TrialState.COMPLETE}


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_a_long_record_is_thinned_out(method: str) -> None:
    sampler = Seeing()
    record = trials_of(FLAT, 1000)
    copy = WorkingCopy(FLAT, Target("score", "minimize"), sampler, bound_of(method), 0)
    copy.add(record)
    number, _ = copy.ask()
    assert number == 1000
    assert len(sampler.seen) == bound_of(method).most
    assert all(record[number].params == trial.params for number, trial in sampler.seen.items())


def test_a_rejected_proposal_leaves_no_trace() -> None:
    sampler = Seeing()
    copy = WorkingCopy(FLAT, Target("score", "minimize"), sampler, bound_of("tpe"), 0)
    first, _ = copy.ask()
    rejected, _ = copy.ask()
    copy.reject(rejected)
    third, _ = copy.ask()
    assert set(sampler.seen) == {first}
    assert third > rejected


def trials_of(space: Space, count: int, seed: int = 0) -> list[FrozenTrial]:
    """Return random trials that have ended, complete ones, pruned ones and failed ones, as a record has them."""
    rng, found = random.Random(seed), []
    for _ in range(count):
        params = space.draw(rng)
        state, value, last = ends(rng, params)
        values, distributions = searched_params(space, params)
        reported = {} if last is None else {0: 1.0, last[0]: last[1]}
        found.append(
            create_trial(
                state=state, params=values, distributions=distributions, value=value, intermediate_values=reported
            )
        )
    return found


def numbered(values: Iterable[float | None], first: int = 0) -> list[FrozenTrial]:
    """Return trials with these values; None: a pruned one."""
    found = []
    for number, value in enumerate(values, first):
        trial = create_trial(state=TrialState.PRUNED if value is None else TrialState.COMPLETE, value=value)
        trial.number = number
        found.append(trial)
    return found


@pytest.mark.parametrize("maximize", [False, True])
def test_the_best_and_the_recent_are_kept(maximize: bool) -> None:
    rng = random.Random(0)
    trials = numbered(rng.choice((rng.gauss(0, 1), None)) for _ in range(1000))
    keep = kept(trials, 300, maximize, seed=0)
    assert len(keep) == 300 and keep <= set(range(1000))
    complete = sorted((trial for trial in trials if trial.value is not None), key=lambda trial: trial.value or 0.0)
    best = complete[-40:] if maximize else complete[:40]
    assert keep >= {trial.number for trial in best}
    assert keep >= set(range(950, 1000))
    assert kept(rng.sample(trials, 1000), 300, maximize, seed=0) == keep  # in whatever order they are given
    assert kept(trials, 300, maximize, seed=1) != keep


def test_of_pruned_trials_the_best_are_those_that_came_furthest() -> None:
    pruned = numbered([None] * 400)
    rng = random.Random(0)
    for trial in pruned:
        trial.intermediate_values = {step: rng.random() for step in range(rng.randint(0, 9))}
    furthest = sorted((-step, value, trial.number) for trial in pruned for step, value in last(trial))
    assert kept(pruned, 300, maximize=False, seed=0) >= {number for *_, number in furthest[:40]}


def last(trial: FrozenTrial) -> list[tuple[int, float]]:
    """Return the last step that a trial reported and its value, if there is one."""
    return sorted(trial.intermediate_values.items())[-1:]


@pytest.mark.parametrize("most", [1, 2, 3, 10, 100, 299, 300])
@pytest.mark.parametrize("count", [0, 1, 99, 300, 301, 1000])
def test_the_size_is_exact(count: int, most: int) -> None:
    assert len(kept(numbered(float(number % 7) for number in range(count)), most, False, 0)) == min(count, most)


def test_the_others_are_a_fair_sample() -> None:
    """Of all trials there ever were, old or new, good or bad, complete or pruned, though thinned out every sixty."""
    rng = random.Random(0)
    places, ranks, pruned = list[float](), list[float](), list[float]()
    for seed in range(10):
        values = [None if rng.random() < 0.3 else rng.random() for _ in range(3000)]
        every, left = numbered(values), list[FrozenTrial]()
        for first in range(0, 3000, 60):
            left += every[first : first + 60]
            keep = kept(left, 300, False, seed)
            left = [trial for trial in left if trial.number in keep]
        at_once = kept(every, 300, False, seed)
        assert len(at_once & keep) > 295  # the sample is the same
        best = sorted((trial for trial in every if trial.value is not None), key=lambda trial: trial.value or 0.0)[:40]
        others = keep - {trial.number for trial in best} - set(range(2950, 3000))
        places += [number / 2950 for number in others]
        ranks += [value for number in others if (value := values[number]) is not None]
        pruned += [values[number] is None for number in others]
    for share, deviation in ((places, 0.29), (ranks, 0.29)):  # uniform on 0 to 1
        assert abs(sum(share) / len(share) - 0.5) < 4 * deviation / len(share) ** 0.5 + 0.01
    assert abs(sum(pruned) / len(pruned) - 0.3) < 0.03
