"""How sure a study is of its best trial."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome
from hpo.review.certainty import Certainty, certainty_of, standard_error
from hpo.review.studies import read_study

from .recorded import Trial, recorded, sweep_of

SPACE = {"x": {"values": [0, 1, 2, 3]}}


def found(folder: Path, trials: list[Trial], metric: str = "val_accuracy", goal: str = "maximize") -> Certainty:
    home = recorded(Home(folder / "home"), sweep_of(folder, SPACE, metric=metric, goal=goal), trials)
    return certainty_of(read_study(home, "small"))


def trial(value: float, x: int = 0, seed: int = 7, rows: int | None = 400, state: Any = "complete") -> Trial:
    info = {"validation_rows": rows} if rows is not None else {}
    return Trial({"x": x}, Outcome(state, value=value if state == "complete" else None), seed=seed, info=info)


def test_one_standard_error(tmp_path: Path) -> None:
    """sqrt(0.8 * 0.2 / 400) is 0.02. What was pruned had fewer epochs, and is not compared."""
    trials = [trial(0.79, 1), trial(0.8, 0), trial(0.78, 2), trial(0.7799, 3), trial(0.8, 1, state="pruned")]
    sure = found(tmp_path, trials)
    assert sure.measure == "standard_error" and sure.noise == pytest.approx(0.02)
    assert (sure.within, sure.others, sure.validation_rows, sure.repeats) == ((0, 2), 3, 400, None)
    assert sure.words == (
        "2 of the 3 other complete trials are within the noise of it (0, 2): one standard error of val_accuracy on 400 "
        "validation rows is 0.02"
    )
    assert json.loads(json.dumps(sure.plain()))["within"] == [0, 2]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_perfect_share_has_noise(share: float) -> None:
    assert standard_error(share, 100) == pytest.approx((101 / 102 * 1 / 102 / 100) ** 0.5)


def test_configurations_trained_more_than_once(tmp_path: Path) -> None:
    """(0.5, 0.7) and (0.2, 0.2): squares 0.02 + 0 over 4 - 2. The same seed twice says nothing."""
    pairs = [(0.5, 0, 1), (0.7, 0, 2), (0.2, 1, 1), (0.2, 1, 2), (0.61, 2, 1), (0.1, 3, 1), (0.1, 3, 1)]
    sure = found(tmp_path, [trial(value, x, seed, None) for value, x, seed in pairs], "score")
    assert sure.measure == "repeats" and sure.noise == pytest.approx(0.1) and sure.within == (4,)
    assert sure.repeats is not None and (sure.repeats.configurations, sure.repeats.trials) == (2, 4)
    assert "spread by 0.1 (standard deviation; 2 configurations, 4 trials)" in sure.words


def test_both_are_told(tmp_path: Path) -> None:
    sure = found(tmp_path, [trial(0.8, 0, 1), trial(0.7, 0, 2), trial(0.75, 1)])
    assert sure.measure == "standard_error" and sure.within == ()
    assert sure.words.startswith("none of the 2 other") and "0.02; configurations trained" in sure.words


@pytest.mark.parametrize(
    ("metric", "rows", "said"),
    [
        ("val_rmse", 400, "not known: val_rmse is no share of the validation rows"),
        ("val_f1", 400, "not known: val_f1 is no share of the validation rows"),
        ("train_accuracy", 400, "not known: train_accuracy is no share of the validation rows"),
        ("val_accuracy", None, "not known: on how many rows val_accuracy was measured is not recorded"),
    ],
)
def test_what_is_not_known_is_said(tmp_path: Path, metric: str, rows: int | None, said: str) -> None:
    sure = found(tmp_path, [trial(0.8, 0, rows=rows), trial(0.8, 1, rows=rows)], metric)
    assert sure.words.startswith(said) and "more than one seed" in sure.words
    assert (sure.measure, sure.noise, sure.within, sure.others) == ("unknown", None, None, 1)


def test_a_single_trial_and_a_pair(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    assert found(tmp_path, [trial(0.8)]).words.startswith("no other trial has a value: one standard error of")
    pair = found(tmp_path / "two", [trial(0.8), trial(0.5, 1)])
    assert pair.words.startswith("the only other complete trial is not within the noise of it: ")


def test_smaller_is_better(tmp_path: Path) -> None:
    trials = [trial(0.3, 0, 1, None), trial(0.1, 0, 2, None), trial(0.2, 1, 1, None), trial(0.9, 2, 1, None)]
    assert found(tmp_path, trials, "loss", "minimize").within == (2,)


def of_members(value: float, spread: float, x: int) -> Trial:
    """The mean of four members."""
    given = trial(value, x)
    return replace(
        given, info={**given.info, "members": 4}, series={"val_accuracy": [value], "val_accuracy_sd": [spread]}
    )


def test_a_mean_of_members_has_its_own_standard_error(tmp_path: Path) -> None:
    """0.04 over the root of 4: that of most trials, since the best one's members agree by chance. On the same rows."""
    sure = found(tmp_path, [of_members(*each) for each in ((0.8, 0.001, 0), (0.785, 0.04, 1), (0.77, 0.05, 2))])
    assert sure.measure == "members" and sure.noise == pytest.approx(0.02) and sure.within == (1,)
    assert sure.members is not None and (sure.members.count, sure.members.spread) == (4, 0.001)
    assert sure.members.rows_error == pytest.approx(0.02)
    assert sure.words == (
        "1 of the 2 other complete trials are within the noise of it (1): one standard error of the mean of 4 members "
        "is 0.02; the best trial's spread by 0.001 (standard deviation); the chance of the 400 rows that all share "
        "comes on top (0.02)"
    )
    (tmp_path / "own").mkdir()
    wide = found(tmp_path / "own", [of_members(*each) for each in ((0.8, 0.1, 0), (0.76, 0.04, 1))])
    assert wide.noise == pytest.approx(0.05) and wide.within == (1,)  # the best one's own
    assert json.loads(json.dumps(wide.plain()))["members"]["count"] == 4
