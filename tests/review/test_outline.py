"""`hpo check`'s outline: how many there are, said of one as of several."""

from __future__ import annotations

from typing import Any

from hpo.review.outline import outline
from hpo.scripting.definition import Given, define


def outlined(**keys: Any) -> str:
    sweep = {
        "name": "s",
        "objective": "objectives.binary",
        "metric": {"name": "val_loss"},
        "parameters": {"learning_rate": {"min": 0.1, "max": 0.2}, "hidden_layers": {"values": [[4], [8]]}},
        "engine": {"workers": 1, "cohort": 4},
        "budget": {"trials": 1, "epochs": 1},
        **keys,
    }
    return outline(define(Given(sweep, {})))


def test_of_one_there_is_no_plural() -> None:
    text = outlined(confirm={"top": 1, "seeds": 2}, parameters={"hidden_layers": {"values": [[4]]}})
    assert "space     1 configuration\nbudget    1 trial of at most 1 epoch\n" in text
    assert "forecast  at most 1 epoch\nworkers   1 process\n" in text
    assert "(hidden_layers: 1 shape)" in text and "1 trial is open at a time" in text
    assert "confirm   the best and the baseline over 2 seeds: at most 4 trainings more" in text
    neighbour = {"params": {"learning_rate": 0.1, "hidden_layers": [4]}, "seed": 1}
    alone = outlined(
        stack={"place": 0, "others": [neighbour]},
        parameters={"learning_rate": {"value": 0.1}, "hidden_layers": {"value": [4]}},
    )
    assert "the trial trains in one stack with 1 other, as it did before" in alone


def test_several_are_several() -> None:
    text = outlined(budget={"trials": 20, "epochs": 100})
    assert "budget    20 trials of at most 100 epochs\n" in text and "forecast  at most 2,000 epochs\n" in text
    assert "(hidden_layers: 2 shapes)" in text and "4 trials are open at a time, asked for by shape" in text
    one = outlined(budget={"trials": 20, "epochs": 100}, parameters={"learning_rate": {"min": 0.1, "max": 0.2}})
    assert "all trials train as stacks of up to 4\n" in one and "4 trials are open at a time" in one
    assert "by shape" not in one


def test_groups_of_a_method_that_learns_are_a_worker_s_share_and_others_are_what_a_shape_has() -> None:
    given = {"budget": {"trials": 200, "epochs": 9}, "engine": {"workers": 2}}
    text = outlined(**given)
    assert "train as stacks of up to 13\n" in text  # half of the 25 that are open in the end
    assert "16 trials at first, 25 in the end, are open at a time, asked for by shape" in text
    text = outlined(**given, method="random")
    assert "train as stacks of up to 128\n" in text and "200 trials are open at a time, 100.0 a shape" in text
