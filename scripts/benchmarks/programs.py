"""The peers' programs (peers/), run and checked: what several suites compare this project with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

from benchmarks.common import PYTHON, CheckFailed, run_all
from benchmarks.cost import Cost, cost_of
from benchmarks.ours import all_runs, metric_rows
from benchmarks.spaces import Space

PEERS = Path(__file__).parent / "peers"
TIMEOUT = 3600.0


@dataclass(frozen=True)
class PeerRun:
    """One run of a peer's program, in one process or several.

    ends: when the trials of each process ended (seconds since 1970); forbidden ones, which end untrained, are not among
        them.
    values: those of the same trials; None: no finite number.
    """

    cost: Cost
    ends: list[list[float]]
    values: list[list[float | None]]

    @property
    def trained(self) -> int:
        """Return the number of trials that were trained."""
        return sum(map(len, self.ends))


def fresh(folder: Path, name: str) -> Path:
    """Return a new folder."""
    place = folder / name
    place.mkdir()
    return place


def make_mlflow(folder: Path) -> Path:
    """Make an MLflow database with an experiment, which takes seconds; every peer begins with a copy."""
    program = "from mlflow import MlflowClient; MlflowClient('sqlite:///empty.db').create_experiment('binary')"
    run_all([[PYTHON, "-c", program]], folder, TIMEOUT)
    return folder / "empty.db"


def optuna_loop(place: Path, space: Space, trials: int, seed: int) -> PeerRun:
    """Run peers/optuna_loop.py in a folder."""
    return _run([[PYTHON, PEERS / "optuna_loop.py", str(trials), str(seed), space.name]], place)


def optuna_mlflow(
    place: Path, empty: Path, space: Space, each: int, processes: int, seed: int, target: float | None = None
) -> PeerRun:
    """Run peers/optuna_mlflow.py in a new folder, as many times at once as there are to be processes, and check its
    MLflow.

    empty: the database that it begins with.
    each: trials of a process, forbidden ones included.
    target: where the search ends.
    """
    copyfile(empty, place / "mlflow.db")
    storage = "sqlite" if processes == 1 else "journal"
    more = [] if target is None else ["--target", str(target)]
    seeds = [1000 * index + seed for index in range(processes)]
    program = [PYTHON, PEERS / "optuna_mlflow.py", str(each)]
    done = _run([[*program, str(one), storage, space.name, *more] for one in seeds], place)
    check_peer(place, done.trained, processes, space.epochs, space.peer_metrics)
    return done


def _run(commands: Sequence[Sequence[str | Path]], place: Path) -> PeerRun:
    cost = cost_of(commands, place, TIMEOUT)
    said = [json.loads(text.splitlines()[-1]) for text in cost.printed]
    return PeerRun(cost, [one["ends"] for one in said], [one["values"] for one in said])


def check_peer(place: Path, trials: int, parents: int, epochs: int, names: Sequence[str]) -> list[float]:
    """Raise CheckFailed unless MLflow has all that the peer was to log; return when the trials' runs ended."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("binary")
    runs = [run for run in all_runs(client, experiment.experiment_id) if run.info.status == "FINISHED"]
    rows = metric_rows(place / "mlflow.db")
    wanted = {(name, epoch) for name in names for epoch in range(1, epochs + 1)}
    full = [run for run in runs if wanted <= rows.get(run.info.run_id, {}).keys()]
    if len(full) != trials or len(runs) != trials + parents:
        raise CheckFailed(f"{place.name}: MLflow has {len(full)} whole trials of {trials}, {len(runs)} finished runs")
    return sorted(run.info.end_time / 1000 for run in full)


def environment(checkout: Path | None) -> dict[str, str] | None:
    """Return the environment in which `hpo` is the one of another checkout; None: the environment as it is."""
    if checkout is None:
        return None
    if not (checkout / "hpo" / "cli").is_dir():
        raise CheckFailed(f"{checkout} is no checkout of this project: it has no hpo/cli")
    paths = [str(checkout.resolve()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
