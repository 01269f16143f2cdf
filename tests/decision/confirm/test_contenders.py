"""Who is confirmed, against whom, by which seeds; and how those who did not come through are ranked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from review.recorded import Trial, complete, recorded, sweep_of

from hpo.decision.confirm.choosing import chosen
from hpo.decision.confirm.contenders import contenders_of, defaults_in
from hpo.decision.confirm.plan import confirming_names, confirming_sweep, free_name, fresh_seeds, name_of
from hpo.decision.confirm.trained import are_all_there, cells_of, rank, shared_seeds
from hpo.ledger.study.confirmations import CONFIRMS, Confirming, Contender, confirming, looks_at
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.review.display import Display
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.conditions import identity_of
from hpo.spec.contract import Contract, Known
from hpo.spec.faults import SpecError, UserError
from hpo.spec.named import Inspection
from hpo.spec.space import Constant, Parameter, Range, Space

SPACE = {"x": {"min": 0.0, "max": 10.0}, "kind": {"values": ["a", "b"]}, "y": {"value": 1, "when": {"kind": "b"}}}
BASELINE = {"x": 5.0, "kind": "a"}


def study_of(folder: Path, trials: list[Trial], **keys: Any) -> RecordedStudy:
    home = recorded(Home(folder / "home"), sweep_of(folder, SPACE, **keys), trials)
    return read_study(home, "small")


TRIALS = [
    complete(0.1, **BASELINE),
    complete(0.9, x=1.0, kind="b", y=1),
    complete(0.8, x=2.0, kind="a"),
    complete(0.85, x=1.0, kind="b", y=1),  # the same again
    Trial({"x": 3.0, "kind": "a"}, Outcome("pruned")),
    Trial({"x": 4.0, "kind": "a"}, Outcome("failed", error="no")),
    Trial({"x": 6.0, "kind": "a"}),  # it runs
]


def test_the_best_configurations_and_the_first_baseline(tmp_path: Path) -> None:
    study = study_of(tmp_path, TRIALS, baselines=[BASELINE, {"x": 6.0, "kind": "a"}])
    found = contenders_of(study, 2, None, None)
    assert [(each.name, each.number, each.baseline) for each in found] == [
        ("trial 1", 1, False), ("trial 2", 2, False), ("baseline (trial 0)", 0, True),
    ]  # fmt: skip
    assert found[0].params == {"x": 1.0, "kind": "b", "y": 1}
    assert [each.number for each in contenders_of(study, 10, None, None)] == [1, 2, 0]  # each once
    assert [each.number for each in contenders_of(study, 1, 2, None)] == [1, 2]


def test_without_baselines_the_objectives_defaults(tmp_path: Path) -> None:
    study = study_of(tmp_path, TRIALS)
    contract = Contract({"x": Known("float", 99.0), "kind": Known("choice", "b", choices=("a", "b"))}, {})
    baseline = contenders_of(study, 1, None, contract)[-1]
    assert (baseline.name, baseline.number) == ("the defaults", None)
    assert baseline.params == {"x": 99.0, "kind": "b", "y": 1}  # whether the space holds them or not
    space = Space((Parameter("x", Constant(3)), Parameter("seed", Range(0, 9)), Parameter("kind", Constant("a"))))
    assert defaults_in(space, contract) == {"x": 3, "kind": "a"}


def test_what_can_not_be_confirmed_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to judge the winner against"):
        contenders_of(study_of(tmp_path, TRIALS), 1, None, None)
    with pytest.raises(UserError, match="has no trial 4 with a value"):
        contenders_of(read_study(Home(tmp_path / "home"), "small"), 1, 4, None)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="has no trial with a value yet"):
        contenders_of(study_of(tmp_path / "none", TRIALS[4:], baselines=[BASELINE]), 1, None, None)


def test_seeds_are_fresh_and_the_same_each_time() -> None:
    first = fresh_seeds(1, "small.confirm", 5, [])
    assert fresh_seeds(1, "small.confirm", 5, []) == first and len(set(first)) == 5
    assert not set(fresh_seeds(1, "small.confirm", 5, first[:2])) & set(first[:2])
    assert not set(fresh_seeds(1, "small.confirm.2", 5, [])) & set(first)


def what_of(study: str = "small", study_id: str = "an id", seeds: tuple[int, ...] = (11, 12, 13)) -> Confirming:
    contenders = (Contender("trial 1", 1, {"x": 1.0, "kind": "b", "y": 1}), Contender("baseline", None, BASELINE, True))
    return Confirming(study, study_id, contenders, seeds, takes_seed=False, outputs=False)


def test_a_confirmation_is_known_by_its_contenders_and_the_number_of_seeds() -> None:
    what = what_of()
    kept = confirming({CONFIRMS: what.attribute()})
    assert kept == what
    assert what.is_of("small", "an id", what.contenders, 3)
    assert not what.is_of("small", "an id", what.contenders, 4)
    assert not what.is_of("small", "another", what.contenders, 3)
    assert not what.is_of("small", "an id", what.contenders[1:], 3)
    studies = {name_of("small", 1): {CONFIRMS: what.attribute()}, name_of("small", 0): {}, "small": {}}
    assert confirming_names("small", "an id", studies) == ["small.confirm.2"]  # small.confirm is somebody's sweep
    assert confirming_names("small", "another", studies) == []
    assert free_name("small", studies) == "small.confirm.3"


def test_its_sweep_trains_each_contender_with_each_seed_and_nothing_else(tmp_path: Path) -> None:
    from hpo.search.searcher import Searcher

    study = study_of(tmp_path, TRIALS, engine={"workers": 3})
    study = replace(study, attributes={**study.attributes, "sweep": study.config | {"target": 0.05}})
    assert study.sweep.metric.target == 0.05
    sweep = confirming_sweep(study, "small.confirm", what_of(), {"workers": 1}, Inspection(None))
    assert (sweep.budget.trials, sweep.engine.workers, sweep.space["x"].domain.values) == (6, 1, (1.0, 5.0))
    assert (sweep.metric.name, sweep.metric.goal, sweep.metric.target) == ("score", "maximize", None)
    searcher, proposed = Searcher(sweep), []
    while (proposal := searcher.propose()) is not None:
        proposed.append(proposal.params)
    assert len(proposed) == 6 and {params["seed"] for params in proposed} == {11, 12, 13}
    assert sweep.passed(proposed[0]) == {name: value for name, value in proposed[0].items() if name != "seed"}
    with pytest.raises(SpecError, match="workers"):
        confirming_sweep(study, "small.confirm", what_of(), {"workers": "many"}, Inspection(None))


def record(number: int, place: int, seed: int, value: float | None, **facts: Any) -> TrialRecord:
    outcome = Outcome("complete", value=value) if value is not None else Outcome(**({"state": "failed"} | facts))
    return TrialRecord(number, {**what_of().contenders[place].params, "seed": seed}, seed, outcome=outcome)


def test_who_diverged_or_failed_is_out_but_the_baseline_has_its_good_seeds() -> None:
    what = what_of()
    records = [record(index, 0, seed, 0.5 + index) for index, seed in enumerate(what.seeds)]
    records += [record(3, 1, 11, 9.0), record(4, 1, 12, 9.5), record(5, 1, 13, None, state="pruned", diverged=2)]
    cells = cells_of(what, records)
    assert are_all_there(what, cells)
    first, second = rank(what, cells, "maximize")
    assert (first.name, first.validation, first.out) == ("baseline", 9.25, "diverged with 1 of 3 seeds")
    assert (second.validation, second.validation_sd, second.trials) == (1.5, 1.0, (0, 1, 2))
    assert rank(what, cells, "minimize")[0].name == "trial 1"
    assert shared_seeds(what, cells, second, first) == [0, 1]
    worse = [*records[:2], record(2, 0, 13, None, error="ValueError: no"), *records[3:]]
    out = rank(what, cells_of(what, worse), "maximize")[-1]
    assert (out.validation, out.out) == (None, "failed with 1 of 3 seeds (ValueError: no)")


def test_an_interrupted_trial_is_not_there() -> None:
    what = what_of()
    records = [record(0, 0, 11, None, interrupted=True), record(1, 0, 11, 0.5)]
    assert list(cells_of(what, records)) == [(0, 0)] and cells_of(what, records)[0, 0].number == 1
    assert not are_all_there(what, cells_of(what, records))


def test_a_name_that_only_a_look_knows_is_taken(tmp_path: Path) -> None:
    study = study_of(tmp_path, TRIALS, baselines=[BASELINE])
    look = {"study": "small.confirm", "data": "rows", "moment": 1.0}
    study = replace(study, attributes={**study.attributes, "test_looks": [look]})
    contenders = contenders_of(study, 1, None, None)
    started = chosen(Home(tmp_path / "home"), study, contenders, 2, Inspection(), Display())
    assert started.name == "small.confirm.2"


def test_looks_are_counted_over_all_studies() -> None:
    def look(study: str, data: str, moment: float) -> dict[str, Any]:
        return {"study": study, "data": data, "moment": moment}

    studies = [
        {"test_looks": [look("b", "rows", 2.0), look("c", "others", 0.0)]},
        {"test_looks": [look("a", "rows", 1.0)]},
        {},
    ]
    assert looks_at("rows", studies) == ["a", "b"] and looks_at("none", studies) == []


def test_names_of_contenders_tell_them_apart(tmp_path: Path) -> None:
    study = study_of(tmp_path, TRIALS, baselines=[BASELINE])
    found = contenders_of(study, 5, None, None)
    assert len({each.name for each in found}) == len({identity_of(each.params) for each in found}) == len(found)


def test_a_study_of_ray_tune_is_refused_with_the_reason(tmp_path: Path) -> None:
    from hpo.decision.confirm.run import ConfirmWish, confirm
    from hpo.review.display import Display

    study_of(tmp_path, TRIALS, objective="ray.tune trainable", baselines=[BASELINE])
    with pytest.raises(UserError, match="its trainable is in your script"):
        confirm(Home(tmp_path / "home"), "small", ConfirmWish(), Display())
