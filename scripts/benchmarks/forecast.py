"""Is the time that is left told rightly? Simulated sweeps are played, and what was said is compared with what came.

Driver, planner, sampler, stopping rule and forecast are real; workers and time are simulated
(hpo/engines/simulated.py); records are kept in memory. Sweeps are drawn by lot, `--repeats` of each stopping rule: 1 to
64 workers, 50 to `--trials` trials, epochs fixed or searched, costs by shape, by chance or equal, one by one or in
cohorts, failures, baselines, random search, a search that gets better, and TPE. What is said after a quarter, half and
three quarters of a sweep's time is one number, right if it is within a third of the time that came, or two, right if
that lies between them.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from benchmarks.common import CheckFailed, print_table, say
from hpo.driver import Driver
from hpo.driver.pace import Pace
from hpo.engines.base import Message
from hpo.engines.simulated import Fate, SimulatedClock, SimulatedEngine
from hpo.events import Diverged, Event, Finished, Reported, Stopped, TrialSpec
from hpo.ledger.study.records import Outcome, TrialRecord
from hpo.spec.space import Categorical, Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target, Traits
from hpo.standing import Standing
from hpo.stopping.asha import AshaKeys
from hpo.stopping.base import Course as StoppedCourse
from hpo.stopping.base import StoppingKeys, StoppingRule
from hpo.stopping.hyperband import HyperbandKeys
from hpo.stopping.none import NoStopKeys
from hpo.stopping.patience import PatienceKeys
from hpo.stopping.percentile import MedianKeys, PercentileKeys

PARTS = (0.25, 0.5, 0.75)  # of the time that a sweep took
WITHIN = 1 / 3
RULES = ("none", "asha", "hyperband", "median", "percentile", "patience")
WIDTHS = (16, 64, 256)


class MemoryLedger:
    """In the place of hpo.ledger.ledger.Ledger: one driver's trials, kept in memory as long as they run."""

    def __init__(self, sweep: Sweep, clock: SimulatedClock) -> None:
        self._sweep = sweep
        self._clock = clock
        self._began = clock()
        self._next = 0
        self._records: dict[int, TrialRecord] = {}
        self.ended: list[TrialRecord] = []
        nothing = mock.Mock(return_value=None)
        self.references = SimpleNamespace(known=lambda fresh=False: None)
        self.files = SimpleNamespace(
            checkpoint_of=lambda record: "", weights_of=lambda record: None, files_of=lambda: None
        )
        heartbeat = SimpleNamespace(stay_alive=nothing, lost=False)
        self.membership = SimpleNamespace(
            wait_for_database=nothing, heartbeat=heartbeat, stream=0, joined=False, elsewhere=0
        )
        self.warm_up = self.forget = self.best = self.attach = nothing

    @property
    def seconds(self) -> float:
        return self._clock() - self._began

    def start(self, notes: Sequence[str]) -> tuple[list[Any], list[TrialRecord]]:
        return [], []

    @contextmanager
    def together(self) -> Iterator[None]:
        yield

    def begin(self, params: Mapping[str, Any], retry: TrialRecord | None) -> TrialRecord:
        record = TrialRecord(self._next, dict(params), self._next, self._sweep.epochs_of(params), self._clock())
        self._next += 1
        self._records[record.number] = record
        return record

    def again(self, number: int) -> None:
        self._records[number].steps.clear()

    def report(self, number: int, step: int, metrics: Mapping[str, float], moment: float) -> None:
        self._records[number].steps[step] = dict(metrics)

    def end(self, number: int, outcome: Outcome) -> TrialRecord:
        record = self._records.pop(number)
        record.outcome, record.ended = outcome, self._clock()
        return record

    def pump(self) -> list[Any]:
        return []

    def close(self, status: str, summary: Mapping[str, Any], hurry: object) -> list[Any]:
        return []

    def abandon(self, error: object, hurry: object) -> None: ...


class Leaping(SimulatedEngine):
    """Goes from event to event, however long the driver would wait for the next one."""

    def poll(self, timeout: float) -> list[Message]:
        ahead = self._agenda[0][0] - self._clock.now if self._agenda else timeout
        return super().poll(max(0.0, ahead))


@dataclass(frozen=True)
class Course:
    """Fates of a sweep's trials. Their height depends on the parameters, and on how far the search has come."""

    seed: int
    seconds: float = 1.0  # of an epoch
    spread: float = 0.0  # of the logarithm of a trial's epochs
    by_width: bool = False  # a network of width 256 takes four times as long as one of 16
    gain: float = 0.0  # of the height, over the sweep
    trials: int = 1
    failing: float = 0.0

    def __call__(self, spec: TrialSpec, run: int) -> Fate:
        lot = random.Random(f"{self.seed}:{spec.number}:{run}")
        seconds = self.seconds * lot.lognormvariate(0, self.spread) if self.spread else self.seconds
        if self.by_width:
            seconds *= math.sqrt(spec.params["width"] / 64)
        quality = -abs(spec.params["rate"] - 0.3) - (0.1 if spec.params["kind"] == "a" else 0.0)
        height = 0.9 + 0.4 * quality + self.gain * min(1.0, spec.number / self.trials) + lot.gauss(0, 0.02)
        pace, shake = lot.uniform(3, 9), random.Random(f"{self.seed}:{spec.number}:noise")
        noise = [shake.gauss(0, 0.004) for _ in range(100)]

        def metrics(epoch: int) -> dict[str, float]:
            return {"val_accuracy": height * (1 - math.exp(-epoch / pace)) + noise[epoch % 100]}

        ends: Any = "finishes"
        at = lot.randint(1, spec.epochs or 1)
        if lot.random() < self.failing:
            ends = lot.choice(["fails", "dies", "diverges"])
        return Fate(seconds, metrics, ends, at if ends != "finishes" else 0)


@dataclass(frozen=True)
class Scene:
    """A sweep to play."""

    rule: str
    keys: StoppingKeys
    trials: int
    workers: int
    epochs: int
    epochs_searched: bool
    cohort: Any  # None: trials train one by one
    method: str
    baselines: int
    course: Course


def draw(rule: str, seed: int, most: int) -> Scene:
    """Return a sweep by lot."""
    lot = random.Random(f"{rule}:{seed}")
    epochs = lot.choice((9, 27, 81))
    trials = round(math.exp(lot.uniform(math.log(50), math.log(most))))
    method = lot.choice(("random", "random", "better", "tpe" if trials <= 200 else "better"))
    keys: StoppingKeys
    first, eta = lot.randint(1, 9), lot.randint(2, 4)
    if rule == "asha":
        keys = AshaKeys(type="asha", min_iter=min(first, epochs // 2), eta=eta)
    elif rule == "hyperband":
        keys = HyperbandKeys(type="hyperband", min_iter=min(first, epochs // 2), eta=eta)
    elif rule == "median":
        keys = MedianKeys(type="median", n_warmup_steps=lot.choice((0, epochs // 4)))
    elif rule == "percentile":
        keys = PercentileKeys(type="percentile", percentile=lot.choice((10.0, 25.0, 75.0)))
    elif rule == "patience":
        keys = PatienceKeys(type="patience", patience=lot.choice((2, 4, 6)))
    else:
        keys = NoStopKeys(type="none")
    course = Course(
        seed,
        spread=lot.choice((0.0, 0.2, 0.5)),
        by_width=lot.random() < 0.5,
        gain=0.15 if method == "better" else 0.0,
        trials=trials,
        failing=lot.choice((0.0, 0.0, 0.05)),
    )
    return Scene(
        rule,
        keys,
        trials,
        lot.choice((1, 2, 4, 8, 16, 32, 64)),
        epochs,
        lot.random() < 0.3,
        lot.choice((None, None, 8, "auto")),
        method,
        lot.choice((0, 0, 1, 2)),
        course,
    )


def sweep_of(scene: Scene) -> Sweep:
    """Return the sweep of a scene."""
    parameters = [
        Parameter("rate", Range(0.0, 1.0)),
        Parameter("kind", Categorical(("a", "b", "c"))),
        Parameter("width", Categorical(WIDTHS)),
    ]
    if scene.epochs_searched:
        parameters.append(Parameter("epochs", Range(max(2, scene.epochs // 3), scene.epochs, integer=True)))
    more = {"epochs": scene.epochs} if scene.epochs_searched else {}
    given = [{"rate": 0.5, "kind": "b", "width": 64, **more}, {"rate": 0.2, "kind": "c", "width": 16, **more}]
    sweep = Sweep(
        name="played", source=Path("played.yaml"), text="", metric=Target("val_accuracy", "maximize"),
        space=Space(tuple(parameters)), objective="played", seed=scene.course.seed, early_terminate=scene.keys,
        method="random" if scene.method == "better" else scene.method, references="off",
        budget=Limits(scene.trials, None if scene.epochs_searched else scene.epochs, failures=10 * scene.trials),
        baselines=tuple(given[: scene.baselines]),
        traits=Traits(reports_each_epoch=True, shape_parameters=("width",) if scene.cohort else None),
    )  # fmt: skip
    if scene.cohort:
        sweep = dataclasses.replace(sweep, engine=sweep.engine.model_copy(update={"cohort": scene.cohort}))
    return sweep


@dataclass
class Tape:
    """What a driver told its Pace: calls with the moments at which they came."""

    calls: list[tuple[float, str, tuple[Any, ...]]] = field(default_factory=list)
    began: float = 0.0
    ended: float = 0.0


class Recorder(Pace):
    """A Pace that keeps what it is told, and forecasts nothing."""

    tape: Tape

    def _keep(self, name: str, *arguments: Any) -> None:
        self.tape.calls.append((self._clock(), name, arguments))

    def begin(self, *arguments: Any) -> None:
        self._keep("begin", *arguments)

    def heard(self, assignment: int, events: Sequence[Event]) -> None:
        self._keep("heard", assignment, tuple(events))

    def done(self, assignment: int) -> None:
        self._keep("done", assignment)

    def look(self, workers: int, trials: int, size: Callable[[int], int], limit: float | None) -> None:
        sizes = [size(left) for left in range(trials + 1)]
        if not self.tape.calls or self.tape.calls[-1][1] != "look" or self.tape.calls[-1][2][1] != trials:
            self._keep("look", workers, trials, sizes)


def play(scene: Scene) -> tuple[Sweep, Tape]:
    """Run a sweep in simulated time."""
    sweep, clock, tape = sweep_of(scene), SimulatedClock(), Tape()
    engine = Leaping(scene.workers, clock, scene.course, restart_seconds=3.0)
    recorder = type("Taped", (Recorder,), {"tape": tape})
    nobody: Any = mock.Mock()
    tape.began = clock()
    with mock.patch("hpo.driver.loop.Pace", recorder):
        ledger: Any = MemoryLedger(sweep, clock)
        standing = Driver(sweep, ledger, engine, nobody, clock).run()
    if standing.done != scene.trials:
        raise CheckFailed(f"{standing.done} of {scene.trials} trials: {standing.error or standing.reason}")
    tape.ended = max(moment for moment, name, _ in tape.calls if name == "done")
    return sweep, tape


def _teach(rule: StoppingRule, courses: dict[int, StoppedCourse], events: Sequence[Event]) -> None:
    """Have a rule know what the sampler's rule knew."""
    for event in events:
        course = courses.setdefault(event.number, StoppedCourse(event.number))
        if isinstance(event, Reported):
            if event.step not in course.values:
                course.values[event.step] = -event.metrics["val_accuracy"]
                rule.report(course, event.step, course.values[event.step])
        elif isinstance(event, Finished | Stopped | Diverged):
            rule.end(courses.pop(event.number), isinstance(event, Finished))
        else:
            rule.withdraw(courses.pop(event.number))


@dataclass(frozen=True)
class Said:
    """What was said of a sweep at one moment. left, between: hpo.standing.Activity's; came: the seconds that it took
    from there on."""

    left: float | None
    between: tuple[float, float] | None
    came: float

    @property
    def right(self) -> bool:
        """Whether it was right; nothing said is not."""
        if self.left is None:
            return False
        if self.between is not None:
            return self.between[0] <= self.came <= self.between[1]
        return abs(self.left - self.came) <= WITHIN * self.came


def forecasts(sweep: Sweep, tape: Tape, parts: Sequence[float] = PARTS) -> list[Said]:
    """Return what is said after these parts of a sweep's time."""
    clock, standing = SimulatedClock(tape.began), Standing("played", "val_accuracy", "maximize", sweep.budget.trials)
    rule = sweep.early_terminate.rule(sweep.name, sweep.max_epochs())
    courses: dict[int, StoppedCourse] = {}
    marks = [tape.began + part * (tape.ended - tape.began) for part in parts]
    pace = Pace(sweep, standing, clock, rule, lambda number: None)
    said: list[Said] = []
    latest: tuple[int, int, list[int]] | None = None

    def tell(mark: float) -> None:
        clock.now = mark
        pace.forget()
        if latest is not None:
            workers, trials, sizes = latest
            pace.look(workers, trials, lambda left: sizes[min(left, trials)], None)
        said.append(Said(standing.activity.left, standing.activity.left_between, tape.ended - mark))

    for moment, name, arguments in tape.calls:
        while marks and moment > marks[0]:
            tell(marks.pop(0))
        clock.now = moment
        if name == "look":
            latest = arguments  # type: ignore[assignment]
            continue
        if name == "heard":
            _teach(rule, courses, arguments[1])
        getattr(pace, name)(*arguments)
    for mark in marks:
        tell(mark)
    return said


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add this suite's own options."""
    parser.add_argument("--rules", nargs="+", choices=RULES, default=RULES, metavar="NAME", help="stopping rules")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first sweep of each (default 0)")


def run(options: argparse.Namespace, results: dict[str, Any]) -> None:
    """Play, compare, print, and leave the raw numbers in `results`."""
    most = options.trials or (100 if options.quick else 2000)
    found: list[tuple[Scene, list[Said]]] = []
    for rule in options.rules:
        for seed in range(options.seed, options.seed + options.repeats):
            scene = draw(rule, seed, most)
            try:
                found.append((scene, forecasts(*play(scene))))
            except CheckFailed as failed:  # by so many failures as end a sweep
                say(f"left out: {failed}")
        say(rule)
    results["forecast"] = [
        {"rule": scene.rule, "trials": scene.trials, "workers": scene.workers, "said": [vars(each) for each in said]}
        for scene, said in found
    ]
    rows: list[list[object]] = []
    for part, share in enumerate(PARTS):
        for rule in options.rules:
            said = [each[part] for scene, each in found if scene.rule == rule]
            one = [each for each in said if each.left is not None and each.between is None]
            two = [each for each in said if each.between is not None]
            within = sum(each.left is not None and abs(each.left - each.came) <= WITHIN * each.came for each in said)
            wide = [each.between[1] / max(each.between[0], 1e-9) for each in two if each.between is not None]
            rows.append(
                [rule, f"{share:.0%}", len(said), len(said) - len(one) - len(two), _of(one), _of(two),
                 f"{statistics.median(wide):.1f}" if wide else "-", f"{within} of {len(said)}"]
            )  # fmt: skip
    print_table(
        "time left: what was said after this share of a sweep's time",
        ["stopping rule", "after", "sweeps", "nothing said", "one number, within a third", "two numbers, between them",
         "second / first, median", "the median within a third"],
        rows,
    )  # fmt: skip


def _of(said: Sequence[Said]) -> str:
    return f"{sum(each.right for each in said)} of {len(said)}"
