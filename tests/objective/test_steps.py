"""The step of each report of a trial: one scale, chosen by the first that names a step, and kept."""

from __future__ import annotations

import random

import pytest

from hpo.objective.steps import StepScale
from hpo.spec.names import MOST_STEPS

Rows = list[tuple[dict[str, float], str]]


def placed(rows: Rows) -> tuple[list[int], set[str]]:
    """Return the step of each row, and the kinds of notes. rows: what a report names, and its metrics, by commas."""
    scale = StepScale("acc")
    steps = [scale.place(positions, metrics.split(",")) for positions, metrics in rows]
    return steps, set(scale.notes)


def epochs(*values: float, metrics: str = "acc") -> Rows:
    return [({"epoch": value}, metrics) for value in values]


CASES: dict[str, tuple[Rows, list[int], set[str]]] = {
    "plain": (epochs(0, 1, 2), [0, 1, 2], set()),
    "from one, with gaps": (epochs(1, 5, 9), [1, 5, 9], set()),
    "no steps": ([({}, "acc")] * 3, [1, 2, 3], set()),
    "two lines a step": (
        [({"epoch": n}, name) for n in (3, 4) for name in ("acc", "lr")], [3, 3, 4, 4], set(),
    ),
    "the metric second": (
        [({"epoch": n}, name) for n in (3, 4) for name in ("lr", "acc")], [3, 3, 4, 4], set(),
    ),
    "twice": (epochs(1, 2, 2, 3), [1, 2, 2, 3], {"repeated"}),
    "epoch before step": ([({"epoch": 2, "step": 700}, "acc"), ({"epoch": 3, "step": 900}, "acc")], [2, 3], set()),
    "a fraction first, with a step": (
        [({"epoch": 0.25, "step": 40}, "acc"), ({"epoch": 1, "step": 160}, "acc"), ({"epoch": 2, "step": 320}, "acc")],
        [40, 160, 320], set(),
    ),
    "steps, then evaluations by epoch": (
        [({"step": 40}, "loss"), ({"epoch": 1}, "acc"), ({"step": 80}, "loss"), ({"epoch": 2}, "acc")],
        [40, 40, 80, 80], {"scale"},
    ),
    "evaluations by epoch with nothing between": (
        [({"step": 40}, "loss"), ({"epoch": 1}, "acc"), ({"epoch": 2}, "acc"), ({"epoch": 3}, "acc")],
        [40, 40, 41, 42], {"scale"},
    ),
    "fractions only": (epochs(0.5, 1, 1.5, 2), [1, 2, 3, 4], {"counted"}),
    "fractions, two lines each": (
        [({"epoch": n}, name) for n in (0.5, 1.0) for name in ("loss", "acc")], [1, 1, 2, 2], {"counted"},
    ),
    "fractions later": (epochs(1, 1.5, 2, 2.5), [1, 1, 2, 2], {"fraction"}),
    "an evaluation before training": (epochs(-1, 0, 1), [0, 1, 2], {"negative"}),
    "an evaluation at 0": (epochs(0, 1, 2), [0, 1, 2], set()),
    "an evaluation at -1 at the end": (epochs(0, 1, -1), [0, 1, 2], {"again"}),
    "folds": (epochs(0, 1, 2, 0, 1, 2, 0), [0, 1, 2, 3, 4, 5, 6], {"again"}),
    "folds with two lines each": (
        [({"epoch": n}, name) for _ in range(2) for n in (0, 1) for name in ("loss", "acc")],
        [0, 0, 1, 1, 2, 2, 3, 3], {"again"},
    ),
    "an evaluation that is late": (
        [({"epoch": 1}, "loss"), ({"epoch": 2}, "loss"), ({"epoch": 1}, "acc"), ({"epoch": 2}, "acc")],
        [1, 2, 1, 2], set(),
    ),
    "settings first": ([({}, "lr"), *epochs(0, 1, metrics="acc,lr")], [1, 0, 1], set()),
    "a value before the first epoch": ([({}, "acc"), *epochs(0, 1)], [1, 2, 3], {"again"}),
    "a summary at the end": ([*epochs(1, 2), ({}, "acc")], [1, 2, 3], set()),
    "huge": (epochs(MOST_STEPS - 1, 0, 1), [MOST_STEPS - 1] * 3, {"again"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_steps(name: str) -> None:
    rows, steps, notes = CASES[name]
    assert placed(rows) == (steps, notes)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("huge", "an evaluation that is late")])
def test_the_metrics_last_step_is_that_of_its_last_report(name: str) -> None:
    rows, _, _ = CASES[name]
    steps, _ = placed(rows)
    own = [step for step, (_, metrics) in zip(steps, rows, strict=True) if "acc" in metrics]
    assert own[-1] == max(own)


def test_the_trials_value_is_the_one_that_came_last() -> None:
    """Whatever is reported in whatever order, as the ledger puts it together."""
    for seed in range(5_000):
        draw = random.Random(seed)
        scale, recorded, came = StepScale("acc"), dict[int, dict[str, int]](), -1
        for number in range(draw.randint(1, 8)):
            positions: dict[str, float] = {}
            if draw.random() < 0.8:
                positions["epoch"] = draw.choice([-1, 0, 1, 2, 3, 0.5, 1.5])
            if draw.random() < 0.4:
                positions["step"] = draw.choice([0, 1, 10, 20, 30, 2.5])
            metrics = [name for name in ("acc", "loss", "lr") if draw.random() < 0.5] or ["acc"]
            step = scale.place(positions, metrics)
            recorded.setdefault(step, {}).update(dict.fromkeys(metrics, number))
            came = number if "acc" in metrics else came
        values = [recorded[step]["acc"] for step in sorted(recorded) if "acc" in recorded[step]]
        assert values[-1:] == ([came] if came >= 0 else []), seed
