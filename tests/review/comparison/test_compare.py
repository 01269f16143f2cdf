"""What is compared with what: choices, ranges, studies; pairs; trials that were stopped, diverged, failed or run."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome
from hpo.review.comparison.compare import compare
from hpo.review.comparison.drawing import draw_curves
from hpo.review.comparison.values import Comparison
from hpo.review.comparison.words import comparison_lines
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.faults import UserError
from review.recorded import Trial, complete, driven, recorded, sweep_of

SPACE = {"kind": {"values": ["relu", "[b]ä", "tanh"]}, "lr": {"min": 0.0, "max": 1.0}}
STOPPED, DIVERGED = Outcome("pruned", value=0.2), Outcome("pruned", diverged=3)


def study_of(folder: Path, trials: list[Trial], name: str = "one", space: Any = None, **keys: Any) -> RecordedStudy:
    home = Home(folder / "home")
    sweep = sweep_of(folder, space or SPACE, name=name, **{"method": "random", **keys})
    recorded(home, sweep, [replace(trial, seed=seed) for seed, trial in enumerate(trials)])
    with driven(home, name):
        return read_study(home, name)


def curve(final: float, kind: str, lr: float, steps: int = 4) -> Trial:
    values = [final * step / 4 for step in range(1, steps + 1)]
    outcome = Outcome("complete", value=values[-1]) if steps == 4 else Outcome("pruned", value=values[-1])
    return Trial({"kind": kind, "lr": lr}, outcome, {"score": values})


def grid(gain: float, count: int = 9) -> list[Trial]:
    """Pairs of two kinds: what lr does is more than what the kind does."""
    draw = random.Random(1)
    return [
        curve(5 * index + gain * (kind == "relu") + draw.gauss(0, 0.1), kind, index / 10)
        for index in range(count)
        for kind in ("relu", "tanh")
    ]


def finding(comparison: Comparison) -> tuple[str, str, str, str]:
    (difference,) = comparison.differences
    return difference.left, difference.right, difference.finding, difference.pairing


def test_pairs_find_what_is_lost_among_all(tmp_path: Path) -> None:
    found = compare([study_of(tmp_path, grid(1.0))], "kind")
    assert finding(found) == ("relu", "tanh", "better", "configuration")
    (difference,) = found.differences
    assert difference.pairs == 9 and difference.shift == pytest.approx(1.0, abs=0.2)
    # The same trials without partners: lr is noise.
    alone = [replace(trial, params=trial.params | {"lr": index / 100}) for index, trial in enumerate(grid(1.0))]
    assert finding(compare([study_of(tmp_path, alone, "two")], "kind"))[2:] == ("not shown", "none")


def test_only_trials_that_meet_a_condition(tmp_path: Path) -> None:
    study = study_of(tmp_path, grid(1.0))
    found = compare([study], "kind", where="lr < 0.55")
    (difference,) = found.differences
    assert difference.pairs == 6 and "only trials where lr < 0.55: 12" in found.remarks
    with pytest.raises(UserError, match="no trial meets --where 'lr > 9'"):
        compare([study], "kind", where="lr > 9")
    with pytest.raises(UserError, match="no column 'lt'"):
        compare([study], "kind", where="lt > 9")


def test_stopped_trials_count_with_what_both_had_at_the_same_step(tmp_path: Path) -> None:
    """All of the better kind were stopped after step 2: less than what the others had in the end, more than then."""
    better = [curve(10 + index / 100, "relu", index / 20, steps=2) for index in range(8)]
    worse = [curve(8 + index / 100, "tanh", 0.5 + index / 20) for index in range(8)]
    found = compare([study_of(tmp_path, [*better, *worse])], "kind")
    assert finding(found)[:3] == ("relu", "tanh", "better")
    relu, _, tanh = found.choices
    assert (relu.trials.stopped, relu.best, relu.median) == (8, 10.07 * 2 / 4, None)
    assert (relu.best_trial, tanh.best) == (7, 8.07)
    assert relu.curve.trials == (8, 8) and tanh.curve.trials == (8, 8, 8, 8)
    assert any("same epoch" in remark for remark in found.remarks)


def test_studies_of_two_rules_are_told_apart(tmp_path: Path) -> None:
    """A stopped winner is its choice's best, by the rule of its own study."""
    trials = [curve(9.0, "relu", 0.1, steps=2), curve(3.0, "relu", 0.2)]
    studies = [study_of(tmp_path, trials, at, at=at) for at in ("last", "best")]
    found = compare(studies)
    assert [(each.best, each.best_trial) for each in found.choices] == [(4.5, 0)] * 2
    assert any("in last a trial's value is that of its last step" in remark for remark in found.remarks)
    again = study_of(tmp_path, grid(1.0), "more")
    assert not any("not of one rule" in remark for remark in compare([studies[0], again]).remarks)


def test_diverged_failed_and_running_ones(tmp_path: Path) -> None:
    trials = [curve(1 + index / 100, "relu", index / 20) for index in range(6)]
    trials += [Trial({"kind": "tanh", "lr": index / 20}, DIVERGED, {"score": [9.0, 9.0]}) for index in range(6)]
    trials += [Trial({"kind": "tanh", "lr": 0.9}, Outcome("failed", error="no")), Trial({"kind": "tanh", "lr": 0.8})]
    found = compare([study_of(tmp_path, trials)], "kind")
    assert finding(found)[:3] == ("relu", "tanh", "better")
    tanh = found.choices[2].trials
    assert (tanh.complete, tanh.diverged, tanh.failed, tanh.running, tanh.ended) == (0, 6, 1, 1, 7)
    low, high = found.choices[2].lost
    assert low is not None and low > 0.6 and high is not None and high > 0.99
    json.dumps(found.plain(), allow_nan=False)


def test_time_to_a_value(tmp_path: Path) -> None:
    trials = [curve(4.0, "relu", 0.1), curve(8.0, "relu", 0.2), curve(2.0, "relu", 0.3), curve(1.0, "tanh", 0.1)]
    study = study_of(tmp_path, trials, baselines=[{"kind": "relu", "lr": 0.1}])
    found = compare([study], "kind")
    assert (found.target, found.target_from) == (4.0, "the baseline of one, trial 0")
    relu, _, tanh = (choice.reached for choice in found.choices)
    assert relu is not None and tanh is not None
    assert (relu.trials, relu.of, relu.first_steps, relu.first_seconds) == (2, 3, 2, 2.0)
    assert (relu.half_steps, tanh.trials, tanh.half_steps) == (4, 0, None)
    assert compare([study], "kind", target=1.0).target_from == "as given"


@pytest.mark.parametrize("bins", [None, 2])
def test_a_range_is_divided_by_the_numbers_of_trials(tmp_path: Path, bins: int | None) -> None:
    study = study_of(
        tmp_path, [complete(lr, kind="relu", lr=lr) for lr in (0.01, 0.02, 0.03, 0.04, 0.5, 0.6, 0.7, 0.8)]
    )
    choices = compare([study], "lr", bins=bins).choices
    assert [choice.trials.complete for choice in choices] == ([2] * 4 if bins is None else [4, 4])
    assert choices[0].label == ("0.01 to 0.02" if bins is None else "0.01 to 0.04")


def test_studies(tmp_path: Path) -> None:
    first = study_of(tmp_path, [trial for trial in grid(1.0) if trial.params["kind"] == "relu"], "größe 1")
    second = study_of(tmp_path, [trial for trial in grid(1.0) if trial.params["kind"] == "tanh"], "two", method="tpe")
    found = compare([first, second])
    assert finding(found)[:2] == ("größe 1", "two") and [choice.label for choice in found.choices] == ["größe 1", "two"]
    assert finding(compare([first, second], "kind")) == ("relu", "tanh", "too few trials", "none")
    same = study_of(tmp_path, [trial for trial in grid(0.0) if trial.params["kind"] == "relu"], "three")
    assert finding(compare([first, same]))[2:] == ("better", "configuration and seed")


def test_a_search_that_learns_is_said_so(tmp_path: Path) -> None:
    trials = [curve(index, "relu" if index % 2 else "tanh", index / 40) for index in range(30)]
    learnt, drawn = (compare([study_of(tmp_path, trials, name, method=name)], "kind") for name in ("tpe", "random"))
    assert any("no random sample" in remark for remark in learnt.remarks)
    assert not any("no random sample" in remark for remark in drawn.remarks)


def test_repeats_and_interrupted_ones_count_once(tmp_path: Path) -> None:
    twice = curve(1.0, "relu", 0.1)
    study = study_of(tmp_path, [])
    assert compare([study], "kind").differences == ()
    home, sweep = Home(tmp_path / "other"), sweep_of(tmp_path, SPACE, method="random")
    recorded(home, sweep, [twice, twice, Trial({"kind": "tanh", "lr": 0.1}, Outcome("failed", interrupted=True))])
    found = compare([read_study(home, "small")], "kind")
    assert [choice.trials.ended for choice in found.choices] == [1, 0, 0]
    assert found.remarks[0].startswith("2 trials of small left out")


def test_what_depends_on_the_choice_belongs_to_it(tmp_path: Path) -> None:
    space = SPACE | {"slope": {"min": 0.0, "max": 1.0, "when": {"kind": "relu"}}}
    trials = [
        replace(trial, params=trial.params | ({"slope": index / 20} if trial.params["kind"] == "relu" else {}))
        for index, trial in enumerate(grid(1.0))
    ]
    assert finding(compare([study_of(tmp_path, trials, space=space)], "kind"))[3] == "configuration"
    found = compare([study_of(tmp_path, trials, "two", space)], "slope", bins=2)
    assert any(remark == "9 trials without slope left out" for remark in found.remarks)


def test_what_can_t_be_compared(tmp_path: Path) -> None:
    one = study_of(tmp_path, grid(1.0))
    other = study_of(tmp_path, [], "other", goal="minimize")
    for studies, by, bins, words in (
        ([one, other], "kind", None, r"their metrics differ \(maximize score, minimize score\)"),
        ([one, one], None, None, "'one' is named more than once"),
        ([one], None, None, r"by what\? Name a parameter \(--by, one of: kind, lr\)"),
        ([one], "kin", None, r"no parameter 'kin' in study 'one' \(did you mean 'kind'\?\)"),
        ([one], "kind", 3, "--bins is for ranges, but kind has choices"),
        ([other], "lr", None, "nothing to compare: no trial has lr"),
    ):
        with pytest.raises(UserError, match=words):
            compare(studies, by, bins=bins)


@pytest.mark.parametrize("width", [80, 120])
def test_words_fit_their_width(tmp_path: Path, width: int) -> None:
    trials = [replace(trial, params=trial.params | {"kind": "[b]ä"}) if index % 3 else trial
              for index, trial in enumerate(grid(1.0))]  # fmt: skip
    lines = comparison_lines(compare([study_of(tmp_path, [*trials, curve(3.0, "relu", 0.95, 2)])], "kind"), width)
    assert max(map(len, lines)) <= width and any(line.startswith("'[b]ä'") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_curves_are_drawn(tmp_path: Path) -> None:
    study = study_of(tmp_path, [*grid(1.0), curve(3.0, "relu", 0.95, 2)])
    axes = draw_curves(compare([study], "kind")).axes[0]
    assert [text.get_text().split(" ")[0] for text in axes.get_legend().get_texts()][:2] == ["relu", "tanh"]
    with pytest.raises(UserError, match="no learning curves"):
        draw_curves(compare([study_of(tmp_path, [complete(1.0, kind="relu", lr=0.1)], "two")], "kind"))


def test_of_many_trials_evenly_chosen_ones_are_compared(tmp_path: Path) -> None:
    many = [complete(index % 7, kind="relu", lr=index / 400) for index in range(350)]
    few = [complete(20 + index, kind="tanh", lr=index / 400) for index in range(8)]
    found = compare([study_of(tmp_path, [*many, *few])], "kind")
    assert finding(found)[:3] == ("tanh", "relu", "better") and found.differences[0].trials == (8, 300)
    assert "differences: evenly chosen trials stand for the many of relu" in found.remarks
    assert found.choices[0].trials.complete == 350
