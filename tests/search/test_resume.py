"""Whatever a decision rests on is the same live and after a resume, in whatever order trials begin."""

from __future__ import annotations

import random

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.events import Decision
from hpo.plan.planner import Opening, Planner
from hpo.search.searcher import Proposal, Searcher
from hpo.spec.space import Categorical, Parameter, Range
from hpo.spec.sweep import Sweep
from hpo.stopping.asha import AshaKeys
from hpo.stopping.base import StoppingKeys
from hpo.stopping.hyperband import HyperbandKeys
from hpo.stopping.patience import PatienceKeys
from hpo.stopping.percentile import MedianKeys, PercentileKeys

from .support import drawn, numbered, space_of, sweep_of

RULES: dict[str, StoppingKeys] = {
    "asha": AshaKeys(type="asha", min_iter=1, eta=3),
    "hyperband": HyperbandKeys(type="hyperband", min_iter=1, eta=3),
    "median": MedianKeys(type="median", n_startup_trials=3),
    "percentile": PercentileKeys(type="percentile", n_startup_trials=3, percentile=40.0, interval_steps=2),
    "patience": PatienceKeys(type="patience", patience=2),
}
EPOCHS = 12
SPACE = space_of(Parameter("x", Range(0.0, 1.0)), Parameter("width", Categorical((8, 16, 32))))


def sweep(kind: str, goal: str, epochs: int | None) -> Sweep:
    return sweep_of(SPACE, goal=goal, rule=RULES[kind], epochs=epochs, shapes=("width",))


def by_shape(sweep: Sweep, proposals: list[Proposal]) -> list[Proposal]:
    """Return proposals in the order in which the planner has them begin: grouped by shape."""
    planner: Planner[Proposal] = Planner(8, 2, Opening(64, 64))
    for proposal in proposals:
        planner.add(sweep.shape_of(proposal.params), proposal, new=True)
    begun: list[Proposal] = []
    while groups := planner.take(2):
        begun += [proposal for group in groups for proposal in group]
    return begun


def train(searcher: Searcher, sweep: Sweep, rng: random.Random, first: int) -> tuple[list[Decision], list[FrozenTrial]]:
    """Propose 40 trials, which begin by shapes with the numbers from `first` on, and train them side by side; some
    fail. Return the decisions in order, and the record of the trials in the order of their numbers."""
    proposals = [proposal for _ in range(40) if (proposal := searcher.propose()) is not None]
    begun = by_shape(sweep, proposals)
    assert len(begun) == 40 and begun != proposals
    for number, proposal in enumerate(begun, first):
        searcher.begin(proposal.key, number, None)
    waiting, decided, record = [proposal.key for proposal in begun], [], dict[int, FrozenTrial]()
    running, values = dict[int, int](), {key: dict[int, float]() for key in waiting}
    lengths = {key: sweep.budget.epochs or rng.randint(2, EPOCHS) for key in waiting}
    keys = list(waiting)
    while waiting or running:
        while waiting and len(running) < 6:
            running[waiting.pop(0)] = 0
        place = rng.randrange(len(running))
        key = list(running)[place]
        running[key] += 1
        step = running[key]
        values[key][step] = drawn(rng)
        decided.append(searcher.report(key, step, values[key][step], decide=True))
        state = None
        if decided[-1] is Decision.STOP:
            state = TrialState.PRUNED
        elif rng.random() < 0.02:
            state = TrialState.FAIL
        elif step == lengths[key]:
            state = TrialState.COMPLETE
        if state is not None:
            del running[key]
            final = values[key][step] if state == TrialState.COMPLETE else None
            searcher.finish(key, state, final)
            record[key] = create_trial(state=state, value=final, intermediate_values=values[key])
    return decided, numbered([record[key] for key in keys])


@pytest.mark.parametrize("epochs", [EPOCHS, None])
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("kind", RULES)
def test_a_sweep_that_goes_on_decides_as_if_it_had_not_stopped(kind: str, goal: str, epochs: int | None) -> None:
    """What the record has of trials that ended, failed ones too, is all that later decisions rest on. The planner has
    trials begin by shapes, so the order of their numbers is not that in which they were proposed. Without `epochs`, a
    trial is as long as its objective likes."""
    mixed = sweep(kind, goal, epochs)
    for seed in range(5):
        live = Searcher(mixed)
        before, record = train(live, mixed, random.Random(seed), 0)
        decided = []
        for searcher in (live, Searcher(mixed, record)):
            decided.append(train_alike(searcher, random.Random(seed + 100)))
        assert decided[0] == decided[1]
        assert set(before) == {Decision.STOP, Decision.CONTINUE} == set(decided[0])


def train_alike(searcher: Searcher, rng: random.Random) -> list[Decision]:
    """Train trials with the numbers from 40 on, which report the same whatever is proposed; return the decisions."""
    decided = []
    for number in range(40, 80):
        proposal = searcher.propose()
        assert proposal is not None
        searcher.begin(proposal.key, number, None)
        for step in range(1, EPOCHS + 1):
            value = drawn(rng)
            decided.append(searcher.report(proposal.key, step, value, decide=True))
            if decided[-1] is Decision.STOP:
                break
        complete = decided[-1] is Decision.CONTINUE
        searcher.finish(proposal.key, TrialState.COMPLETE if complete else TrialState.PRUNED, value)
    return decided


def test_a_trial_that_was_interrupted_keeps_its_bracket() -> None:
    """Begun again, and again, under other numbers, it is decided on as it would have been."""
    rules = sweep_of(SPACE, rule=RULES["hyperband"], epochs=EPOCHS, goal="minimize")

    def stops_of(searcher: Searcher, number: int, repeats: int | None) -> list[int]:
        proposal = searcher.propose()
        assert proposal is not None
        searcher.begin(proposal.key, number, repeats)
        steps = range(1, EPOCHS + 1)
        values = {step: searcher.report(proposal.key, step, 9.0, decide=True) for step in steps}
        searcher.finish(proposal.key, TrialState.FAIL)
        return [step for step, decision in values.items() if decision is Decision.STOP]

    good = numbered([create_trial(value=0.0, intermediate_values=dict.fromkeys(range(1, 13), 0.0)) for _ in range(40)])
    seen = set()
    for number in range(40, 60):
        interrupted = create_trial(state=TrialState.FAIL, user_attrs={"interrupted": True})
        interrupted.number = number
        again = create_trial(state=TrialState.FAIL, user_attrs={"interrupted": True, "retry_of": number})
        again.number = 100 + number
        expected = stops_of(Searcher(rules, good), number, None)
        live = Searcher(rules, good)
        live_stops = [stops_of(live, number, None), stops_of(live, 100 + number, number)]
        assert [*live_stops, stops_of(live, 200 + number, 100 + number)] == [expected] * 3
        assert stops_of(Searcher(rules, [*good, interrupted, again]), 200 + number, 100 + number) == expected
        seen.add(tuple(expected))
    assert len(seen) > 1
