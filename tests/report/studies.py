"""Studies for reports, recorded without training."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from review.recorded import Trial, recorded, sweep_of

from hpo.ledger.study.home import Home
from hpo.ledger.study.records import Outcome
from hpo.report.facts import StudyFacts
from hpo.review.studies import read_study

NAME = "größe 1 + ö"
SPACE: dict[str, Any] = {
    "Lernrate η": {"min": 1e-5, "max": 0.1, "distribution": "log_uniform_values"},
    "optimizer": {"values": ["sgd", "adam", "<script>alert(1)</script>"]},
    "momentum": {"min": 0.0, "max": 0.99, "when": {"optimizer": "sgd"}},
    "$x_1$ & 50%": {"min": 0.0, "max": 1.0},
    "layers": {"values": [[8], [8, 8], "none"]},
    "width": {"values": [16, 32, 64]},
    "epochs": {"value": 9},
}
STEPS = 9
BASELINE = {
    "Lernrate η": 0.001, "optimizer": "adam", "$x_1$ & 50%": 0.5, "layers": [8], "width": 16, "epochs": STEPS,
}  # fmt: skip


def trial(rng: random.Random, number: int, **given: Any) -> Trial:
    """Return a trial that is the better the larger its learning rate, and diverges at the largest ones."""
    params: dict[str, Any] = {
        "Lernrate η": 10 ** rng.uniform(-5, -1),
        "optimizer": rng.choice(SPACE["optimizer"]["values"]),
        "$x_1$ & 50%": rng.random(),
        "layers": rng.choice(SPACE["layers"]["values"]),
        "width": rng.choice([16, 32, 64]),
        "epochs": STEPS,
    } | given
    if params["optimizer"] == "sgd":
        params = {**params, "momentum": rng.uniform(0, 0.99)}
    rate = math.log10(params["Lernrate η"])
    value = 0.9 + 0.05 * rate / 4 - 0.02 * abs(params["$x_1$ & 50%"] - 0.3)
    curve = [value - 0.3 * math.exp(-step) + rng.gauss(0, 0.002) for step in range(1, STEPS + 1)]
    if rate > -1.6 and number % 2:
        return Trial(params, Outcome("pruned", diverged=2), {"val_accuracy": curve[:1]}, seconds=1.0)
    if number % 11 == 3:
        return Trial(params, Outcome("failed", error=f"ValueError: no luck with {number}"), seconds=0.5)
    if number % 3 == 0:
        series = {"val_accuracy": curve[:3], "train_loss": [1.0, 0.5, 0.25]}
        return Trial(params, Outcome("pruned"), series, seconds=1.5)
    series = {"val_accuracy": curve, "train_loss": [1 / step for step in range(1, STEPS + 1)]}
    return Trial(params, Outcome("complete", value=curve[-1]), series, seconds=3.0, info={"validation_rows": 500})


def many(count: int, seed: int = 0) -> list[Trial]:
    rng = random.Random(seed)
    return [trial(rng, number) for number in range(count)]


def facts_of(folder: Path, trials: list[Trial], space: dict[str, Any] = SPACE, **keys: Any) -> StudyFacts:
    """Record a study of these trials; return what a report has of it."""
    return facts_in(home_of(folder, trials, space, **keys))


def facts_in(home: Home, name: str = NAME) -> StudyFacts:
    return StudyFacts(home, read_study(home, name), 1_700_000_100.0)


def home_of(folder: Path, trials: list[Trial], space: dict[str, Any] = SPACE, **keys: Any) -> Home:
    given = {"name": NAME, "metric": "val_accuracy", "early_terminate": "asha"} | keys
    return recorded(Home(folder / "home"), sweep_of(folder, space, **given), trials)
