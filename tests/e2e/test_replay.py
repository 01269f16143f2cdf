"""A trial that trained in a stack is trained again in that stack, and gets the numbers that it got, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from command import run_here

from e2e.support import Place, environment
from hpo.ledger.study.records import record_of
from hpo.review.rerun import rerun_file
from hpo.review.studies import best_of, read_study
from hpo.training.vocabulary.schedules import SCHEDULES

pytestmark = pytest.mark.slow

SPACE = {  # what differs between members decides which kernels serve them, and small steps add up
    "optimizer": {"values": ["adam", "nadam", "rmsprop"]},
    "learning_rate": {"distribution": "log_uniform_values", "min": 3e-3, "max": 1e-1},
    "momentum": {"value": 0.97, "when": {"optimizer": "rmsprop"}},
    "beta1": {"values": [0.9, 0.5], "when": {"optimizer": ["adam", "nadam"]}},
    "activation": {"values": ["sigmoid", "silu", "tanh"]},
    "loss": {"values": ["bce", "focal"]},
    "dropout": {"values": [0.0, 0.2]},
    "hidden_layers": {"value": [13, 7]},
    "epochs": {"values": [9, 12]},
    "batch_size": {"value": 27},
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, torch=True)
    file = place.write(
        "",
        objective="objectives.binary",
        data={"source": "synthetic"},
        metric={"name": "val_accuracy"},
        budget={"trials": 16},
        engine={"workers": 1, "cohort": 8},
        early_terminate={"type": "median", "n_startup_trials": 4, "n_warmup_steps": 3},
        parameters=SPACE,
    )
    place.sweep(file)
    return place


def numbers(place: Place, study: str, trial: int) -> dict[str, list[float]]:
    history: dict[str, Any] = place.trials(study)[trial].user_attrs["history"]
    return dict(history["metrics"])


def test_the_same_bits(place: Place) -> None:
    """Of the best, of one that was pruned, and of the last in its stack; also from the file of the re-run itself."""
    records = [record_of(trial) for trial in place.trials()]
    study = read_study(place.home, "small")
    config, best = study.config, best_of(study)
    pruned = next(record for record in records if record.state == "pruned")
    last = next(record for record in records if record.number == record.info["stack"][-1] != best.number)
    pruned_in = {number for record in records if record.state == "pruned" for number in record.info["stack"]}
    longest = next(r for r in records if r.number in pruned_in and r.state == "complete" and len(r.steps) == 12)
    assert longest.info["cohort"] < 8  # others had left
    for record in {each.number: each for each in (best, pruned, last, longest)}.values():
        text = rerun_file(place.home, "small", config, record)
        file = place.folder / "again.yaml"
        file.write_text(text)
        assert len(yaml.safe_load(text)["stack"]["others"]) == 7
        place.sweep(file)
        name = f"small-trial-{record.number}"
        got = numbers(place, name, 0)
        if record.state == "pruned":  # the re-run has no stopping rule
            as_long = SCHEDULES[record.params.get("schedule", "constant")].by_length is False
            assert (len(next(iter(got.values()))) == len(record.steps)) is as_long
            assert (place.trials(name)[0].value == record.value) >= as_long
            assert ("it trains so many here" in text) is as_long is not ("depends on the number of epochs" in text)
            got = {metric: values[: len(record.steps)] for metric, values in got.items()}
        else:
            assert place.trials(name)[0].user_attrs["info"]["cohort"] == record.info["cohort"]  # the others left, too
        assert got == numbers(place, "small", record.number)
        assert len(place.trials(name)) == 1
    command = ["best", f"small-trial-{best.number}", "--format", "yaml", "--home", str(place.home.path)]
    written = yaml.safe_load(run_here(command, place.folder, environment()).stdout)
    first = yaml.safe_load(rerun_file(place.home, "small", config, best))
    assert written["stack"] == first["stack"]


def test_what_is_no_stack_of_one_configuration_is_refused(place: Place) -> None:
    study = read_study(place.home, "small")
    config, best = study.config, best_of(study)
    written = yaml.safe_load(rerun_file(place.home, "small", config, best))

    def refused(**keys: Any) -> str:
        file = place.folder / "again.yaml"
        file.write_text(yaml.safe_dump(written | keys))
        done = run_here(["check", str(file)], place.folder, environment())
        assert done.returncode == 2
        return done.stderr

    file = place.folder / "sound.yaml"
    file.write_text(yaml.safe_dump(written))
    said = run_here(["check", str(file)], place.folder, environment()).stdout
    assert "the trial trains in one stack with 7 others" in said
    others = written["stack"]["others"]
    assert "must be at most 7, the number of others" in refused(stack={"place": 8, "others": others})
    searched = written["parameters"] | {"learning_rate": {"min": 0.1, "max": 0.2}}
    assert "trains one configuration again, but learning_rate would be searched" in refused(parameters=searched)
    wrong = [others[0] | {"params": {"optimiser": "adam"}}]
    assert "knows no hyperparameter 'optimiser' (did you mean 'optimizer'?)" in refused(
        stack={"place": 0, "others": wrong}
    )
    wrong = [others[0] | {"params": {"optimizer": "adan"}}]
    assert "stack.others[0].params.optimizer: optimizer must be one of" in refused(stack={"place": 0, "others": wrong})
