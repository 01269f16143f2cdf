"""Several drivers on one study: on purpose in PostgreSQL, and by accident."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from optuna.trial import FrozenTrial
from postgresql import postgresql
from sqlalchemy import Engine, text
from waiting import wait_for

from e2e.support import Place, assert_records_agree
from hpo.ledger.study.database import PatientStorage
from hpo.ledger.study.home import open_database

pytestmark = pytest.mark.slow


@dataclass
class SharedPlace(Place):
    """A home whose studies are in a database."""

    url: str = ""
    started: list[Popen[str]] = field(default_factory=list)
    opened: dict[str, PatientStorage] = field(default_factory=dict)  # by their URLs: opening one takes much longer

    @property
    def storage(self) -> PatientStorage:
        if self.url not in self.opened:
            self.opened[self.url] = open_database(self.url)
        return self.opened[self.url]

    def driver(self, path: Path, *arguments: str) -> Popen[str]:
        self.started.append(self.start("sweep", path, "--storage", self.url, *arguments))
        return self.started[-1]

    def all_trials(self, study: str = "small") -> list[FrozenTrial]:
        try:
            return self.storage.get_all_trials(self.storage.get_study_id_from_name(study))
        except KeyError:  # not made yet
            return []

    def trials(self, study: str = "small") -> list[FrozenTrial]:
        return [trial for trial in self.all_trials(study) if "surplus" not in trial.user_attrs]

    def wait_for(self, count: int, states: str = "COMPLETE PRUNED") -> None:
        """Wait for so many trials in these states."""
        among = states.split()
        wait_for(lambda: sum(trial.state.name in among for trial in self.trials()) >= count, f"{count} {states}")

    def pop_one_in_a_trial(self, drivers: list[Popen[str]]) -> Popen[str]:
        """Wait until a driver is in the middle of a trial; take it from the list."""

        def busy() -> list[Popen[str]]:
            now = [trial for trial in self.trials() if not trial.state.is_finished()]
            numbers = {trial.user_attrs["driver"] for trial in now if 0 < len(trial.intermediate_values) < 7}
            pids = {pid for number, pid in self.owners().items() if number in numbers} if numbers else set()
            return [driver for driver in drivers if driver.pid in pids]

        found = wait_for(busy, "a driver in the middle of a trial")[0]
        drivers.remove(found)
        return found

    def owners(self, study: str = "small") -> dict[int, int]:
        """Return the pids of the drivers by their numbers."""
        noted = self.storage.get_study_user_attrs(self.storage.get_study_id_from_name(study))["owners"]
        return {driver["number"]: driver["pid"] for driver in noted["drivers"]}

    def drivers(self, count: int, path: Path, *arguments: str) -> list[Popen[str]]:
        """Start drivers at the same moment."""
        return [self.driver(path, *arguments) for _ in range(count)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def shared(server: str, tmp_path: Path) -> Iterator[SharedPlace]:
    place = SharedPlace(tmp_path, url=server)
    yield place
    for driver in place.started:
        driver.kill()
        driver.communicate()
    place.url = server
    for study in place.storage.get_all_studies():
        place.storage.delete_study(study._study_id)
    for storage in place.opened.values():
        storage.engine.dispose()


def ends(drivers: list[Popen[str]]) -> list[tuple[int, str, str]]:
    """Wait for drivers to end; return their exit codes, outputs and errors."""
    found = []
    for driver in drivers:
        output, errors = driver.communicate(timeout=120)
        found.append((driver.returncode, output, errors))
    return found


def write(place: SharedPlace, function: str, trials: int, **keys: Any) -> Path:
    return place.write(function, budget={"trials": trials}, engine={"workers": 1}, **keys)


def assert_sound(place: SharedPlace, trials: int) -> None:
    """The budget is met exactly, nothing is left running, nothing was trained twice, and the records agree."""
    found = place.trials()
    states = Counter(trial.state.name for trial in found)
    assert states["COMPLETE"] + states["PRUNED"] == trials, states
    assert states["RUNNING"] == 0
    counted = [trial for trial in found if trial.state.name != "FAIL"]
    assert len({trial.params["x"] for trial in counted}) == len(counted)
    assert len({trial.user_attrs["seed"] for trial in counted}) == len(counted)
    assert_records_agree(place)


def test_three_drivers_share_a_new_study(shared: SharedPlace):
    path = write(shared, "slow", 9, method="tpe", baselines=[{"x": 1.0}])
    found = ends(shared.drivers(3, path, "--join"))
    assert [code for code, _, _ in found] == [0, 0, 0], found
    assert_sound(shared, 9)
    assert len({trial.user_attrs["driver"] for trial in shared.trials()}) == 3
    assert [trial.params["x"] for trial in shared.trials()].count(1.0) == 1
    assert all("9 complete" in output for _, output, _ in found)  # each knows of all trials
    best = max(trial.value or 0.0 for trial in shared.trials())
    assert all(f"best score {best:.6g} " in output for _, output, _ in found)
    parent, _ = shared.runs()
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["hpo/trials_complete"] == 9


def test_the_trials_of_a_driver_that_is_killed_are_run_by_another(shared: SharedPlace):
    path = write(shared, "slow", 15)
    drivers = shared.drivers(3, path, "--join")
    victim = shared.pop_one_in_a_trial(drivers)
    victim.kill()  # its worker and its mirror end with it
    victim.communicate()
    found = ends(drivers)
    assert [code for code, _, _ in found] == [0, 0], found
    assert "took over from process " + str(victim.pid) in "".join(output for _, output, _ in found)
    trials = shared.trials()
    left = [trial for trial in trials if trial.user_attrs.get("interrupted")]  # none, if it died between two trials
    for interrupted in left:
        (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == interrupted.number]
        assert (again.state.name, again.params) == ("COMPLETE", interrupted.params)
        assert again.user_attrs["seed"] == interrupted.user_attrs["seed"]
    states = Counter(trial.state.name for trial in trials)
    assert (states["COMPLETE"], states["FAIL"], states["RUNNING"]) == (15, len(left), 0)
    assert_records_agree(shared)


def test_a_driver_waits_for_the_last_trials_of_others_and_trains_those_that_fail(shared: SharedPlace):
    path = write(shared, "slow", 2)
    first, second = shared.drivers(2, path, "--join")
    shared.wait_for(2, states="RUNNING")
    third = shared.driver(path, "--join")
    first.send_signal(signal.SIGINT)
    first.send_signal(signal.SIGINT)
    found = ends([first, second, third])
    assert sorted(code for code, _, _ in found) in ([0, 0, 0], [0, 0, 130]), found
    assert_sound(shared, 2)


def test_drivers_extend_a_study_together_by_exactly_so_many_trials(shared: SharedPlace):
    path = write(shared, "slow", 3)
    assert ends(shared.drivers(1, path, "--join"))[0][0] == 0
    found = ends(shared.drivers(3, path, "--join", "--extend", "4"))
    assert [code for code, _, _ in found] == [0, 0, 0], found
    assert_sound(shared, 7)
    plain = ends(shared.drivers(1, path, "--join"))[0]
    assert "7 of 7 trials are done" in plain[1]
    doctor = shared.run("doctor", "small", "--storage", shared.url)
    assert doctor.returncode == 0, doctor.stdout


def test_drivers_deal_a_grid_out_among_themselves(shared: SharedPlace):
    path = write(shared, "slow", 30, method="grid", parameters={"x": {"values": list(range(8))}})
    found = ends(shared.drivers(2, path, "--join"))
    assert [code for code, _, _ in found] == [0, 0], found
    assert_sound(shared, 8)
    assert all("8 complete" in output for _, output, _ in found)


def test_drivers_that_do_not_share(shared: SharedPlace, tmp_path: Path):
    path = write(shared, "slow", 2)
    for url in (shared.url, f"sqlite:///{tmp_path / 'fresh.db'}"):
        shared.url = url
        found = ends(shared.drivers(4, path))
        assert sorted(code for code, _, _ in found) == [0, 2, 2, 2], found
        for code, _, errors in found:
            assert code == 0 or "the study 'small' is being run by process" in errors
            assert "Traceback" not in errors
        assert [trial.state.name for trial in shared.trials()] == ["COMPLETE"] * 2


def in_transaction(engine: Engine) -> int:
    """Return how many sessions have a transaction open in which nothing happens."""
    with engine.connect() as connection:
        query = "select count(*) from pg_stat_activity where state like 'idle in transaction%'"
        return int(connection.execute(text(query)).scalar_one())


def test_a_driver_that_slept_too_long_stops_without_another_write(shared: SharedPlace, tmp_path: Path):
    path = write(shared, "slow", 16)
    sleeper = shared.driver(path)
    shared.wait_for(1)

    def in_a_trial() -> bool:
        running = [trial for trial in shared.trials() if not trial.state.is_finished()]
        return any(0 < len(trial.intermediate_values) < 7 for trial in running)

    wait_for(in_a_trial, "a trial in its midst")  # between two it may be about to write, having seen that it may
    os.kill(sleeper.pid, signal.SIGSTOP)
    storage = open_database(shared.url)
    wait_for(lambda: not in_transaction(storage.engine), "the server to end a transaction that the driver sleeps in")
    study = storage.get_study_id_from_name("small")
    noted = storage.get_study_user_attrs(study)["owners"]
    noted["drivers"][0] |= {"seen": noted["drivers"][0]["seen"] - 100}  # as if it had slept for long
    storage.set_study_user_attr(study, "owners", noted)
    storage.engine.dispose()
    other = shared.run("sweep", path, "--storage", shared.url)
    assert other.returncode == 0, other.stderr
    assert f"took over from process {sleeper.pid}" in other.stdout
    before = [(t.number, t.state, t.user_attrs) for t in shared.trials()]
    os.kill(sleeper.pid, signal.SIGCONT)
    ((code, _, errors),) = ends([sleeper])
    assert code == 2
    assert "the study 'small' was taken over by" in errors
    assert "Traceback" not in errors
    assert [(t.number, t.state, t.user_attrs) for t in shared.trials()] == before
    assert_sound(shared, 16)


def test_what_can_not_be_joined_is_refused(place: Place, tmp_path: Path):
    path = place.write("parabola")
    for arguments in ((), ("--storage", f"sqlite:///{tmp_path / 'a.db'}"), ("--storage", str(tmp_path / "a.log"))):
        done = place.run("sweep", path, "--join", *arguments)
        assert done.returncode == 2
        assert "--join needs a database that many can write at once" in done.stderr


def test_references_are_measured_and_recorded_once(shared: SharedPlace) -> None:
    shared.torch = True
    keys = {"objective": "objectives.binary", "metric": {"name": "val_accuracy"}, "references": ["linear", "constant"]}
    path = write(shared, "none", 6, parameters={"learning_rate": {"min": 1e-4, "max": 1e-2}}, **keys)
    found = ends(shared.drivers(2, path, "-o", "budget.epochs=1", "--join"))
    assert [code for code, _, _ in found] == [0, 0], found
    assert all("  logistic regression  0.83" in output for _, output, _ in found), found
    parent, _ = shared.runs()
    points = shared.client().get_metric_history(parent.info.run_id, "hpo/reference/linear/val_accuracy")
    assert [point.value for point in points] == [0.83]
    assert {file.path for file in shared.client().list_artifacts(parent.info.run_id)} >= {"references.json"}
