"""Each diagnosis on curves that show it, and on curves that nearly do."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import pytest

from hpo.diagnosis import KINDS, Diagnosis, diagnoses_of
from hpo.diagnosis.words import count, counted, health_lines, in_words
from hpo.training.contract import LOOP_PARAMETERS
from hpo.training.models import MODEL_PARAMETERS
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.schedules import SCHEDULES

Curves = Mapping[str, Sequence[float]]
EPOCHS = range(1, 21)
FALLING = [0.2 + math.exp(-epoch / 3) for epoch in EPOCHS]
WELL: Curves = {
    "train_loss": FALLING,
    "val_loss": [loss + 0.05 for loss in FALLING],
    "val_accuracy": [0.9 - 0.4 * math.exp(-epoch / 3) for epoch in EPOCHS],
    "train_roc_auc": [0.95] * 20,
    "val_roc_auc": [0.95] * 20,
}


def layers(figure: str, *values: Sequence[float]) -> Curves:
    return {f"health/{3 * at}/{figure}": each for at, each in enumerate(values)}


def names(curves: Curves, **more: object) -> list[str]:
    found = diagnoses_of(WELL | curves, metric="val_accuracy", goal="maximize", **more)  # type: ignore[arg-type]
    assert all(each.evidence and each.remedies and each.meaning for each in found)
    return [each.name for each in found]


SHOWN: list[tuple[str, Curves]] = [
    ("vanishing gradient", layers("gradient_norm", [1e-7] * 3, [1e-4] * 3, [0.2] * 3)),
    ("exploding gradient", layers("gradient_norm", [0.1, 2e4, 0.1], [0.2] * 3)),
    ("dead units", layers("dead", [0.0] * 3, [0.1, 0.5, 0.6])),
    ("saturated", layers("saturated", [0.9] * 3)),
    ("diverged", {"train_loss": [0.7, 0.6, 3.0, 9.0, 9.0]}),
    ("learning rate too high", layers("update_ratio", [0.3] * 3, [0.2] * 3)),
    ("learning rate too high", {"train_loss": [0.7, 0.3, 0.8, 0.2, 0.9, 0.3, 0.7, 0.2]}),
    ("learning rate too high", {"train_loss": [0.9, 0.5, 0.2, 0.3, 0.5, 0.6, 0.6]}),
    ("learning rate too low", layers("update_ratio", [1e-5] * 3)),
    ("learning rate too low", {"train_loss": [0.7 - 0.01 * epoch for epoch in EPOCHS]}),
    ("underfit", {"train_roc_auc": [0.5] * 20, "val_roc_auc": [0.52] * 20}),
    ("underfit", {"train_r2": [0.01] * 20, "val_r2": [-0.02] * 20}),
    ("underfit", {"train_balanced_accuracy": [0.5] * 20, "train_recall": [1.0] * 20}),
    ("overfit", {"val_loss": [0.25 + 0.02 * abs(epoch - 5) for epoch in EPOCHS]}),
    ("still improving", {"val_accuracy": [0.5 + 0.02 * epoch for epoch in EPOCHS]}),
]


@pytest.mark.parametrize(("name", "curves"), SHOWN, ids=[f"{name} {at}" for at, (name, _) in enumerate(SHOWN)])
def test_what_shows_it(name: str, curves: Curves) -> None:
    assert names(curves) == [name]
    assert {name for name, _ in SHOWN} == set(KINDS)


@pytest.mark.parametrize(
    "curves",
    [
        {},
        layers("gradient_norm", [2e-3] * 3, [0.2] * 3),
        layers("gradient_norm", [0.0] * 3, [0.0] * 3),  # nothing to learn is not vanished
        layers("gradient_norm", [100.0] * 3, [200.0] * 3),
        layers("dead", [0.3] * 3),
        layers("saturated", [0.4] * 3),
        layers("activation_norm", [1e30] * 3, [0.0] * 3),  # these are there to be looked at
        {"health/model/learning_rate": [9.0, 1e-9]},
        layers("update_ratio", [1.0, 1e-3, 1e-3]),  # an optimizer's first step says little
        {"train_loss": [0.7, 0.71, 0.7, 0.69, 0.7, 0.71]},  # noise
        {
            "train_loss": [0.7, 0.3, 0.8, 0.2, 0.9, 0.3],
            **layers("update_ratio", [5e-4] * 3),
        },  # not of long steps
        {"train_r2": [0.05] * 20, "val_r2": [0.6] * 20},  # outliers among the training rows
        {"val_loss": [loss + (0.005 if epoch > 15 else 0) for epoch, loss in zip(EPOCHS, FALLING, strict=True)]},
        {"val_accuracy": [0.9 + (0.004 if epoch > 15 else 0) for epoch in EPOCHS]},
        {"val_accuracy": [0.5 + 0.1 * (epoch % 2) for epoch in EPOCHS]},
    ],
)
def test_what_nearly_shows_it(curves: Curves) -> None:
    assert names(curves) == []


def test_a_trial_that_was_stopped_is_not_blamed_for_it() -> None:
    low, improving = SHOWN[9][1], SHOWN[-1][1]
    assert names(low | improving, complete=False) == []
    assert names(low | improving) == ["learning rate too low"]  # which explains that it still improves


def test_causes_hide_their_symptoms() -> None:
    deaf = {"train_roc_auc": [0.5] * 20, "val_roc_auc": [0.5] * 20}
    dead = layers("dead", [1.0] * 3) | layers("gradient_norm", [1e-9] * 3, [0.1] * 3)
    assert names(deaf | dead) == ["dead units"]
    assert names(deaf, diverged=3) == ["diverged"]
    assert names(deaf | SHOWN[-1][1]) == ["still improving"]  # it has had too little time
    assert names(deaf | layers("gradient_norm", [1e9], [1e9]), diverged=1) == ["exploding gradient", "diverged"]


def test_whatever_an_objective_reports_is_taken() -> None:
    assert diagnoses_of({}, metric="score", goal="maximize") == []
    assert diagnoses_of({"score": [math.nan, math.inf, 1.0]}, metric="score", goal="minimize") == []
    odd = {"health/": [1.0], "health/x": [1.0], "health/a/b/dead": [0.9], "score": [1.0]}
    assert [each.name for each in diagnoses_of(odd, metric="score", goal="maximize")] == ["dead units"]
    keras = {"loss": [0.9, 0.5, 0.4, 0.3, 0.2, 0.1], "val_loss": [0.5, 0.4, 0.5, 0.6, 0.7, 0.8]}
    assert [each.name for each in diagnoses_of(keras, metric="val_loss", goal="minimize")] == ["overfit"]
    assert Diagnosis("of a later release", "x").remedies == ()


def test_remedies_are_words_of_the_sweep_file() -> None:
    keys = {"activation": ACTIVATIONS, "initializer": INITIALIZERS, "schedule": SCHEDULES, "optimizer": OPTIMIZERS}
    known = {*MODEL_PARAMETERS, *LOOP_PARAMETERS, *keys, "momentum", "target_transform", "early_terminate"}
    for kind in KINDS.values():
        assert set(kind.explains) <= set(KINDS)
        for remedy in kind.remedies:
            for key, value in re.findall(r"(\w+): (\w+)", remedy):
                assert key in known, remedy
                assert key not in keys or keys[key][value], remedy


def test_words() -> None:
    found = [Diagnosis("overfit", "a"), Diagnosis("saturated", "b")]
    assert in_words(found) == "overfit (a); saturated (b)"
    counts = count([found, [], found[:1], None])
    assert counted(counts) == "healthy 1, overfit 2, saturated 1"
    assert health_lines([], counts) == [
        "health of the best: healthy", "health of the trials: healthy 1, overfit 2, saturated 1"
    ]  # fmt: skip
    assert health_lines(None, count([None])) == []


@pytest.mark.parametrize("losses", [[2.30, 2.25, 2.10, 1.80, 1.40], [0.69, 0.69, 0.69, 0.68, 0.60, 0.35]])
def test_a_loss_that_falls_to_the_end_is_no_rate_that_is_too_high(losses: Sequence[float]) -> None:
    found = names({"train_loss": losses, "val_loss": losses, "val_accuracy": [1 - loss / 10 for loss in losses]})
    assert not {"learning rate too high", "diverged", "overfit"} & set(found), found


def test_a_loss_that_went_up_and_came_down_has_not_diverged() -> None:
    assert names({"train_loss": [1.0, 9.0, 6.0, 2.2, 0.4]}) == ["learning rate too high"]


def test_a_training_that_has_arrived_has_no_rate_that_is_too_low() -> None:
    losses = [0.7 * 0.8**epoch for epoch in range(40)]
    ratios = layers("update_ratio", [1e-4 * 0.95**epoch for epoch in range(40)])
    assert names({"train_loss": losses, "val_loss": losses} | ratios) == []
    assert names(layers("update_ratio", [1e-5])) == []  # the first step alone says little


def test_the_largest_numbers_are_no_end_of_a_sweep() -> None:
    penalties = [1.7e308] * 7 + [5.0]
    assert diagnoses_of({"score": penalties}, metric="score", goal="minimize") == []


def test_the_sweeps_own_metric_decides_whether_more_epochs_help() -> None:
    rising = {"val_loss": [0.25 + 0.02 * abs(epoch - 5) for epoch in EPOCHS]}
    assert names(rising | {"val_accuracy": [0.5 + 0.02 * epoch for epoch in EPOCHS]}) == ["still improving"]


def test_large_targets_have_large_gradients() -> None:
    large = layers("gradient_norm", [1e5] * 3, [1e5] * 3)
    assert names(large) == ["exploding gradient"]
    assert names(large | {"train_r2": [0.1, 0.5, 0.8, 0.9]}) == []
