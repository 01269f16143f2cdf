"""A sweep file whose space changes between runs."""

from __future__ import annotations

import pytest
from faults.support import everybody, kill, started
from waiting import wait_for

from e2e.support import Place, assert_records_agree

pytestmark = pytest.mark.slow


def test_a_wider_space_goes_on_in_a_successor(place: Place):
    first = place.write("parabola")
    place.sweep(first)
    wider = place.write("parabola", budget={"trials": 3}, parameters={"x": {"min": -5.0, "max": 9.0}})
    done = place.run("sweep", wider)
    assert done.returncode == 0, done.stderr
    assert "note: the file has changed since study 'small' began:" in done.stdout
    assert "  parameters.x.max: the study has 5.0, the file has 9.0" in done.stdout
    assert "note: it goes on as study 'small.2', with 6 of 6 trials; its budget counts new trials: 3" in done.stdout
    assert "small.2: 9 complete" in done.stdout
    assert "the budget of 9 trials is used; --extend 9 gives 9 more" in done.stdout
    (more,) = [line for line in done.stdout.splitlines() if line.startswith("more ")]
    assert more.endswith(f" sweep {wider} --extend 9 --home {place.home.path}")
    trials = place.trials("small.2")
    assert [trial.user_attrs.get("copied_from", {}).get("number") for trial in trials] == [*range(6), None, None, None]
    assert len(place.trials()) == 6
    assert_records_agree(place)
    assert_records_agree(place, "small.2")

    again = place.sweep(wider, "-o", "budget.trials=4")  # the changed file goes on there
    assert (again["study"], again["trials"]["complete"]) == ("small.2", 10)
    assert_records_agree(place, "small.2")

    place.write("parabola")
    again = place.run("sweep", first)  # a file that was run before runs again
    assert again.returncode == 0, again.stderr
    assert "this is the file of study 'small', which went on with another space as 'small.2'" in again.stdout
    assert "the budget of 6 trials is used, so nothing was trained now; --extend 6 gives 6 more" in again.stdout
    longer = place.sweep(first, "--extend", "1")
    assert longer["trials"]["complete"] == 7
    assert_records_agree(place)
    place.write("parabola", budget={"trials": 3}, parameters={"x": {"min": -5.0, "max": 9.0}})
    assert place.sweep(wider, "-o", "budget.trials=4")["trials"]["complete"] == 10

    assert {line.split()[0] for line in place.run("list").stdout.splitlines()} >= {"small", "small.2"}
    best = place.run("best", "small").stdout
    assert f"trial {longer['best']['number']}" in best
    assert "this study went on with another space as 'small.2'" in best


def states(place: Place) -> list[str]:
    return [trial.state.name for trial in place.trials()]


def test_what_a_killed_sweep_left_running_is_ended_before_its_space_changes(place: Place):
    keys = {"objective": "my_objectives.py:held", "data": {"go": str(place.folder / "go")}}
    path = place.write("held", **keys)
    place.cold = True  # so that `everybody` is all that writes
    with started(place, "sweep", path) as process:
        wait_for(lambda: place.ended() >= 2 and "RUNNING" in states(place), "two ended, one that runs", process=process)
        kill(everybody(process.pid))
    (place.folder / "go").touch()
    wider = place.write("held", **keys, parameters={"x": {"min": -5.0, "max": 9.0}})
    done = place.run("sweep", wider, "--extend", "2")
    assert done.returncode == 0, done.stderr
    found = states(place)
    assert "RUNNING" not in found and "FAIL" in found, found
    for study in ("small", "small.2"):
        assert_records_agree(place, study, all_ids=False)
        doctor = place.run("doctor", study)
        assert doctor.returncode == 0, doctor.stdout
    done = place.run("sweep", place.write("held", **keys))  # as it was: what was cut off is run again
    assert "small: 6 complete" in done.stdout, done.stdout + done.stderr
    assert_records_agree(place, all_ids=False)
    assert place.run("doctor", "small").returncode == 0
