"""What every engine must do: the same tests over local processes and over Ray actors on a cluster of two nodes."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from ray_support import two_nodes
from waiting import wait_for

from hpo.engines.base import Artifact, Done, Engine, EngineError, Message, Note, TrialEvents
from hpo.engines.local import LocalEngine
from hpo.engines.ray.engine import RayEngine
from hpo.events import (
    FILES_ARCHIVE,
    Assignment,
    Decision,
    DecisionSteps,
    Event,
    Failed,
    FailureKind,
    FilesOrder,
    Finished,
    Paused,
    Reported,
    Stopped,
    TrialSpec,
)
from hpo.spec.grammar import RayEngineKeys
from hpo.spec.named import Named

pytestmark = pytest.mark.slow
SAVES = """
import json, os
open(os.environ["HPO_FOLDER"] + "/model.pt", "w").close()
print(json.dumps({"score": 3}))
"""
OBJECTIVES = """
import os, time
import helper_of_mine

def behaves(trial):
    what = trial.params.get("what")
    if what == "endless":
        for epoch in range(1, 10_000):
            time.sleep(0.02)
            trial.report(epoch, score=1.0)
    if what == "dies":
        trial.report(1, score=0.0)
        os._exit(7)
    if what == "hangs":
        trial.report(1, score=0.0)
        time.sleep(600)
    if what == "reads":
        trial.report(1, sent="hpo-data-" in trial.data["table"] and 1 or 0)
        return float(open(trial.data["table"]).read()) + float(open("beside/numbers.txt").read())
    for epoch in range(1, 4):
        trial.report(epoch, score=epoch + trial.params["x"])
    return trial.params["x"]

def broken(trial, missing):
    pass
"""
ENGINES = ("local", "ray")


@dataclass
class Run:
    """An engine under test, and all that it said."""

    engine: Engine
    messages: list[Message] = field(default_factory=list)

    def until(self, true: Callable[[], object]) -> None:
        def polled() -> object:
            for _ in range(1000):  # as many as have come: a worker may say more in a moment than is looked at
                if found := true():
                    return found
                if not (new := self.engine.poll(0.2)):
                    break
                self.messages += new
            return true()

        try:
            wait_for(polled, "what the engine should do")
        except AssertionError as error:
            error.add_note(f"it said: {self.messages}")
            raise

    def idle(self) -> None:
        self.until(self.engine.idle)

    def events(self, kind: type[Event] | None = None) -> list[Event]:
        found = [event for message in self.messages if isinstance(message, TrialEvents) for event in message.events]
        return [event for event in found if kind is None or isinstance(event, kind)]

    def submit(self, number: int, what: str = "", asked: bool = False) -> None:
        """Have a trial behave in some way; forget what was said before."""
        self.idle()
        self.messages = []
        spec = TrialSpec(number, {"x": number, "what": what}, seed=1)
        self.engine.submit(Assignment(number, (spec,), DecisionSteps(every=asked)))

    def done(self, *assignments: int) -> None:
        self.until(lambda: {Done(number) for number in assignments} <= {m for m in self.messages if type(m) is Done})


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_nodes(num_cpus=1) as cluster:
        yield cluster.address


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of all tests here, with what objectives import and read."""
    project = tmp_path_factory.mktemp("project")
    (project / "my_objectives.py").write_text(OBJECTIVES)
    (project / "my_task.py").write_text("from objectives.binary import Binary as task\n")
    (project / "train.py").write_text("import json\nprint('hello')\nprint(json.dumps({'score': 3}))\n")
    (project / "saves.py").write_text(SAVES)
    (project / "helper_of_mine.py").write_text("")
    (project / "beside").mkdir()
    (project / "beside" / "numbers.txt").write_text("2")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        yield project


Start = Callable[..., Run]


@pytest.fixture(scope="module", params=ENGINES)
def start(request: pytest.FixtureRequest, project: Path) -> Iterator[Start]:
    """`start(named, workers=2, libraries=())`: an engine of each kind, ended when the next one is started (a process
    has one Ray)."""
    runs: list[Run] = []
    address = request.getfixturevalue("address") if request.param == "ray" else ""

    def end() -> None:
        for run in runs:
            run.engine.close(at_once=True)
            run.engine.close()

    def start(named: Named, workers: int = 2, libraries: Sequence[str] = ()) -> Run:
        end()
        engine: Engine
        if request.param == "local":
            engine = LocalEngine(named, [None] * workers, project / "logs", libraries=libraries)
        else:
            keys = RayEngineKeys(type="ray", address=address, workers=workers, files=["beside"])
            engine = RayEngine(named, keys, 100, project / "logs", libraries=libraries)
        engine.start()
        runs[:] = [Run(engine)]
        return runs[0]

    yield start
    end()


@pytest.fixture(scope="module")
def run(start: Start, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An engine whose trials behave as `what` says."""
    table = tmp_path_factory.mktemp("elsewhere") / "table.txt"
    table.write_text("40")
    run = start(Named("my_objectives.py:behaves", None, (), {"table": str(table)}, "score", ("x", "what"), project))
    os.utime(table, (1, 1))  # for Ray's workers it is another file from now on, as on another machine: it is sent
    return run


def test_trials_report_and_end(run: Run):
    run.until(lambda: run.engine.idle() == 2)
    assert run.engine.workers == 2
    numbers = range(4)
    for number in numbers[:2]:
        run.engine.submit(Assignment(number, (TrialSpec(number, {"x": number}, seed=1),)))
    assert run.engine.idle() == 0
    with pytest.raises(RuntimeError):
        run.engine.submit(Assignment(9, ()))
    run.done(0, 1)
    for number in (0, 1):
        mine = [event for event in run.events() if event.number == number]
        assert [(e.step, e.metrics) for e in mine if isinstance(e, Reported)] == [
            (epoch, {"score": epoch + number}) for epoch in (1, 2, 3)
        ]
        last = mine[-1]
        assert isinstance(last, Finished)
        assert last.value == number
        assert set(last.info) >= {"worker", "pid", "host", "train_seconds"}
    assert {event.info["worker"] for event in run.events() if isinstance(event, Finished)} == {"worker-0", "worker-1"}


def test_decisions_are_waited_for_and_obeyed(run: Run):
    run.submit(10, asked=True)
    run.until(lambda: any(isinstance(m, TrialEvents) and m.waiting for m in run.messages))
    run.engine.reply(10, {10: Decision.CONTINUE})
    run.until(lambda: len(run.events(Reported)) == 2)
    run.engine.reply(10, {10: Decision.STOP})
    run.done(10)
    assert len(run.events(Reported)) == 2
    assert run.events(Stopped)


def test_a_running_trial_can_be_stopped(run: Run):
    run.submit(20, "endless")
    run.until(lambda: run.events(Reported))
    run.engine.stop([20])
    run.done(20)
    assert run.events(Stopped)


def test_a_dead_worker_is_replaced_and_its_trial_reported(run: Run):
    run.submit(30, "dies")
    run.done(30)
    (lost,) = run.events(Failed)
    assert lost == Failed(30, "WorkerDied: exit code 7", kind=FailureKind.DIED, info=lost.info)
    assert any(isinstance(message, Note) and message.warning for message in run.messages)
    run.until(lambda: run.engine.idle() == 2)


def test_a_trial_that_hangs_can_be_killed(run: Run):
    run.submit(40, "hangs")
    run.until(lambda: run.events(Reported))
    assert run.engine.kill(40, {40: "TrialTimeout: too long"})
    run.done(40)
    (killed,) = run.events(Failed)
    assert (killed.error, killed.kind) == ("TrialTimeout: too long", FailureKind.TIMEOUT)


def test_data_is_found(run: Run):
    run.submit(50, "reads")
    run.done(50)
    reported, ended = run.events()
    assert isinstance(ended, Finished), ended
    assert ended.value == 42
    assert isinstance(reported, Reported)
    assert reported.metrics["sent"] == isinstance(run.engine, RayEngine)


def test_a_torch_trial_pauses_with_a_checkpoint_and_goes_on_from_it(start: Start, project: Path, tmp_path: Path):
    run = start(Named("my_task.py:task", None, (), {}, "val_accuracy", (), project), 1, ["torch"])
    checkpoint = tmp_path / "checkpoints" / "0.pt"
    spec = TrialSpec(0, {"hidden_layers": [4], "batch_size": 512}, seed=1, epochs=100_000, checkpoint=str(checkpoint))

    def reports() -> list[tuple[object, ...]]:
        return [(e.step, e.metrics, e.time) for e in run.events() if isinstance(e, Reported)]

    run.idle()
    run.engine.submit(Assignment(0, (spec,), checkpoint_seconds=0.2))
    run.until(checkpoint.exists)
    run.engine.pause([0])
    run.done(0)
    (paused,) = run.events(Paused)
    assert isinstance(paused, Paused)
    server = psutil.Process(paused.info["pid"]).ppid()
    assert "libtorch_cpu" in Path(f"/proc/{server}/maps").read_text()  # there for the next worker, too
    before, run.messages = reports(), []
    run.idle()
    run.engine.submit(Assignment(1, (spec,), checkpoint_seconds=0.2))
    run.until(lambda: len(reports()) > len(before))
    assert reports()[: len(before)] == before  # the very same, with the times of their first training


def test_a_programs_output_is_an_artifact(start: Start, project: Path):
    run = start(Named(None, "train.py", (), {}, "score", ("x",), project), workers=1)
    run.submit(0)
    run.done(0)
    assert run.events(Finished), run.messages
    (artifact,) = [message for message in run.messages if isinstance(message, Artifact)]
    assert artifact.name == "output.log"
    assert "hello" in Path(artifact.path).read_text()


@pytest.mark.parametrize("home", ["", "/no/such/home"])
def test_a_programs_files_are_an_artifact(start: Start, project: Path, home: str, tmp_path: Path):
    """Wherever the driver's home is, or whether the worker has the same disk."""
    run = start(Named(None, "saves.py", (), {}, "score", ("x",), project), workers=1)
    run.idle()
    root = Path(home or tmp_path, "trial_files", "study")
    run.engine.submit(Assignment(1, (TrialSpec(1, {"x": 1}, seed=1, files=FilesOrder(str(root), "best", 1)),)))
    run.done(1)
    assert run.events(Finished), run.messages
    files = next(each for each in run.messages if isinstance(each, Artifact) and each.name == FILES_ARCHIVE)
    with tarfile.open(files.path) as archive:
        assert archive.getnames() == ["model.pt"]


def test_an_objective_that_cannot_run_is_an_error(start: Start, project: Path):
    run = start(Named("my_objectives.py:broken", None, (), {}, "score", ("x",), project), workers=1)
    with pytest.raises(EngineError, match="must take one argument"):
        run.idle()
