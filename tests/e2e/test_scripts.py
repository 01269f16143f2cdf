"""Scripts that know nothing of hpo, with W&B's sweep files: run as they stand, and in both records."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.spec.names import COMPLETED

from .support import Place, assert_records_agree

pytestmark = pytest.mark.slow

TRAIN = """
import argparse
import wandb

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--optimizer", type=str)
args = parser.parse_args()

def main():
    run = wandb.init(project="p", config=args)
    wandb.watch(None)
    for epoch in range(wandb.config["epochs"]):
        loss = wandb.config["optimizer"]["lr"] + 1 / (epoch + 1)
        wandb.log({"epoch": epoch, "val/loss": loss, "picture": wandb.Image([[0]])})
    run.summary["best"] = loss

if __name__ == "__main__":
    main()
"""
SWEEP = """
program: train.py
name: nested
project: p
method: bayes
metric: {name: val/loss, goal: minimize}
run_cap: 6
early_terminate: {type: hyperband, s: 2, eta: 3, max_iter: 27, strict: true}
parameters:
  epochs: {value: 4}
  optimizer:
    parameters:
      lr: {distribution: inv_log_uniform_values, min: 0.001, max: 0.1}
      name: {values: [adam, sgd, adam]}
"""
PLAIN = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int)
parser.add_argument("--deep", action="store_true")
args = parser.parse_args()
for epoch in range(2):
    print(f"epoch {epoch}: acc={args.width * 1e-5:e} done")
"""
GRID = """
program: plain.py
name: grid
method: grid
command: ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}"]
report: {regex: "epoch (?P<epoch>[0-9]+): acc=(?P<acc>[0-9.]+)"}
parameters: {width: {values: [1, 2]}, deep: {values: [false, true]}}
"""


def test_a_script_for_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    place = Place(tmp_path)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    done = place.run("sweep", tmp_path / "sweep.yaml", "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert said.count("wandb is hpo's stand-in") == 1 and said.count("wandb.watch is ignored") == 1
    trials = place.trials("nested")
    assert len(trials) == 6
    for trial in trials:
        assert {"optimizer.lr", "optimizer.name", "epochs"} == set(trial.user_attrs["params"])
        first = trial.user_attrs["history"]["metrics"]["val/loss"][0]
        assert first == pytest.approx(1 + trial.user_attrs["params"]["optimizer.lr"])
    assert_records_agree(place, "nested")
    assert place.run("doctor", "nested").returncode == 0


def test_plain_lines_and_no_metric(tmp_path: Path) -> None:
    place = Place(tmp_path)
    (tmp_path / "plain.py").write_text(PLAIN)
    (tmp_path / "sweep.yaml").write_text(GRID)
    result = place.sweep(tmp_path / "sweep.yaml", "--workers", "1")
    assert result["best"]["value"] == 1
    trials = place.trials("grid")
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    for trial in trials:
        metrics = trial.user_attrs["history"]["metrics"]
        width = trial.user_attrs["params"]["width"]
        assert metrics["acc"][:2] == [pytest.approx(width * 1e-5)] * 2 and metrics[COMPLETED][-1] == 1
    assert_records_agree(place, "grid")
    again = place.run("best", "grid", "--format", "yaml")
    assert "regex:" in again.stdout and f"name: {COMPLETED}" in again.stdout
    (tmp_path / "again.yaml").write_text(again.stdout)
    assert place.sweep(tmp_path / "again.yaml")["best"]["value"] == 1
    other = place.run("sweep", tmp_path / "sweep.yaml", "-o", "report.regex=acc=(?P<acc>.+)")
    assert other.returncode == 2 and "report.regex" in other.stderr
    refined = place.run("doctor", "grid")
    assert refined.returncode == 0, refined.stdout


SAVES = """
import argparse, json, os, signal
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=float)
args = parser.parse_args()
folder, died = Path(os.environ["HPO_FOLDER"]), Path("died")
assert not list(folder.iterdir())
(folder / "sub").mkdir()
(folder / "sub" / "model.pt").write_text(os.environ["HPO_TRIAL"])
if os.environ["HPO_TRIAL"] == "1" and not died.exists():
    died.touch()
    (folder / "half").write_text("")
    os.kill(WHO, signal.SIGKILL)
print(json.dumps({"score": args.x}))
"""
SAVED = """
program: saves.py
name: saved
method: random
metric: {name: score, goal: maximize}
budget: {trials: 4}
seed: 1
parameters: {x: {min: -5.0, max: 5.0}}
"""


@pytest.mark.parametrize("who", ["os.getpid()", "os.getppid()"])
def test_the_best_trials_files_become_artefacts(tmp_path: Path, who: str) -> None:
    """Who dies in between, the program or its worker, leaves nothing for the trial's next run."""
    place = Place(tmp_path)
    (tmp_path / "saves.py").write_text(SAVES.replace("WHO", who))
    (tmp_path / "sweep.yaml").write_text(SAVED)
    best = place.sweep(tmp_path / "sweep.yaml", "--workers", "2")["best"]["number"]
    trials = place.trials("saved")
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4 and trials[1].user_attrs["attempts"] == 2
    kept = {trial.number: _files(place, trial.number) for trial in trials}
    assert kept == {number: {"sub", "sub/model.pt"} if number == best else set() for number in range(4)}
    place.sweep(tmp_path / "sweep.yaml", "--extend", "1", "-o", "keep.files=all")
    assert _files(place, 4) == {"sub", "sub/model.pt"}
    assert not list(place.home.path.rglob("*.tar")) and not (place.home.path / "trial_files").exists()
    assert place.run("doctor", "saved").returncode == 0


def _files(place: Place, number: int) -> set[str]:
    """Return what a trial's run has below its folder of files."""
    _, runs = place.runs("saved")
    client, run_id = place.client(), runs[number].info.run_id
    above = {each.path for each in client.list_artifacts(run_id, "files")}
    return {path.removeprefix("files/") for path in above | _below(place, run_id, above)}


def _below(place: Place, run_id: str, folders: set[str]) -> set[str]:
    return {each.path for folder in folders for each in place.client().list_artifacts(run_id, folder)}
