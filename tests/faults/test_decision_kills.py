"""SIGKILL at random moments of what comes after a search, and of weights that are kept in it: the same command finishes
it, nothing is doubled, and `hpo doctor` finds nothing."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from decision.confirm.test_confirm import write as write_small
from decision.test_register import counts
from e2e.support import Place, assert_records_agree
from e2e.test_kept_models import best, kept, keys, prepared

from hpo.ledger.study.models import models_of
from hpo.review.doctor import diagnose, lines_of
from hpo.review.studies import read_study

from .support import LONG, assert_whole, everybody, family, kill, started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not LONG, reason="one kill of each is in tests/decision and tests/e2e (HPO_LONG=1: many)"),
]

TIMES = 5
NO_COHORTS = {"workers": 2, "cohort": "off"}  # one by one: more moments to be killed in


def strike(place: Place, rng: random.Random, seconds: float, counts: Counter[str], *command: str | Path) -> None:
    """Run a command and kill its driver, all of it, or one worker after up to so many seconds. Without a worker it ends
    well."""
    target = rng.choice(["driver", "driver", "everybody", "worker"])
    with started(place, *command) as process:
        time.sleep(rng.uniform(0, seconds))
        everyone, workers = everybody(process.pid), family(process.pid)["worker"]
        works = process.poll() is None
        counts[f"killed: {target}" if works else "came too late"] += 1
        if not works:
            return
        if target == "worker":
            kill(workers[:1])
            output, errors = process.communicate(timeout=240)
            assert process.returncode == 0, output + errors
        else:
            kill(everyone[:1] if target == "driver" else rng.sample(everyone, len(everyone)))


def repeatedly(place: Place, rng: random.Random, counts: Counter[str], *command: str | Path) -> None:
    """Time a command in a copy of the place, then kill it up to three times at random moments of that time."""
    copy = Place(place.folder.parent / "copy", cold=place.cold, torch=place.torch)
    shutil.rmtree(copy.folder, ignore_errors=True)
    shutil.copytree(place.folder, copy.folder)
    began = time.monotonic()
    done = copy.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    seconds = time.monotonic() - began
    for _ in range(rng.randint(1, 3)):
        strike(place, rng, seconds, counts, *command)


def assert_silent(place: Place, study: str) -> None:
    diagnosis = diagnose(place.home, study, fix=False)
    assert not len(diagnosis.after), lines_of(diagnosis, place.home)


def answer(output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, Any]]:
    """A finished sweep, and the confirmation of a copy of it that nobody disturbed."""
    place = Place(tmp_path_factory.mktemp("searched") / "place", torch=True)
    place.folder.mkdir(exist_ok=True)
    place.sweep(write_small(place.folder, engine=NO_COHORTS, confirm={"top": 2, "seeds": 3}), "--no-confirm")
    copy = Place(place.folder.parent / "undisturbed", torch=True)
    shutil.copytree(place.folder, copy.folder, dirs_exist_ok=True)
    return place, answer(copy.run("confirm", "small", "--json").stdout)


@pytest.mark.parametrize("seed", range(TIMES))
def test_killed_confirmations(
    searched: tuple[Place, dict[str, Any]], tmp_path: Path, seed: int, injected: Counter[str]
) -> None:
    """The verdict is that of a confirmation which nobody disturbed, after one look at the test rows."""
    before, undisturbed = searched
    shutil.copytree(before.folder, tmp_path / "place")
    place, rng = Place(tmp_path / "place", cold=True, torch=True), random.Random(seed)
    repeatedly(place, rng, injected, "confirm", "small", "--json")
    done = place.run("confirm", "small", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert answer(done.stdout) == undisturbed
    assert len(read_study(place.home, "small").attributes["test_looks"]) == 1
    complete = [trial for trial in place.trials("small.confirm") if trial.state.name == "COMPLETE"]
    cells = {(str(trial.params), trial.user_attrs["seed"]) for trial in complete}
    assert len(complete) == len(cells) == 9
    assert not (place.home.path / "test_outputs").exists()
    assert_records_agree(place, all_ids=False)
    assert_records_agree(place, "small.confirm", all_ids=False)
    assert_silent(place, "small")


@pytest.mark.parametrize("seed", range(TIMES))
def test_killed_sweeps_keep_the_weights_of_the_best(tmp_path: Path, seed: int, injected: Counter[str]) -> None:
    (tmp_path / "place").mkdir()
    place, rng = prepared(tmp_path / "place"), random.Random(seed)
    place.cold = True
    path = place.write("", **keys(), budget={"trials": 10}, engine=NO_COHORTS)
    repeatedly(place, rng, injected, "sweep", path)
    place.sweep(path)
    assert_whole(place, 10, all_ids=False)
    assert kept(place) == best(place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    (folder := tmp_path_factory.mktemp("trained") / "place").mkdir()
    place = prepared(folder)
    place.sweep(place.write("", **keys(name="zoo é"), budget={"trials": 2}, engine={"workers": 1}))
    return place


@pytest.mark.parametrize("seed", range(TIMES))
def test_killed_registrations(trained: Place, tmp_path: Path, seed: int, injected: Counter[str]) -> None:
    shutil.copytree(trained.folder, tmp_path / "place")
    place, rng = Place(tmp_path / "place", cold=True, torch=True), random.Random(seed)
    assert place.run("doctor", "zoo é", "--fix").returncode == 0  # MLflow notes where it was before
    repeatedly(place, rng, injected, "model", "zoo é", "--register")
    done = place.run("model", "zoo é", "--register")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mlflow    models:/zoo é/1" in done.stdout, done.stdout
    assert counts(place) == (1, 1, 1)
    (noted,) = models_of(read_study(place.home, "zoo é").attributes)
    assert noted.version == "1"
    assert not list(place.home.path.rglob("*.draft-*"))
    assert_silent(place, "zoo é")
