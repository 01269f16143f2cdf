"""What a driver bears: simulated workers and simulated time; driver, planner, searcher, study and MLflow are real.

1,000 workers train nothing: an epoch passes when the clock is set forward (hpo/engines/simulated.py). What is left is
the driver's own work. Trials have up to 27 epochs of 3 metrics, ASHA stops most of them, 3 % diverge, 1 % fail, and
0.2 % take their worker with them. A time is processor time of the driver's process, less the simulation's own: neither
other processes nor the disk's latency count. An event is a report or a trial's end, and "events/s" is what that leaves
room for on one core. MLflow's writer is a process of its own; "behind" is how many entries it has not written yet when
so many trials have ended, as the simulation runs far ahead of any real sweep.

`--resume` goes on with the study when it is done: the time from the start to the first ask. `--keep FOLDER` leaves the
homes there, to look at with `hpo ui`; `--parameters` and `--choices` make the space larger.
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import pstats
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common import CheckFailed, print_table, say, temporary
from hpo.driver import Driver
from hpo.engines.simulated import RandomFates, SimulatedClock, SimulatedEngine
from hpo.ledger.ledger import Ledger, Notice
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord
from hpo.search.searcher import Searcher
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Standing
from hpo.stopping.asha import AshaKeys

MB = 2**20
EPOCHS = 27
METRIC = "val_accuracy"
SPACE = Space(
    (
        Parameter("optimizer", Categorical(("sgd", "adam", "adamw", "rmsprop"))),
        Parameter("layers", Categorical((1, 2, 3))),
        Parameter("rate", Range(1e-5, 1e-1, log=True)),
        Parameter("decay", Range(0.0, 1.0)),
        Parameter("dropout", Range(0.0, 0.5)),
        Parameter("batch", Categorical((16, 32, 64, 128))),
        Parameter("units", Range(16, 256, integer=True)),
    )
)


@dataclass(frozen=True)
class Job:
    """One sweep."""

    method: str
    mlflow: bool
    workers: int
    trials: int
    cohorts: bool = False
    profile: bool = False
    resume: bool = False
    parameters: int = len(SPACE.parameters)
    choices: int = 0  # of one more parameter


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--workers", type=int, default=1000, metavar="N", help="simulated workers (default 1000)")
    parser.add_argument("--methods", nargs="+", default=["random", "tpe"], metavar="NAME", help="search methods")
    parser.add_argument("--mlflow", choices=("with", "without", "both"), default="both", help="the second record")
    parser.add_argument("--cohorts", action="store_true", help="train trials of one shape together")
    parser.add_argument("--profile", action="store_true", help="print where the time goes, instead of measuring it")
    parser.add_argument("--resume", action="store_true", help="also go on with each study when it is done")
    usual = len(SPACE.parameters)
    more = f"hyperparameters (default {usual}): more are numbers"
    parser.add_argument("--parameters", type=int, default=usual, metavar="N", help=more)
    parser.add_argument("--choices", type=int, default=0, metavar="N", help="one more hyperparameter: one of N texts")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes, in new folders in this one")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Measure, print, and leave the raw numbers in `results`. Runs each sweep once."""
    workers = 50 if options.quick else options.workers
    trials = options.trials or (500 if options.quick else 100_000)
    switches = {"with": (True,), "without": (False,), "both": (False, True)}[options.mlflow]
    same = {name: getattr(options, name) for name in ("cohorts", "profile", "resume", "parameters", "choices")}
    jobs = [Job(method, mlflow, workers, trials, **same) for method in options.methods for mlflow in switches]
    measured = []
    for job in jobs:
        with temporary() if options.keep is None else nullcontext(kept(options.keep, job)) as folder:
            if job.mlflow:
                alone(prepare, folder)
            measured.append((job, alone(measure, job, folder)))
            if job.resume:
                measured[-1][1]["resume"] = alone(resume, job, folder)
    results["scale"] = [{**vars(job), **found} for job, found in measured]
    print_table(
        f"scale: {workers:,} simulated workers, ASHA, {'cohorts' if options.cohorts else 'no cohorts'}; each row is of"
        " the trials since the row before",
        ["method", "MLflow", "trials ended", "events a trial", "us an event", "events/s", "ms a trial", "ms an ask",
         "driver MB", "writer MB", "behind", "study MB", "MLflow MB"],
        [
            [job.method, "yes" if job.mlflow else "no", f"{row['trials']:,}", row["events"] / row["trials_here"],
             row["seconds"] / row["events"] * 1e6, row["events"] / row["seconds"],
             row["seconds"] / row["trials_here"] * 1000, row["ask"] * 1000, row["driver_mb"], row["writer_mb"],
             f"{row['behind']:,}", row["study_mb"], row["mlflow_mb"]]
            for job, found in measured for row in found["rows"]
        ],
    )  # fmt: skip
    print_table(
        "the whole sweep",
        ["method", "MLflow", "complete", "pruned", "failed", "simulated days", "s of the driver's processor",
         "s of the simulation", "s of wall time", "s until MLflow is written", "most MB of the driver"],
        [
            [job.method, "yes" if job.mlflow else "no",
             *(f"{found[key]:,}" for key in ("complete", "pruned", "failed")), found["simulated"] / 86400, found["cpu"],
             found["simulation"], found["wall"], found["closing"],
             found["peak_mb"]]
            for job, found in measured
        ],
    )  # fmt: skip
    if options.resume:
        print_table(
            "going on with it",
            ["method", "MLflow", "s to open the study", "s to the first ask", "most MB of the driver"],
            [[job.method, "yes" if job.mlflow else "no", *found["resume"].values()] for job, found in measured],
        )


def kept(place: Path, job: Job) -> Path:
    """Make the folder that a job's home is kept in. Raises CheckFailed if there is one."""
    folder = place / f"{job.method}-{'with' if job.mlflow else 'without'}-mlflow"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise CheckFailed(f"{folder} is there already") from None
    return folder


def space_of(job: Job) -> Space:
    """Return the space of a job."""
    more = [Parameter(f"rate_{number}", Range(0.0, 1.0)) for number in range(len(SPACE.parameters), job.parameters)]
    texts = tuple(f"recipe-{number:05d}" for number in range(job.choices))
    return Space((*SPACE.parameters, *more, *([Parameter("recipe", Categorical(texts))] if texts else [])))


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def sweep_of(job: Job, trials: int) -> Sweep:
    """Return the sweep of a job."""
    return Sweep(
        name="scale", source=Path("scale.yaml"), text="", metric=Target(METRIC, "maximize"), space=space_of(job),
        budget=Limits(trials, EPOCHS, failures=trials), objective="simulated", method=job.method, seed=1,
        early_terminate=AshaKeys(type="asha", min_iter=1, eta=3),
        traits=Traits(reports_each_epoch=True, shape_parameters=("layers", "batch") if job.cohorts else None),
    )  # fmt: skip


class NoMirror:
    """In the place of hpo.ledger.mirror.mirror.Mirror: takes all orders, and writes nothing."""

    takes_ids = True
    in_trouble = False
    parent_id = ""

    def __init__(self) -> None:
        self.run_ids: dict[int, str] = {}

    def __getattr__(self, name: str) -> Callable[..., list[Notice]]:
        return lambda *arguments, **named: []


@dataclass
class Meter:
    """A watcher that notes where the sweep stands whenever its trials have grown tenfold."""

    home: Home
    engine: SimulatedEngine
    spent: Mapping[str, list[float]]
    trials: int
    writes: bool  # MLflow
    rows: list[dict[str, Any]] = field(default_factory=list)
    ended: int = 0
    ledger: Ledger | None = None
    began: float = 0.0

    def note(self, text: str, warning: bool = False) -> None:
        pass

    def tick(self, standing: Standing) -> None:
        pass

    def trial(self, record: TrialRecord, standing: Standing) -> None:
        self.ended += 1
        goes_in = standing.done >= self.trials // (100, 10, 1)[min(2, len(self.rows))] and len(self.rows) < 3
        if goes_in or self.ended % 10_000 == 0:
            self.mark(keep=goes_in)

    def mark(self, keep: bool) -> None:
        """Note the totals so far; as a row, less those of the row before."""
        simulation = sum(sum(self.spent[name]) for name in ("poll", "submit", "reply"))
        asks = self.spent["propose"]
        totals = {
            "trials_here": self.ended,
            "events": self.engine.events,
            "seconds": time.process_time() - self.began - simulation,
            "asking": sum(asks),
            "asks": len(asks),
        }
        own = psutil.Process()
        writer = sum(child.memory_info().rss for child in own.children() if "resource_tracker" not in _command(child))
        mirror = self.ledger._mirror if self.ledger else None
        place = {
            "trials": self.ended,
            "driver_mb": own.memory_info().rss / MB,
            "writer_mb": writer / MB,
            "behind": len(mirror._unwritten) if self.writes and mirror else 0,
            "study_mb": self.home.journal.stat().st_size / MB,
            "mlflow_mb": sum(file.stat().st_size for file in self.home.path.glob("mlflow.db*")) / MB,
        }
        say(f"{self.ended:,} ended, {totals['seconds']:.1f} s, {place['driver_mb']:.0f} MB, {place['behind']} behind")
        if keep:
            before = self.rows[-1]["totals"] if self.rows else dict.fromkeys(totals, 0)
            here = {name: totals[name] - before[name] for name in totals}
            ask = here["asking"] / here["asks"] if here["asks"] else 0.0
            self.rows.append({**place, **here, "ask": ask, "totals": totals})


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def timed(*methods: tuple[type, str]) -> Iterator[dict[str, list[float]]]:
    """Keep how many seconds of the processor each call of these methods takes inside the block."""
    spent: dict[str, list[float]] = {name: [] for _, name in methods}
    before = [getattr(owner, name) for owner, name in methods]

    def wrapped(method: Callable[..., Any], times: list[float]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return method(*arguments, **named)
            finally:
                times.append(time.process_time() - began)

        return call

    for (owner, name), method in zip(methods, before, strict=True):
        setattr(owner, name, wrapped(method, spent[name]))
    try:
        yield spent
    finally:
        for (owner, name), method in zip(methods, before, strict=True):
            setattr(owner, name, method)


def prepare(folder: Path) -> None:
    """Make MLflow's database, in a process that is not measured."""
    from hpo.ledger.mirror.book import make_database

    make_database(folder / "mlflow.db")


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """Run one sweep to its end; return what it took."""
    home = Home(folder)
    sweep, clock = sweep_of(job, job.trials), SimulatedClock()
    engine = SimulatedEngine(job.workers, clock, RandomFates())
    simulated = [(SimulatedEngine, name) for name in ("poll", "submit", "reply")]
    began = time.perf_counter()
    with timed((Searcher, "propose"), *simulated) as spent:
        ledger = Ledger(sweep, home, clock, mirror=None if job.mlflow else NoMirror())  # type: ignore[arg-type]
        meter = Meter(home, engine, spent, job.trials, job.mlflow, ledger=ledger)
        driver = Driver(sweep, ledger, engine, meter, clock)
        closing: list[float] = []
        close = ledger.close

        def noted(*arguments: Any, **named: Any) -> list[Notice]:
            closing.append(time.perf_counter())
            return close(*arguments, **named)

        ledger.close = noted  # type: ignore[method-assign]
        meter.began = time.process_time()
        start, profile = clock.now, cProfile.Profile() if job.profile else None
        standing = profile.runcall(driver.run) if profile else driver.run()
        cpu = time.process_time() - meter.began
    ended = time.perf_counter()
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    if standing.done != job.trials:
        raise CheckFailed(f"{standing.done} of {job.trials} trials are done: {standing.error or standing.reason}")
    simulation = sum(sum(spent[name]) for _, name in simulated)
    return {
        "rows": meter.rows,
        "complete": standing.counts.complete,
        "pruned": standing.counts.pruned,
        "failed": standing.counts.failed,
        "simulated": clock.now - start,
        "cpu": cpu - simulation,
        "simulation": simulation,
        "wall": ended - began,
        "closing": ended - closing[0],
        "peak_mb": _peak(),
    }


def resume(job: Job, folder: Path) -> dict[str, Any]:
    """Open a study that is done with a larger budget, as `hpo sweep --extend` does, up to the first ask."""
    home, clock = Home(folder), SimulatedClock()
    sweep = sweep_of(job, job.trials + 1)
    began = time.perf_counter()
    ledger = Ledger(sweep, home, clock, mirror=None if job.mlflow else NoMirror())  # type: ignore[arg-type]
    opened = time.perf_counter()
    if ledger.done != job.trials:
        raise CheckFailed(f"the study has {ledger.done} of {job.trials} trials")
    history, _ = ledger.start()
    Searcher(sweep, history).propose()
    found = {"open": opened - began, "first ask": time.perf_counter() - began, "peak_mb": _peak()}
    ledger.abandon()
    return found


def _peak() -> float:
    """Return the most memory that this process ever had, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
