"""The file of a refined sweep: it says what was found, loads to what was meant, and begins with the best trial."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from review.recorded import Trial, complete, recorded, sweep_of

from hpo.decision.refine.evidence import gather
from hpo.decision.refine.keys import carried
from hpo.decision.refine.refine import RefinedSweep, refine
from hpo.decision.refine.seeds import seeds_of
from hpo.decision.refine.text import printable
from hpo.ledger.study.confirmations import (
    CONFIRMATIONS,
    Confirmation,
    Final,
    JudgedDifference,
    Yardstick,
)
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome
from hpo.ledger.study.space_change import fits
from hpo.objective.build import inspect
from hpo.review.studies import read_study
from hpo.spec.conditions import same_params
from hpo.spec.faults import UserError
from hpo.spec.load import load_sweep
from hpo.spec.space import Categorical, Constant, Parameter, Range, Space
from hpo.spec.sweep import TRAINABLE, Sweep

Value = Callable[[dict[str, Any]], float]
SPACE: dict[str, Any] = {
    "optimizer": {"values": ["sgd", "adam", "adagrad"]},
    "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0},
    "momentum": {"min": 0.0, "max": 0.99, "when": {"optimizer": ["sgd"]}},
    "layers": {"values": [[64, 32], [8], [128]]},
    "units": {"min": 8, "max": 256, "q": 8},
    "noise": {"min": 0.0, "max": 1.0},
    "epochs": {"value": 5},
}
FORBID = [
    {"optimizer": "sgd", "momentum": {">": 0.9}},
    {"lr": {">": 0.5}, "units": {">": 200}},
    {"lr": {"<": 1e-2}, "units": {"<": 16}},
]


def merit(params: dict[str, Any]) -> float:
    """Good with adam, near lr = 0.01, and with many units; `noise` and `layers` don't matter."""
    return -abs(math.log10(params["lr"]) + 2) - 2 * (params["optimizer"] != "adam") + params["units"] / 256


def study(
    folder: Path,
    value: Value = merit,
    trials: int = 240,
    goal: str = "maximize",
    space: dict[str, Any] | None = None,
    **keys: Any,
) -> Home:
    """Record a study of random trials; what is below the median of the first ones was pruned, lr above 0.6 diverged."""
    (folder / "objectives_here.py").write_text("def f(trial): return 0.0\n")
    keys = {"objective": str(folder / "objectives_here.py:f"), "budget": {"trials": trials}} | keys
    sweep = sweep_of(folder, space or SPACE, goal=goal, **keys)
    generator = random.Random(3)
    found = []
    while len(found) < trials:
        params = sweep.space.draw(generator)
        if not sweep.space.allowed(params):
            continue
        score = value(params)
        if params.get("lr", 0.0) > 0.6:
            found.append(Trial(params, Outcome("pruned", diverged=2), {"score": [1.0]}))
        elif len(found) % 3 and score < -2:
            found.append(Trial(params, Outcome("pruned"), {"score": [score]}))
        else:
            found.append(complete(score if goal == "maximize" else -score, **params))
    return recorded(Home(folder / "home"), sweep, found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("refine")


@pytest.fixture(scope="module")
def refined(folder: Path) -> RefinedSweep:
    home = study(folder, forbid=FORBID, name="größe 1", early_terminate={"type": "asha", "min_iter": 2},
                 engine={"workers": 3}, confirm={"top": 2, "seeds": 3}, retry={"died": 5}, seed=7, method="qmc",
                 data={"a": [1, {"b": "x: y"}]}, duplicates="replicate")  # fmt: skip
    return refine(home, "größe 1", folder / "second.yaml")


def test_what_matters_is_narrowed_and_what_does_not_is_fixed(refined: RefinedSweep) -> None:
    space = refined.sweep.space
    fates = {each.name: each.fate for each in refined.parameters}
    units_fate = fates.pop("units")
    assert fates.pop("momentum") == "left out" and fates.pop("epochs") == "constant"
    assert fates == {"optimizer": "fixed", "lr": "narrowed", "layers": "fixed", "noise": "fixed"}
    lr, units = space["lr"].domain, space["units"].domain
    assert isinstance(lr, Range) and 1e-4 < lr.low < 5e-3 and 2e-2 < lr.high < 0.5
    assert isinstance(units, Range) and units.high >= 256 and units_fate in ("widened", "narrowed", "kept")
    assert space["optimizer"].domain == Constant("adam")


def test_everything_else_is_carried_over(refined: RefinedSweep) -> None:
    sweep = refined.sweep
    assert sweep.name == "größe 1-refined" and sweep.budget.trials == 120 and sweep.seed == 8
    assert sweep.method == "qmc" and sweep.duplicates == "replicate"
    assert sweep.early_terminate.plain() == {"type": "asha", "min_iter": 2, "eta": 3}
    assert sweep.engine.workers == 3 and sweep.retry.died == 5
    assert sweep.confirm is not None and (sweep.confirm.top, sweep.confirm.seeds) == (2, 3)
    assert sweep.data == {"a": [1, {"b": "x: y"}]} and sweep.metric.goal == "maximize"
    assert "references" not in refined.text and "checkpoint_seconds" not in refined.text  # defaults


def test_clauses_that_can_hold_stay(refined: RefinedSweep) -> None:
    """Of the three, sgd is gone, and so is lr above 0.5."""
    assert refined.sweep.space.forbid in ((FORBID[2],), ())
    assert "can't happen any more: {optimizer: sgd" in refined.text


def test_it_begins_with_the_best(refined: RefinedSweep) -> None:
    first = refined.sweep.baselines[0]
    assert len(refined.sweep.baselines) == 5 and f"# trial {refined.seeds[0]}\n" in refined.text
    assert first["epochs"] == 5 and all(fits(refined.sweep.space, dict(each)) for each in refined.sweep.baselines)
    scores = [merit({"units": 8, **each}) for each in refined.sweep.baselines]
    assert scores == sorted(scores, reverse=True)


def test_the_file_says_why(refined: RefinedSweep) -> None:
    text = refined.text
    for part in (
        "# Refined by `hpo refine` from study 'größe 1': 240 trials with a result",
        "of the 36 good trials lie in",
        "searched before: 1e-05 to 1, log scale",
        "momentum is left out: it is there while optimizer is sgd, which never happens any more",
        "it doesn't seem to matter: good trials have its values as chance deals them (p = ",
        "importance by PED-ANOVA",
        "# half of the study's 240 trials",
    ):
        assert part in text.replace("\n  # ", " ").replace("\n# ", " "), part
    assert max(map(len, text.splitlines())) < 400


def test_it_loads_again_to_the_same_sweep(refined: RefinedSweep, folder: Path) -> None:
    (folder / "second.yaml").write_text(refined.text)
    again = load_sweep(folder / "second.yaml", inspect)
    assert again.space == refined.sweep.space and again.config() == refined.sweep.config()


def test_minimize_is_the_mirror_image(refined: RefinedSweep, tmp_path: Path) -> None:
    found = refine(study(tmp_path, goal="minimize", forbid=FORBID), "small", tmp_path / "second.yaml")
    assert found.sweep.space == refined.sweep.space and found.sweep.metric.goal == "minimize"


def test_noise_fixes_no_less_than_two(tmp_path: Path) -> None:
    """Nothing matters: what is fixed for that leaves something to search."""
    generator = random.Random(1)
    space = {name: {"min": 0.0, "max": 1.0} for name in "abcd"}
    found = refine(study(tmp_path, lambda params: generator.random(), 400, space=space), "small", tmp_path / "s.yaml")
    assert len(found.sweep.space.searched()) >= 2
    assert all(each.fate in ("fixed", "kept", "narrowed") for each in found.parameters)


def test_a_few_trials_change_little(tmp_path: Path) -> None:
    """Twenty trials of pure noise: nothing is fixed, and no choice is left out."""
    generator = random.Random(2)
    found = refine(study(tmp_path, lambda params: generator.random(), 20), "small", tmp_path / "second.yaml")
    assert not [each.name for each in found.parameters if each.fate == "fixed"]
    assert all(
        isinstance(p.domain, Range | Constant) or len(p.domain.values) == 3 for p in found.sweep.space.parameters
    )


def test_trials_that_tie_are_all_good(tmp_path: Path) -> None:
    home = study(tmp_path, lambda params: 1.0, 60)
    evidence = gather(read_study(home, "small"))
    assert len(evidence.good) == 60 - evidence.diverged > 50
    assert "no parameter could be narrowed" in " ".join(refine(home, "small", tmp_path / "second.yaml").words)


def test_what_lies_within_the_noise_is_good(tmp_path: Path) -> None:
    """Of 100 rows, one standard error at 0.9 is 0.03: 13 trials, and the rest of the best ten are among them."""
    sweep = sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}, metric="val_accuracy")
    values = [0.9 - 0.0025 * index for index in range(40)]
    trials = [Trial({"x": 0.5}, Outcome("complete", value=value), info={"validation_rows": 100}) for value in values]
    evidence = gather(read_study(recorded(Home(tmp_path / "home"), sweep, trials), "small"))
    assert [record.number for record in evidence.good] == list(range(13)) and evidence.within_noise == 13
    cut_off = [Trial({"x": 0.5}, Outcome("pruned", stopped_by="budget.seconds"), {"val_accuracy": [0.1]})] * 7
    (other := tmp_path / "other").mkdir()
    evidence = gather(read_study(recorded(Home(other), sweep, [*trials, *cut_off]), "small"))
    assert evidence.trials == 40  # what was cut off is no evidence


def test_the_winner_of_a_confirmation_is_the_best(tmp_path: Path) -> None:
    home = study(tmp_path, trials=60)
    before = gather(read_study(home, "small"))
    loser = before.rest[0]
    final = Final("", before.good[3].number, {}, 0.0, 0.0, None, None, ())
    result = JudgedDifference(0.0, (0.0, 0.0), 0.95, "not shown", "")
    for winner, best in ((final, final.number), (replace(final, number=None), before.best.number),
                         (replace(final, number=loser.number), before.best.number)):  # fmt: skip
        found = Confirmation("x", 0.0, (), (), winner, final, Yardstick("score", "maximize", "test"), result)
        storage = open_storage(home)
        storage.set_study_user_attr(storage.get_study_id_from_name("small"), CONFIRMATIONS, [found.attribute()])
        evidence = gather(read_study(home, "small"))
        if winner.number != loser.number or loser.state != "complete":
            assert evidence.best.number == best and len(evidence.good) == len(before.good)
        assert evidence.confirmed == (evidence.best.number == winner.number)


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_trials_that_were_stopped_late_count(tmp_path: Path, goal: str) -> None:
    """Of 60 trials four are complete, one of them a bad baseline; 30 were stopped at step 6 of 10, one of them better
    than all complete ones; the others were better still, but stopped at step 4."""
    sign = 1 if goal == "maximize" else -1
    sweep = sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}, goal=goal)
    trials = []
    for index in range(60):
        steps = 10 if index < 4 else 6 if index < 34 else 4
        value = sign * (-9.0 if index == 0 else 1.0 if index == 5 else 2.0 if index >= 34 else -index / 60)
        outcome = Outcome("complete", value=value) if index < 4 else Outcome("pruned")
        trials.append(Trial({"x": index / 60}, outcome, {"score": [value] * steps}))
    home = recorded(Home(tmp_path / "home"), sweep, trials)
    evidence = gather(read_study(home, "small"))
    assert [record.number for record in evidence.good] == [1, 2, 3, 5, 4, 6, 7, 8, 9, 10]
    assert evidence.best.number == 1 and evidence.complete == 4 and evidence.worst_good == sign * -10 / 60
    assert [number for number, _ in seeds_of(evidence, sweep.space, 1000)] == [1, 2, 3]


def test_a_good_trial_outside_the_refined_space_is_no_baseline(tmp_path: Path) -> None:
    evidence = gather(read_study(study(tmp_path, trials=60), "small"))
    second = evidence.good[1].params["lr"]
    low, high = sorted([evidence.best.params["lr"], second])
    narrow = Range(low, (low * high) ** 0.5, log=True) if second == high else Range((low * high) ** 0.5, high, log=True)
    parameters = [Parameter(p.name, narrow if p.name == "lr" else p.domain, p.when)
                  for p in evidence.study.sweep.space.parameters]  # fmt: skip
    numbers = [number for number, _ in seeds_of(evidence, Space(tuple(parameters)), 1000)]
    assert numbers[0] == evidence.best.number and evidence.good[1].number not in numbers
    assert len(seeds_of(evidence, evidence.study.sweep.space, 29)) == 2


def test_a_grid_that_fits_stays_one(tmp_path: Path) -> None:
    space = {"a": {"min": 0, "max": 9}, "b": {"values": [1, 2, 3, 4]}}
    home = study(
        tmp_path,
        lambda params: -abs(params["a"] - 4) + params["b"] / 10,
        40,
        space=space,
        method="grid",
        budget={"trials": 40},
    )
    found = refine(home, "small", tmp_path / "second.yaml")
    assert found.sweep.method == ("grid" if "method: grid" in found.text else "qmc")
    assert found.sweep.method == "grid" or "would be one corner of the space" in found.text
    assert refine(home, "small", tmp_path / "second.yaml", trials=1000).sweep.method == "grid"


@pytest.mark.parametrize(("goal", "best", "kept"), [("maximize", 0.9, True), ("maximize", 0.95, False),
                                                    ("minimize", 0.9, False), ("minimize", 1.0, True)])  # fmt: skip
def test_a_target_that_is_reached_is_left_out(load: Callable[..., Sweep], goal: str, best: float, kept: bool) -> None:
    sweep = load(f"""
        metric: {{name: score, goal: {goal}, target: 0.95}}
        budget: {{trials: 9, seconds: 90, failures: 7}}
        confirm: {{top: 3}}
    """)
    keys = carried(sweep.config() | {"of_a_later_version": 1}, "words", best, sweep.space, None)
    assert ("target" in keys.values["metric"]) == kept and ("metric" in keys.comments) == (not kept)
    assert keys.values["budget"] == {"trials": 5, "seconds": 50, "failures": 7}
    assert keys.values["confirm"] == {"top": 3, "seeds": 5}  # the defaults, which are asked for
    assert keys.values["description"] == "words" and "no such key: of_a_later_version" in keys.notes[0]


@pytest.mark.parametrize("name", ["seed", "x"])
def test_fresh_seeds_are_claimed_unless_the_seed_is_a_hyperparameter(tmp_path: Path, name: str) -> None:
    space = {name: {"min": 0, "max": 100}, "y": {"min": 0.0, "max": 1.0}}
    text = refine(study(tmp_path, lambda params: params["y"], 40, space=space), "small", tmp_path / "second.yaml").text
    assert "another one than the study's" in text and ("with fresh seeds" in text) == (name != "seed")


@pytest.mark.parametrize("seed", range(12))
def test_any_space_gives_a_file_that_loads(tmp_path: Path, seed: int) -> None:
    """`refine` itself compares the space that its file is read as with the one that was meant."""
    generator = random.Random(seed)
    space: dict[str, Any] = {}
    choices = [True, "true", "a\nb", "a\u2028b", "# no comment", [1, [2]], {"a": 1}, None, 3, "\u2028", 1e-9, "é", "on"]
    for index in range(generator.randint(2, 6)):
        forms: list[dict[str, Any]] = [
            {"values": generator.sample(choices, generator.randint(2, 6))},
            {"values": ["a", "b"], "probabilities": [0.25, 0.75]},
            {"min": 1, "max": generator.randint(2, 40)},
            {"min": -3, "max": 60, "q": generator.randint(1, 9)},
            {"min": -1.5, "max": 2.0},
            {"min": 0.0, "max": 3.0, "q": 0.1},
            {"distribution": "log_uniform_values", "min": 1e-7, "max": generator.choice([1e-5, 1.0, 1e6])},
            {"distribution": "q_log_uniform_values", "min": 1, "max": 1024, "q": generator.choice([1, 7, 16])},
        ]
        entry = generator.choice(forms)
        if space and generator.random() < 0.4:
            other, its = generator.choice(list(space.items()))
            entry["when"] = {other: {"in": its["values"][:1]} if "values" in its else {">": its["min"]}}
        space[f"outer.p{index} ü"] = entry
    home = study(tmp_path, lambda params: sum(value for value in params.values() if type(value) in (int, float)) % 7.3,
                 generator.choice([30, 90]), space=space)  # fmt: skip
    found = refine(home, "small", tmp_path / "second.yaml")
    assert found.sweep.baselines and found.seeds


def test_a_comment_stays_one() -> None:
    assert printable("a\u2028b\nc é") == "a\\u2028b\\nc é"


def test_a_refined_study_is_refined_again(tmp_path: Path) -> None:
    found = refine(study(tmp_path, name="a-refined", trials=40), "a-refined", tmp_path / "s.yaml")
    assert found.sweep.name == "a-refined-2"


@pytest.mark.parametrize(
    ("trials", "said"),
    [(0, "has no trials with a result, 0 of them complete or stopped late: "), (19, "has 19 trials with a result, ")],
)
def test_too_few_trials(tmp_path: Path, trials: int, said: str) -> None:
    home = study(tmp_path, trials=max(trials, 1)) if trials else study(tmp_path, trials=0, budget={"trials": 5})
    with pytest.raises(UserError, match="from 20 on, 10 of them complete or stopped late") as caught:
        refine(home, "small")
    assert said in str(caught.value) and "--extend " in str(caught.value)


def test_failed_and_running_trials_are_no_results(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}})
    trials = [Trial({"x": 0.5}, Outcome("failed", error="no luck")), Trial({"x": 0.5})] * 30
    with pytest.raises(UserError, match="has no trials with a result"):
        refine(recorded(Home(tmp_path / "home"), sweep, trials), "small")


def test_a_study_that_searches_nothing(tmp_path: Path) -> None:
    home = study(tmp_path, lambda params: 0.0, 1, space={"x": {"value": 1}})
    with pytest.raises(UserError, match="searches nothing"):
        refine(home, "small")


def test_a_study_of_ray_tune(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}, objective=TRAINABLE)
    with pytest.raises(UserError, match="made under Ray Tune"):
        refine(recorded(Home(tmp_path / "home"), sweep, []), "small")


def test_an_objective_that_is_gone(tmp_path: Path) -> None:
    home = study(tmp_path, trials=40)
    (tmp_path / "objectives_here.py").unlink()
    with pytest.raises(UserError, match="there is no file"):
        refine(home, "small")


def test_the_best_is_what_the_study_calls_best(refined: RefinedSweep, folder: Path) -> None:
    best = read_study(Home(folder / "home"), "größe 1").complete[0]
    changed = {each.name for each in refined.parameters if each.fate == "left out"}
    assert not changed & best.params.keys()
    assert same_params({**best.params}, dict(refined.sweep.baselines[0]))
    assert isinstance(refined.sweep.space["layers"].domain, Constant | Categorical)
