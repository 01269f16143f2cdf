"""Whole sweeps on a Ray cluster of two nodes: records as of a local one, nodes that die and come, GPUs, interrupts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.support import Place, assert_records_agree
from faults.support import assert_gone, assert_whole, everybody, started
from ray_support import two_nodes
from waiting import wait_for

from hpo.engines.base import EngineError, Message, TrialEvents
from hpo.engines.ray import engine as ray_engine
from hpo.engines.ray.cluster import Node
from hpo.engines.ray.engine import RayEngine
from hpo.events import Assignment, Event, Failed, FailureKind, Reported, TrialSpec
from hpo.spec.grammar import RayEngineKeys
from hpo.spec.named import Named

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow
SPARED = ("log_monitor.py", "monitor.py", "dashboard.py")  # programs of Ray that a cluster of one sweep has no use for
OBJECTIVES = """
import os, time
from pathlib import Path

def slow(trial):
    for epoch in range(1, 6):
        time.sleep(0.1)
        trial.report(epoch, score=trial.params["x"])

def sees(trial):
    here = Path(trial.data["meeting"])
    (here / str(os.getpid())).touch()
    while len(list(here.iterdir())) < 4:  # until each worker has a trial
        time.sleep(0.05)
    trial.report(1, score=1.0, device=float(os.environ["CUDA_VISIBLE_DEVICES"]))

def meet(trial):
    here = Path(trial.data["meeting"])
    (here / str(os.getpid())).touch()
    while trial.number > 1 and len(list(here.iterdir())) < 2:  # until another worker is there
        time.sleep(0.05)
    return trial.params["x"]

def picky(trial):
    time.sleep(0.1)
    if os.environ["RAY_RAYLET_PID"] == trial.data["bad"]:
        raise OSError("this node has a broken disk")
    return trial.params["x"]
"""


@dataclass
class Nodes:
    """The cluster: its head, and the second node, which tests may kill."""

    cluster: Any
    second: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def raylet(self) -> int:
        """The process id of the second node's raylet."""
        return int(self.second.all_processes["raylet"][0].process.pid)

    def processes(self) -> list[psutil.Process]:
        """The processes of this cluster alone: another test may have a cluster of its own on this machine."""
        raylets = [node.all_processes["raylet"][0].process.pid for node in self.cluster.list_all_nodes()]
        return [process for raylet in raylets for process in psutil.Process(raylet).children(recursive=True)]

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def add_second(self) -> None:
        self.second = self.cluster.add_node(num_cpus=1, num_gpus=2)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes(num_cpus=1, num_gpus=2) as cluster:
        yield Nodes(cluster, next(iter(cluster.worker_nodes)))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "ray_objectives.py").write_text(OBJECTIVES)
    return Place(tmp_path)


def write(place: Place, function: str, nodes: Nodes | None, engine: dict[str, Any] | None = None, **keys: Any) -> Path:
    address = nodes.address if nodes is not None else "local"
    keys = {"objective": f"ray_objectives.py:{function}", **keys}
    return place.write("", engine={"type": "ray", "address": address, **(engine or {})}, **keys)


def workers(place: Place) -> set[bytes]:
    """Return the workers that have ended trials; from the journal's text, which may be being written."""
    text = place.home.journal.read_bytes() if place.home.journal.exists() else b""
    return set(re.findall(rb"\bworker-\d+", text))


def test_a_trial_records_what_it_records_locally(nodes: Nodes, tmp_path: Path):
    options = ["-o", "budget={trials: 10, epochs: 4}", "-o", "parameters.epochs.value=4", "-o", "seed=3",
               "-o", "confirm={top: 1, seeds: 2}"]  # fmt: skip
    kinds = {
        "local": "{workers: 1, cohort: 4}",
        "ray": f"{{type: ray, address: '{nodes.address}', workers: 1, cohort: 4}}",
    }
    found, references, confirmed = {}, {}, {}
    for kind, engine in kinds.items():
        (tmp_path / kind).mkdir()
        place = Place(tmp_path / kind, torch=True)
        result = place.sweep(ROOT / "search_spaces" / "binary.yaml", *options, "-o", f"engine={engine}")
        references[kind], confirmed[kind] = result["references"], result["confirmation"]
        assert_records_agree(place, "binary")
        parent, children = place.runs("binary")
        found[kind] = [
            (
                trial.params,
                trial.state,
                trial.value,
                {**trial.user_attrs["history"], "times": None},
                set(trial.user_attrs),
                set(trial.user_attrs["info"]),
                trial.user_attrs["info"]["worker"],
                set(children[trial.number].data.tags),
                set(children[trial.number].data.params),
                set(children[trial.number].data.metrics),
            )
            for trial in place.trials("binary")
        ]
        found[kind].append(set(parent.data.tags) | set(parent.data.params))
    assert found["local"] == found["ray"]
    assert references["local"]["models"] and references["local"] == references["ray"]
    assert confirmed["local"]["rows"] == 200 and confirmed["local"] == confirmed["ray"]


def test_each_worker_has_a_device_of_its_own(nodes: Nodes, place: Place):
    engine = {"cpus_per_worker": 0.5, "gpus_per_worker": 1}
    meeting = place.folder / "meeting"
    meeting.mkdir()
    place.sweep(write(place, "sees", nodes, engine, data={"meeting": str(meeting)}, budget={"trials": 24}))
    devices = {}
    _, children = place.runs()
    for trial in place.trials():
        info = trial.user_attrs["info"]
        assert float(info["gpu"]) == trial.user_attrs["history"]["metrics"]["device"][0]
        tags = children[trial.number].data.tags
        assert (tags["hpo.gpu"], tags["hpo.host"], tags["hpo.worker"]) == (info["gpu"], info["host"], info["worker"])
        devices.setdefault(info["worker"], info["gpu"])
        assert devices[info["worker"]] == info["gpu"]
    assert sorted(devices.values()) == ["0", "0", "1", "1"]  # two nodes with two each


def test_pictures_train_and_a_node_that_is_killed_loses_nothing(nodes: Nodes, tmp_path: Path):
    folder = Path(os.environ.get("HPO_DATA") or tmp_path, "cifar-10-batches-bin")  # real ones, if there are any
    if not folder.is_dir():  # else noise in their layout; never into a folder that is not the test's
        folder = tmp_path / "data" / "cifar-10-batches-bin"
        folder.mkdir(parents=True)
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            rows = [bytes([row % 10]) + os.urandom(3072) for row in range(60)]
            (folder / f"{name}.bin").write_bytes(b"".join(rows))
    place = Place(tmp_path)
    file = ROOT / "search_spaces" / "cifar10.yaml"
    options = ["-o", "name=small", "-o", "budget.trials=24", "-o", "parameters.epochs.value=6", "-o", "data.limit=120",
               "-o", "parameters.width={value: 0.25}", "-o", f"data.root={folder.parent}", "-o", "early_terminate=none",
               "-o", f"engine={{type: ray, address: '{nodes.address}', cohort: off}}", "--no-confirm"]  # fmt: skip
    with started(place, "sweep", file, *options) as driver:
        wait_for(lambda: len(workers(place)) == 2, "trials of both nodes", process=driver)
        family = everybody(nodes.raylet)
        assert len(family) > 2
        nodes.kill_second()
        assert_gone(family)
        output, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, output + errors
    # Whichever sign of it came first; a worker that was to take its place on the same node may be lost there, too.
    lost = re.findall(r"was lost: .*", output + errors)
    assert lost
    assert not [line for line in lost if "memory" in line]
    assert_whole(place, 24)


def test_a_cluster_that_grows_is_used(nodes: Nodes, place: Place):
    meeting = place.folder / "meeting"
    meeting.mkdir()
    if nodes.cluster.worker_nodes:
        nodes.kill_second()
    file = write(place, "meet", nodes, data={"meeting": str(meeting)}, budget={"trials": 12})
    with started(place, "sweep", file) as driver:
        wait_for(lambda: place.ended() >= 2, "two trials", process=driver)
        nodes.add_second()
        output, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, output + errors
    assert_whole(place, 12)
    assert len(workers(place)) == 2


def test_python_may_be_in_a_folder_with_a_space(nodes: Nodes, place: Place):
    environment = place.folder / "with a space"
    environment.symlink_to(sys.prefix)
    file = write(place, "parabola", nodes, {"workers": 1}, objective="my_objectives.py:parabola", budget={"trials": 2})
    python = environment / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "hpo", "sweep", file, "--home", place.home.path], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_whole(place, 2)


def test_a_node_whose_trials_keep_failing_is_used_no_more(nodes: Nodes, place: Place):
    data, budget = {"bad": str(nodes.raylet)}, {"trials": 60}
    done = place.run("sweep", write(place, "picky", nodes, data=data, budget=budget, retry={"error": 1}))
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    told = "is used no more: 5 trials in a row failed there"
    assert output.count(told) == 2 and "OSError: this node has a broken disk" in output  # at once, and in the end
    states = assert_whole(place, 60)
    assert states["FAIL"] < 12


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "always"])
def test_a_node_where_trials_cannot_run_has_a_second_chance(nodes: Nodes, place: Place, lasting: bool):
    failing = f"""
import os
from pathlib import Path

marker = Path({str(place.folder / "marker")!r})
if os.environ.get("RAY_RAYLET_PID") == "{nodes.raylet}" and ({lasting} or not marker.exists()):
    marker.touch()
    raise OSError("its disk is full")

"""
    (place.folder / "ray_objectives.py").write_text(failing + OBJECTIVES)
    (place.folder / "meeting").mkdir()
    function, data = ("slow", {}) if lasting else ("meet", {"meeting": str(place.folder / "meeting")})
    done = place.run("sweep", write(place, function, nodes, data=data, budget={"trials": 24}))
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert len(re.findall("can't run trials: .*OSError: its disk is full.*; another is tried", output)) == 1
    assert ("is used no more" in output) is lasting
    assert_whole(place, 24)


def test_a_driver_that_is_killed_or_interrupted_goes_on(nodes: Nodes, place: Place):
    """With a Ray of its own, which listens on loopback only and leaves nothing behind, and on the cluster."""
    own = {"type": "ray", "address": "local", "workers": 2}
    file = write(place, "slow", None, own, budget={"trials": 30})
    with started(place, "sweep", file) as driver:
        wait_for(lambda: place.ended() >= 2, "two trials", process=driver)
        family = everybody(driver.pid)
        folders = own_folders(family)
        assert not [socket for process in family for socket in public_sockets(process)]
        assert not [name for process in family for name in programs(process) if name in SPARED]
        driver.send_signal(signal.SIGKILL)
        assert_gone(family)
    file = write(place, "slow", nodes, budget={"trials": 30})
    with started(place, "sweep", file) as driver:
        done = place.ended()
        wait_for(lambda: place.ended() >= done + 2, "two more trials", process=driver)
        driver.send_signal(signal.SIGINT)
        output, errors = driver.communicate(timeout=120)
        assert driver.returncode == 130, output + errors
    with started(place, "sweep", write(place, "slow", None, own, budget={"trials": 30})) as driver:
        done = place.ended()
        wait_for(lambda: place.ended() > done, "one more trial", process=driver)
        folders |= own_folders(everybody(driver.pid))
        output, errors = driver.communicate(timeout=120)
        assert driver.returncode == 0, output + errors
    assert_whole(place, 30)
    assert len(folders) == 2
    assert not [folder for folder in folders if folder.exists()]


def programs(process: psutil.Process) -> list[str]:
    """Return the names of the files in a process's command line."""
    with suppress(psutil.NoSuchProcess):
        return [Path(part).name for part in process.cmdline()]
    return []


def public_sockets(process: psutil.Process) -> list[Any]:
    """Return the sockets that a process listens on and that other machines can reach."""
    try:
        sockets = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []
    loopback = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    return [each for each in sockets if each.status == psutil.CONN_LISTEN and each.laddr.ip not in loopback]


@pytest.mark.parametrize(("gpus", "amount", "room"), [(4, 0.6, 4), (4, 0.3, 12), (4, 0.25, 16), (4, 2, 2), (0, 0.5, 0)])
def test_a_share_of_a_gpu_is_of_one_gpu(gpus: float, amount: float, room: int):
    assert Node("n", "a", "h", {"CPU": 64, "GPU": gpus}).room({"CPU": 1, "GPU": amount}) == room


def test_what_no_node_has_is_refused(nodes: Nodes, place: Place):
    done = place.run("sweep", write(place, "slow", nodes, {"gpus_per_worker": 4}))
    assert done.returncode == 2
    assert "can hold a worker with CPU 1, GPU 4" in done.stderr and "has CPU 1, GPU 2" in done.stderr


def test_an_actor_that_is_killed_is_lost_and_replaced(nodes: Nodes, place: Place, monkeypatch: pytest.MonkeyPatch):
    """Ray names want of memory among the reasons that there may be, but did not end it for that."""
    monkeypatch.chdir(place.folder)
    keys = RayEngineKeys(type="ray", address=nodes.address, workers=1)
    engine = RayEngine(
        Named("ray_objectives.py:slow", None, (), {}, "score", ("x",), place.folder), keys, 1, place.home.logs
    )
    messages: list[Message] = []

    def until(true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not true():
            assert time.monotonic() < deadline, messages
            messages.extend(engine.poll(0.2))

    def events(kind: type[Event]) -> list[Event]:
        told = [event for message in messages if isinstance(message, TrialEvents) for event in message.events]
        return [event for event in told if isinstance(event, kind)]

    try:
        engine.start()
        until(engine.idle)
        engine.submit(Assignment(0, (TrialSpec(0, {"x": 1.0}, seed=1),)))
        until(lambda: events(Reported))
        (actor,) = filter(is_actor, nodes.processes())
        printed = Path(f"/proc/{actor.pid}/fd/1").readlink()  # by which an actor finds Ray's logs (compat.session_logs)
        assert (printed.parent.name, printed.suffix) == ("logs", ".out")
        actor.kill()
        until(lambda: events(Failed))
        (lost,) = events(Failed)
        assert isinstance(lost, Failed) and lost.kind is FailureKind.LOST, lost
        assert lost.error.startswith("WorkerLost: ActorDiedError: ")
        until(engine.idle)
    finally:
        engine.close(at_once=True)


def is_actor(process: psutil.Process) -> bool:
    """Whether a process is an actor of a RayEngine, by the title that Ray gives it."""
    return any("ray::WorkerActor" in part for part in command(process))


def command(process: psutil.Process) -> list[str]:
    """Return a process's command line; none if it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def own_folders(family: list[psutil.Process]) -> set[Path]:
    """Return the folders of the Ray clusters that processes have started for themselves."""
    raylets = [line for line in map(command, family) if line and Path(line[0]).name == "raylet"]
    found = {Path(match) for line in raylets for match in re.findall(r"/tmp/hpo-ray-\w+", " ".join(line))}
    assert found, family
    return found


def test_other_versions_are_refused(nodes: Nodes, place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ray_engine, "versions", lambda: {"torch": "1.0"})
    monkeypatch.chdir(place.folder)
    keys = RayEngineKeys(type="ray", address=nodes.address)
    engine = RayEngine(
        Named("ray_objectives.py:slow", None, (), {}, "score", ("x",), place.folder), keys, 9, place.home.logs
    )
    try:
        with pytest.raises(EngineError, match=r"has torch 2\S+ \(the driver has 1\.0\)"):
            engine.start()
            wait_for(lambda: engine.poll(0.2) and False, "a refusal")
    finally:
        engine.close()
