"""Real sweeps for tests: a command to run, a home to look into, both records read back."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import optuna
from command import run_here
from forked_command import ForkedCommand, can_fork, run_forked
from mlflow import MlflowClient
from mlflow.entities import Run
from shared import once
from waiting import wait_for
from warm import Warm

from hpo.ledger.mirror import compat
from hpo.ledger.mirror.book import make_database
from hpo.ledger.study.home import Home, open_storage
from hpo.spec.yaml_text import dump_source

compat.remember_schema_version()  # MLflow opens a database for each home that is looked into
COLD = [sys.executable, "-m", "hpo"]
WARM = [sys.executable, str(Path(__file__).parents[1] / "warm.py")]  # the same, but for how its processes start
OBJECTIVES = """
import os, signal, sys, time
from pathlib import Path

def parabola(trial):
    assert "torch._C" not in sys.modules, "a worker loaded Torch for nothing"
    for epoch in range(1, 6):
        trial.report(epoch, score=-((trial.params["x"] - 3) ** 2) - 1 / epoch, epoch_squared=epoch**2)

def slow(trial):
    for epoch in range(1, 11):
        time.sleep(0.1)
        trial.report(epoch, score=trial.params["x"])

def held(trial):
    while trial.number >= 2 and not Path(trial.data["go"]).exists():
        time.sleep(0.05)
    trial.report(1, score=trial.params["x"])

def raises(trial):
    raise RuntimeError(f"no luck with {trial.number}")

def mixed(trial):
    if trial.number == 1:
        raise ValueError("one bad trial")
    if trial.number == 2:
        trial.report(1, score=0.5)
        trial.report(2, score=float("nan"))
    return trial.params["x"]

def dies_once(trial):
    trial.report(1, score=0.0)
    marker = Path(trial.data["marker"])
    if trial.number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    trial.report(2, score=trial.params["x"])

def sparse(trial):
    for epoch in range(2, 21, 2):
        trial.report(epoch, score=trial.params["x"])

def typed(trial):
    names = {type(trial.params[name]).__name__ for name in ("a", "b")}
    assert names == {"str"}, names
    return trial.params["x"] + len(trial.params["a"])

def which(trial):
    import json
    return float(json.dumps(trial.params["v"]) == trial.data["best"])

def prints(trial):
    print("a word from the objective")
    return trial.params["x"]

def always_dies(trial):
    if trial.number == 1:
        os._exit(7)
    return trial.params["x"]
"""


def empty_mlflow() -> Path:
    """Return an MLflow database without runs, made once in a run of tests: MLflow takes seconds to make each."""
    return once("mlflow.db", make_database)


@dataclass
class Place:
    """A folder with objectives and a home.

    fresh: even MLflow's database is to be made by the sweep.
    cold: MLflow's writers and the servers of workers load what they need themselves, and are children of their drivers
    (tests/warm.py). warm_writers: but for the writers, where those are not the point.
    torch: commands and the servers of their workers have Torch loaded when they start, if they are not cold.
    """

    folder: Path
    fresh: bool = False
    cold: bool = False
    warm_writers: bool = False
    torch: bool = False

    def __post_init__(self) -> None:
        Warm.WRITERS.use_here()  # for writers of this process
        if not self.fresh and not self.home.path.exists():
            self.home.path.mkdir(parents=True)
            shutil.copy(empty_mlflow(), self.home.path)

    @property
    def home(self) -> Home:
        return Home(self.folder / "home")

    def write(self, function: str, **keys: Any) -> Path:
        """Write a sweep file over objectives.py; `keys` replace the top-level ones."""
        (self.folder / "my_objectives.py").write_text(OBJECTIVES)
        sweep = {
            "name": "small",
            "objective": f"my_objectives.py:{function}",
            "metric": {"name": "score", "goal": "maximize"},
            "method": "random",
            "budget": {"trials": 6},
            "seed": 1,
            "engine": {"workers": 2},
            "parameters": {"x": {"min": -5.0, "max": 5.0}},
        }
        path = self.folder / "sweep.yaml"
        path.write_text(dump_source(sweep | keys))
        return path

    def command(self, *arguments: str | Path) -> list[str]:
        """Return a command line; `--home` is its last option, where the command has one."""
        home = [] if arguments[0] in ("check", "schema", "data", "predict") else ["--home", str(self.home.path)]
        return [*(COLD if self.cold and not self.warm_writers else WARM), *map(str, arguments), *home]

    def environment(self) -> dict[str, str]:
        """Return the environment of commands, with the servers that their processes are forks of."""
        kinds = [] if self.cold and not self.warm_writers else [Warm.WRITERS]
        kinds += [] if self.cold else [Warm.TORCH_WORKERS if self.torch else Warm.WORKERS]
        return environment() | {kind.variable: kind.serve() for kind in kinds}

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = self.command(*arguments)
        if not self.cold:
            return ForkedCommand(command[len(WARM) :], self.folder, self.environment(), self.torch)
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def run(
        self, *arguments: str | Path, env: dict[str, str] | None = None, home: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; bounded, so that a hang is a failure that shows its output.

        `doctor` runs in this process, which has MLflow loaded; its own process is tested in tests/ledger/doctor. What
        is not `cold` is a fork of a process that has loaded what commands import (tests/forked_command.py).
        """
        command = self.command(*arguments)
        if home:
            command[-1] = str(home)
        if arguments[0] == "doctor":
            return run_here(command[command.index("doctor") :], self.folder, environment() | (env or {}))
        whole = self.environment() | (env or {})
        if not self.cold and can_fork(env or {}):
            return run_forked(command[len(WARM) :], self.folder, whole, 240, self.torch)
        return subprocess.run(
            command, cwd=self.folder, env=whole, text=True,
            capture_output=True, timeout=240, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def sweep(self, path: Path, *arguments: str) -> dict[str, Any]:
        """Run a sweep that must succeed; return its JSON."""
        done = self.run("sweep", path, "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def trials(self, study: str = "small") -> list[optuna.trial.FrozenTrial]:
        return optuna.load_study(study_name=study, storage=open_storage(self.home)).trials

    def ended(self) -> int:
        """Return how many trials the journal has outcomes of, without opening it as a study: that would mend it."""
        return self.home.journal.read_bytes().count(b'"outcome"') if self.home.journal.exists() else 0

    def wait_for_trials(self, count: int, process: subprocess.Popen[str]) -> None:
        """Wait until a running sweep has brought the journal to this many trials with outcomes."""
        wait_for(lambda: self.ended() >= count, f"{count} trials", process=process)

    def kill_in_mid_trial(self, path: Path) -> None:
        """Start a sweep of `held`, kill its driver when two trials are complete and others run, and let those go on
        that come next. (Two trials of `slow` may end at the same moment, and a kill then finds none that runs.)"""
        process = self.start("sweep", path)
        self.wait_for_trials(2, process)

        def running() -> bool:
            states = [trial.state.name for trial in self.trials()]
            return states.count("COMPLETE") == 2 and "RUNNING" in states

        wait_for(running, "two complete trials and one that runs", process=process)
        process.kill()
        process.communicate()
        (self.folder / "go").touch()

    def runs(self, study: str = "small") -> tuple[Run, dict[int, Run]]:
        """Return MLflow's parent run and its child runs by trial number; doubled ones are an error."""
        client = self.client()
        experiment = client.get_experiment_by_name(study)
        assert experiment is not None
        runs = list(client.search_runs([experiment.experiment_id], max_results=1000))
        (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        children: dict[int, Run] = {}
        for run in runs:
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id:
                number = int(run.data.tags["hpo.trial"])
                assert number not in children, f"trial {number} has two runs"
                children[number] = run
        return parent, children

    def client(self) -> MlflowClient:
        return MlflowClient(self.home.tracking_uri)


def read_until(process: subprocess.Popen[str], stream: IO[str], words: str) -> str:
    """Return what a process says in one of its pipes up to these words; `communicate` gives what follows."""
    said = ""

    def heard() -> bool:
        nonlocal said
        if select.select([stream], [], [], 1)[0]:
            said += os.read(stream.fileno(), 65536).decode()  # not by the stream, which would read ahead for itself
        return words in said

    wait_for(heard, words, process=process)
    return said


def environment() -> dict[str, str]:
    return {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "COLUMNS": "200"}


def assert_records_agree(place: Place, study: str = "small", all_ids: bool = True) -> None:
    """The study and MLflow hold the same trials, one to one, with every metric of every epoch; none is left running.

    all_ids: each trial knows its run's id; False: those may lack it that ended while MLflow could not be asked.
    """
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
    trials = place.trials(study)
    parent, children = place.runs(study)
    assert sorted(children) == [trial.number for trial in trials]
    client = place.client()
    for trial in trials:
        run, attributes = children[trial.number], trial.user_attrs
        assert run.info.status == status[trial.state.name]
        known = attributes.get("mlflow_run_id", "" if all_ids else run.info.run_id)
        assert known == run.info.run_id, (trial.number, known, run.info.run_id)
        assert run.data.tags["hpo.study"] == study
        assert run.data.tags["hpo.seed"] == str(attributes["seed"])
        assert set(run.data.params) == set(attributes["params"])
        history = attributes["history"]
        for name, values in history["metrics"].items():
            logged = {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
            assert logged == {
                step: value for step, value in zip(history["steps"], values, strict=True) if value is not None
            }, (trial.number, name)
    assert parent.info.status != "RUNNING"
