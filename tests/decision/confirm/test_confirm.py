"""`hpo confirm` with real studies, real workers and a real MLflow: from the sweep to the verdict, and over a kill."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from e2e.support import Place, assert_records_agree
from waiting import wait_for

from hpo.decision.confirm import run
from hpo.decision.confirm.run import ConfirmWish, confirm
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.confirmations import confirmations_in
from hpo.ledger.study.home import open_storage
from hpo.ledger.study.restored import find_study, sweep_of
from hpo.review.display import Display
from hpo.review.studies import confirmation_of, read_study
from hpo.spec.yaml_text import dump_source

GOOD = {"learning_rate": 0.01, "optimizer": "adam"}
BAD = {"learning_rate": 1e-7, "optimizer": "sgd"}


def write(folder: Path, **keys: Any) -> Path:
    """Write a sweep of a table that a good configuration learns in five epochs, and the planted baseline never."""
    sweep = {
        "name": "small",
        "objective": "objectives.binary",
        "metric": {"name": "val_accuracy"},
        "method": "grid",
        "budget": {"trials": 4, "epochs": 5},
        "references": "off",
        "engine": {"workers": 1},
        "parameters": {"learning_rate": {"values": [0.01, 1e-7]}, "optimizer": {"values": ["adam", "sgd"]}},
        "baselines": [BAD],
        "confirm": {"top": 2, "seeds": 5},
    }
    path = folder / "small.yaml"
    path.write_text(dump_source(sweep | keys))
    return path


def attributes(place: Place, study: str = "small") -> dict[str, Any]:
    return dict(read_study(place.home, study).attributes)


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, Any], str]:
    place = Place(tmp_path_factory.mktemp("confirmed"), torch=True)
    done = place.run("sweep", write(place.folder), "--json")
    assert done.returncode == 0, done.stderr
    return place, json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_winner_against_a_planted_bad_baseline_is_better(confirmed: tuple[Place, dict[str, Any], str]) -> None:
    _, result, told = confirmed
    found = result["confirmation"]
    assert (found["verdict"], found["study"], found["confirmation"]) == ("better", "small", "small.confirm")
    assert found["winner"]["params"] == GOOD and found["winner"]["number"] == result["best"]["number"]
    assert (found["baseline"]["number"], found["baseline"]["params"]) == (0, BAD)
    low, high = found["interval"]
    assert 0 < low < found["difference"] < high
    assert found["difference"] == pytest.approx(found["winner"]["test"] - found["baseline"]["test"])
    assert (found["rows"], found["looks"], found["seeds"]) == (200, 1, 5)
    assert "better: the winner is better than the baseline" in told
    assert "on the 200 test rows, in the first look at them" in told
    assert result["trials"] == {"complete": 4, "pruned": 0, "failed": 0}  # the confirmation's are none of the sweep's


def test_both_records_have_it(confirmed: tuple[Place, dict[str, Any], str]) -> None:
    place, result, _ = confirmed
    study = read_study(place.home, "small")
    found = confirmation_of(study)
    assert found is not None and found == confirmation_of(read_study(place.home, "small.confirm"))
    assert found.result.difference == result["confirmation"]["difference"]
    assert len(found.ranking) == 3 and found.ranking[0].name == found.winner.name
    assert not set(found.seeds) & {trial.user_attrs["seed"] for trial in place.trials()}
    trials = place.trials("small.confirm")
    assert len(trials) == 15 and {trial.user_attrs["info"]["cohort"] for trial in trials} <= set(range(2, 16))
    assert_records_agree(place)
    assert_records_agree(place, "small.confirm")
    parent, _ = place.runs()
    own, children = place.runs("small.confirm")
    assert (parent.data.tags["hpo.confirmation"], parent.data.tags["hpo.verdict"]) == ("small.confirm", "better")
    description = parent.data.tags["mlflow.note.content"]
    assert "Confirmed: **better** (small.confirm)" in description and "| 1 | [" in description
    assert parent.data.metrics["hpo/confirm/difference"] == found.result.difference
    assert (own.data.tags["hpo.confirms"], own.data.tags["hpo.confirms_run"]) == ("small", parent.info.run_id)
    assert set(found.winner.trials) < set(children) and own.data.tags["hpo.verdict"] == "better"
    assert "confirmation.json" in {file.path for file in place.client().list_artifacts(parent.info.run_id)}
    assert not (place.home.path / "test_outputs").exists()


def test_it_is_listed_below_its_study_and_the_doctor_sees_both(
    confirmed: tuple[Place, dict[str, Any], str],
) -> None:
    place, _, _ = confirmed
    lines = place.run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["small", "small.confirm"]
    assert lines[2].startswith("  small.confirm") and "better" in lines[2]
    doctor = place.run("doctor", "small", "--json")
    said = json.loads(doctor.stdout)
    assert (doctor.returncode, [other["study"] for other in said["confirmations"]]) == (0, ["small.confirm"])


def test_the_same_again_shows_what_is_recorded(confirmed: tuple[Place, dict[str, Any], str]) -> None:
    place, result, _ = confirmed
    before = attributes(place)
    again = place.run("sweep", place.folder / "small.yaml", "--json")
    assert json.loads(again.stdout.splitlines()[-1])["confirmation"] == result["confirmation"]
    assert "is confirmed already: nothing is trained or looked at again" in again.stderr
    assert attributes(place)["test_looks"] == before["test_looks"] and len(place.trials("small.confirm")) == 15


def test_the_doctor_misses_and_mends_what_mlflow_has_of_it(
    confirmed: tuple[Place, dict[str, Any], str], tmp_path: Path
) -> None:
    import sqlite3
    from contextlib import closing

    shutil.copytree(confirmed[0].folder, tmp_path, dirs_exist_ok=True)
    place = Place(tmp_path, torch=True)
    with closing(sqlite3.connect(place.home.path / "mlflow.db")) as database, database:
        for name in ("metrics", "latest_metrics"):
            database.execute(f"delete from {name} where key = 'hpo/confirm/difference'")
    found = place.run("doctor", "small")
    assert found.stdout.count("hpo/confirm/difference: the study has") == 2, found.stdout  # of both parent runs
    place.run("doctor", "small", "--fix")
    assert place.run("doctor", "small").returncode == 0


def test_a_second_look_at_the_same_rows_is_told_of(
    confirmed: tuple[Place, dict[str, Any], str], tmp_path: Path
) -> None:
    shutil.copytree(confirmed[0].folder, tmp_path, dirs_exist_ok=True)
    place = Place(tmp_path, torch=True)
    done = place.run("confirm", "small", "--top", "1", "--seeds", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "warning: these 200 test rows were looked at once before (small.confirm)" in done.stderr
    found = json.loads(done.stdout)
    assert (found["confirmation"], found["looks"], found["seeds"]) == ("small.confirm.2", 2, 2)
    assert [each.study for each in confirmations_in(attributes(place))] == ["small.confirm", "small.confirm.2"]


def test_the_same_configuration_is_not_shown_to_be_better(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    keys = {"parameters": {"learning_rate": {"value": 0.01}}, "budget": {"trials": 1, "epochs": 2}, "baselines": [{}]}
    found = place.sweep(write(tmp_path, **keys, confirm={"seeds": 2}))["confirmation"]
    assert (found["verdict"], found["difference"]) == ("not shown", 0.0)
    assert found["interval"][0] < 0 < found["interval"][1]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A home whose confirmation was killed with -9 when two of its trials had ended."""
    place = Place(tmp_path_factory.mktemp("killed"), torch=True)
    # One by one, so that it is in their midst.
    file = write(place.folder, engine={"workers": 1, "cohort": "off"}, confirm={"top": 1, "seeds": 2})
    place.sweep(file, "--no-confirm")
    ended = place.ended()
    running = place.start("confirm", "small")
    wait_for(lambda: place.ended() >= ended + 2, "two trials of the confirmation", process=running)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    return place


def test_what_models_have_said_is_gone_and_it_begins_anew(killed: Place, tmp_path: Path) -> None:
    shutil.copytree(killed.folder, tmp_path, dirs_exist_ok=True)
    place = Place(tmp_path, torch=True)
    gone, *left = (place.home.path / "test_outputs").rglob("*.npz")
    gone.unlink()
    assert left
    doctor = place.run("doctor", "small", "--json")
    (other,) = json.loads(doctor.stdout)["confirmations"]
    assert other["found"]["disk.lost_outputs"] >= 1 and "begins anew, with other seeds" in doctor.stderr
    done = place.run("confirm", "small", "--json")
    assert done.returncode == 0, done.stderr
    assert "warning: what the models of 'small.confirm' said of the test rows is gone" in done.stderr
    assert json.loads(done.stdout)["confirmation"] == "small.confirm.2"
    assert len(attributes(place)["test_looks"]) == 1  # the first confirmation never looked
    assert not (place.home.path / "test_outputs").exists()
    place.run("doctor", "small", "--fix")  # what was killed is settled
    doctor = place.run("doctor", "small", "--json")
    assert doctor.returncode == 0, doctor.stderr
    given_up, anew = json.loads(doctor.stdout)["confirmations"]
    assert (given_up["study"], anew["study"]) == ("small.confirm", "small.confirm.2")
    assert given_up["interrupted"] == 0  # nobody runs them again


def test_what_models_have_said_is_damaged_and_the_same_command_begins_anew(killed: Place, tmp_path: Path) -> None:
    shutil.copytree(killed.folder, tmp_path, dirs_exist_ok=True)
    place = Place(tmp_path, torch=True)
    next((place.home.path / "test_outputs").rglob("*.npz")).write_bytes(b"nothing")
    found = place.run("confirm", "small")
    assert found.returncode == 1 and "; the same command begins anew, with other seeds" in found.stderr, found.stderr
    assert not (place.home.path / "test_outputs").exists()
    done = place.run("confirm", "small", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["confirmation"], found["looks"]) == ("small.confirm.2", 2)


def test_beside_a_running_one_it_advises_what_can_be_done(killed: Place) -> None:
    storage, study = find_study(killed.home, "small.confirm")
    with owned(killed.home, sweep_of("small.confirm", study.user_attrs), storage):
        refused = killed.run("confirm", "small")
    assert refused.returncode == 2
    assert refused.stderr.rstrip().endswith("(wait for it, or stop it)"), refused.stderr


def test_killed_in_the_midst_the_same_command_finishes_it(killed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place = killed
    known = [trial for trial in place.trials("small.confirm") if "outcome" in trial.user_attrs]
    before = {trial.number: trial.user_attrs["outcome"] for trial in known}
    found = place.run("doctor", "small")
    assert found.returncode == 1 and "small.confirm: " in found.stdout, found.stdout

    def dies(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "record", dies)  # after the look, before what came of it is written
        with pytest.raises(KeyboardInterrupt):
            confirm(place.home, "small", ConfirmWish(), Display())
    assert confirmation_of(read_study(place.home, "small")) is None
    assert len(attributes(place)["test_looks"]) == 1
    done = place.run("confirm", "small", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["looks"] == len(attributes(place)["test_looks"]) == 1
    trials = place.trials("small.confirm")
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    cells = {(trial.user_attrs["params"]["learning_rate"], trial.user_attrs["seed"]) for trial in complete}
    assert len(complete) == len(cells) == 4
    assert all(trials[number].user_attrs["outcome"] == outcome for number, outcome in before.items())
    assert all(trial.user_attrs["interrupted"] for trial in trials if trial.state.name == "FAIL")
    assert_records_agree(place, "small.confirm", all_ids=False)
    doctor = place.run("doctor", "small")
    assert doctor.returncode == 0, doctor.stdout


ONE_CLASS = """
import hpo, torch

class OneClass(hpo.TorchTask):
    kind = "binary"

    def splits(self, data):
        x = torch.linspace(-1, 1, 60).reshape(30, 2)
        split = hpo.Split(x, (torch.arange(30) % 2).float())
        return hpo.Splits(split, split, hpo.Split(x, torch.ones(30)))

    def model(self, params, features, outputs):
        return hpo.mlp(params, features, outputs)
"""


def test_a_metric_that_the_test_rows_do_not_define_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    place = Place(tmp_path, torch=True)
    (tmp_path / "rows.py").write_text(ONE_CLASS)
    keys = {"parameters": {"learning_rate": {"value": 0.01}}, "budget": {"trials": 1, "epochs": 1}, "baselines": [{}]}
    place.sweep(write(tmp_path, objective="rows.py:OneClass", metric={"name": "val_roc_auc"}, confirm=None, **keys))
    refused = place.run("confirm", "small", "--seeds", "2")
    assert refused.returncode == 2 and "test_roc_auc is not defined on the 30 test rows" in refused.stderr
    assert "test_looks" not in attributes(place)
    assert [study.study_name for study in open_storage(place.home).get_all_studies()] == ["small"]


SCORED = """
def scored(trial):
    value = trial.params["x"] + trial.seed % 7 / 100
    trial.report(1, val_score=value, test_score=10 * value)

def plain(trial):
    assert set(trial.params) == {"x"}, dict(trial.params)
    return trial.params["x"] + trial.seed % 7 / 100

def fails(trial):
    if trial.params["x"] == 2 and trial.data["fails"]:
        raise ValueError("no luck this time")
    return -trial.params["x"] - trial.seed % 7 / 1000
"""


def scored(folder: Path, function: str, **keys: Any) -> Place:
    """Sweep a function of a choice."""
    place = Place(folder)
    (folder / "scored.py").write_text(SCORED)
    given = {
        "parameters": {"x": {"values": [1, 2, 3]}},
        "method": "grid",
        "budget": {"trials": 3},
        "data": {"fails": 0},
    }
    file = place.write("", objective=f"scored.py:{function}", engine={"workers": 1}, **(given | keys))
    place.sweep(file)
    return place


def test_a_function_is_judged_by_the_test_metric_that_it_reports(tmp_path: Path) -> None:
    place = scored(tmp_path, "scored", metric={"name": "val_score", "goal": "maximize"}, baselines=[{"x": 1}])
    done = place.run("confirm", "small", "--top", "2", "--seeds", "4", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["metric"], found["measured_on"]) == ("better", "test_score", "reported")
    assert found["winner"]["params"] == {"x": 3} and found["difference"] == pytest.approx(20.0)
    assert found["winner"]["test"] == pytest.approx(10 * found["winner"]["validation"])
    assert "over seeds; how many rows there are is not known here" in done.stderr
    seeds = {trial.user_attrs["seed"] for trial in place.trials("small.confirm")}
    assert len(seeds) == 4 and {trial.user_attrs["params"]["seed"] for trial in place.trials("small.confirm")} == seeds
    assert place.run("doctor", "small").returncode == 0


def test_without_one_on_validation_and_it_is_said(tmp_path: Path) -> None:
    place = scored(tmp_path, "plain")
    refused = place.run("confirm", "small")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is nothing to judge the winner against" in refused.stderr and "--against N" in refused.stderr
    number = next(trial.number for trial in place.trials() if trial.params["x"] == 1)
    done = place.run("confirm", "small", "--against", str(number), "--top", "3", "--seeds", "3")
    assert done.returncode == 0, done.stderr
    assert "compared by score, the metric that chose the winner: nothing is known of test rows" in done.stdout
    assert "98.3 % interval" in done.stdout  # the same numbers chose among three


def test_one_that_fails_is_out_and_a_baseline_that_fails_leaves_no_verdict(tmp_path: Path) -> None:
    keys = {"metric": {"name": "loss", "goal": "maximize"}, "parameters": {"x": {"values": [1, 2, 3]}}}
    place = scored(tmp_path, "fails", **keys, baselines=[{"x": 3}], confirm=None)
    (tmp_path / "scored.py").write_text(SCORED.replace('and trial.data["fails"]', ""))  # it fails from now on
    done = place.run("confirm", "small", "--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "is out: it failed with 2 of 2 seeds (ValueError: no luck this time)" in done.stdout
    assert "lower is better" not in done.stdout and "better: the winner is better" in done.stdout
    number = next(trial.number for trial in place.trials() if trial.params["x"] == 2)
    none = place.run("confirm", "small", "--against", str(number), "--seeds", "2", "--json")
    assert (none.returncode, none.stdout) == (1, "")
    assert "hpo: no verdict: " in none.stderr and "nothing to judge the others against" in none.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("smal",), "there is no study 'smal' in {home}/studies.journal (did you mean 'small'?)"),
        (("small.confirm",), "'small.confirm' is itself a confirmation, of 'small': confirm that one"),
        (("small", "--seeds", "1"), "1 is not in the range"),
        (("small", "--against", "99"), "--against 99: the study 'small' has no trial 99 with a value"),
        (("small", "--top", "1", "--workers", "many"), "engine.workers: must be"),
        (("small", "--top", "1", "--engine", "cloud"), "engine.type: unknown type 'cloud'"),
    ],
)
def test_bad_input_is_said_and_nothing_is_done(
    confirmed: tuple[Place, dict[str, Any], str], arguments: tuple[str, ...], told: str
) -> None:
    from command import run_here
    from e2e.support import environment

    place, _, _ = confirmed
    home = ("--home", str(place.home.path))
    done = run_here(["confirm", *arguments, *home], place.folder, environment())
    assert (done.returncode, done.stdout) == (2, "")
    assert told.format(home=place.home.path) in done.stderr and "Traceback" not in done.stderr
    assert len(read_study(place.home, "small.confirm").trials) == 15
