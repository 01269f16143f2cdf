"""`keep: {models: K}`: the weights of the best trials stay, those that the trials had; `hpo model` takes them."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from e2e.support import Place
from e2e.test_models import SPACE, TASK, rows, run, validation_rows
from hpo.ledger.study.records import record_of

pytestmark = pytest.mark.slow

KEEP = {"models": 2}


def keys(**more: Any) -> dict[str, Any]:
    return {
        "objective": "animals.py",
        "data": {"csv": "animals.csv", "target": "animal", "split_seed": 5},
        "metric": {"name": "val_roc_auc"},
        "parameters": SPACE,
        "references": "off",
        "keep": KEEP,
    } | more


def prepared(folder: Path) -> Place:
    place = Place(folder, torch=True)
    rows().to_csv(place.folder / "animals.csv", index=False)
    (place.folder / "animals.py").write_text(TASK)
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study of six trials in one stack, and of two more, each alone."""
    place = prepared(tmp_path_factory.mktemp("kept"))
    place.sweep(place.write("", **keys(), budget={"trials": 6}, engine={"workers": 1, "cohort": 6}))
    assert kept(place) == best(place)
    place.sweep(
        place.write("", **keys(), budget={"trials": 6}, engine={"workers": 2, "cohort": "off"}), "--extend", "2"
    )
    return place


def kept(place: Place, study: str = "small") -> list[int]:
    """Return the trials whose weights are on the disk; nothing else must be there."""
    listed = [path.name for path in (place.home.kept / str(study_id(place, study))).glob("*")]
    assert all(name.endswith(".pt") for name in listed), listed
    return sorted(int(name.partition("_")[0]) for name in listed)


def study_id(place: Place, study: str = "small") -> str:
    from hpo.ledger.study.restored import find_study

    return str(find_study(place.home, study)[1].user_attrs["id"])


def best(place: Place, study: str = "small") -> list[int]:
    complete = [trial for trial in place.trials(study) if trial.state.name == "COMPLETE"]
    ranked = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    return sorted(trial.number for trial in ranked[: KEEP["models"]])


def file_of(place: Place, number: int, study: str = "small") -> Path:
    (found,) = (place.home.kept / study_id(place, study)).glob(f"{number}_*.pt")
    return found


def test_a_kept_model_is_the_trials_own(place: Place, tmp_path: Path) -> None:
    """Of a stack's member and of a trial alone: the same bits as training again gives, and the trial's accuracy."""
    assert len(place.trials()) == 8 and kept(place) == best(place)
    part = validation_rows(place)
    part.to_csv(tmp_path / "part.csv", index=False)
    for number in best(place):
        record, taken = record_of(place.trials()[number]), tmp_path / f"taken {number}"
        done = run(place, "model", "small", "--trial", str(number), "--output", str(taken))
        assert done.returncode == 0 and "from the weights that the sweep kept" in done.stdout, done.stderr
        assert "the weights that it left give the study's validation metrics" in done.stdout
        answers = pd.read_csv(io.StringIO(run(place, "predict", str(taken), str(tmp_path / "part.csv")).stdout))
        accuracy = (answers["prediction"].to_numpy() == part["animal"].to_numpy()).mean()
        assert accuracy == record.last("val_accuracy")
        file = file_of(place, number)
        aside = file.rename(tmp_path / "aside")
        done = run(place, "model", "small", "--trial", str(number), "--output", str(tmp_path / "again"))
        aside.rename(file)
        assert done.returncode == 0 and "trained again" in done.stdout and "to the last digit" in done.stdout
        first, second = (json.loads((folder / "model.json").read_text()) for folder in (taken, tmp_path / "again"))
        assert first["weights_digest"] == second["weights_digest"] and first["metrics"] == second["metrics"]
        assert (first["weights_from"], second["weights_from"]) == ("the sweep, which kept them", "training again")


def test_weights_that_are_not_the_trials_are_not_taken(place: Place, tmp_path: Path) -> None:
    """Damaged ones, and another trial's under its name: the trial is trained again; `hpo doctor` knows."""
    number, other = best(place)
    file, before = file_of(place, number), file_of(place, number).read_bytes()
    for content in (file_of(place, other).read_bytes(), before[:-1]):
        file.write_bytes(content)
        done = run(place, "model", "small", "--trial", str(number), "--output", str(tmp_path / "m"))
        assert done.returncode == 0 and "its digest is another" in done.stdout and "trained again" in done.stdout
        doctor = place.run("doctor", "small")
        assert doctor.returncode == 1 and f"does not hold what trial {number} left" in doctor.stdout
    draft = place.home.models / "small" / ".trial-3.draft-4194400"  # beyond all process ids
    draft.mkdir(parents=True)
    fixed = place.run("doctor", "small", "--fix")
    assert fixed.returncode == 0 and not file.exists() and not draft.exists(), fixed.stdout
    file.write_bytes(before)
    assert place.run("doctor", "small").returncode == 0


def test_a_successor_takes_them_from_the_study_that_trained_them(place: Place, tmp_path: Path) -> None:
    """A changed space: old trials count among the best; their weights stay where they are, and are found."""
    changed = SPACE | {"dropout": {"values": [0.0, 0.2, 0.1]}}
    before = kept(place)
    path = place.write("", **keys(parameters=changed), budget={"trials": 9}, engine={"workers": 1, "cohort": "off"})
    place.sweep(path)
    trials = place.trials("small.2")
    new = [number for number in best(place, "small.2") if "copied_from" not in trials[number].user_attrs]
    assert kept(place) == before and kept(place, "small.2") == new
    copied = next(t.number for t in trials if t.user_attrs.get("copied_from", {}).get("number") == before[0])
    done = run(place, "model", "small.2", "--trial", str(copied), "--output", str(tmp_path / "m"))
    assert done.returncode == 0 and "from the weights that the sweep kept" in done.stdout, done.stdout + done.stderr


def test_after_a_kill_there_are_no_more_of_them(tmp_path: Path) -> None:
    """Of trials with two members, whose model is the first one's."""
    place = prepared(tmp_path)
    path = place.write("", **keys(repeats=2), budget={"trials": 12}, engine={"workers": 2, "cohort": "off"})
    process = place.start("sweep", path)
    place.wait_for_trials(4, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    place.sweep(path)
    assert kept(place) == best(place)
    assert place.run("doctor", "small").returncode == 0
    done = run(place, "model", "small")
    assert done.returncode == 0 and "from the weights that the sweep kept" in done.stdout, done.stderr
    assert "the model is that of the first of the trial's 2 members" in done.stdout


def test_a_function_keeps_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path)
    done = place.run("check", place.write("prints", keep=KEEP))
    assert done.returncode == 2
    assert "keep: only the weights of a Torch task can be kept: functions and programs save their own" in done.stderr
