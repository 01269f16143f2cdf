"""The driver's part under Ray Tune, without Ray: what is recorded of trials that end in every way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering import answering, http
from e2e.support import Place, assert_records_agree

from hpo.driver import results
from hpo.driver.recorder import NoTrial, Recorder, open_recorder
from hpo.events import FailureKind
from hpo.ledger.study.records import TrialRecord
from hpo.review.doctor import diagnose
from hpo.spec.faults import UserError
from hpo.spec.space import Parameter, Range, Space
from hpo.spec.sweep import Limits, Sweep, Target

pytestmark = pytest.mark.slow
SPACE = Space((Parameter("x", Range(0.0, 1.0)),))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


class Tune:
    """Begins trials and has them report, as Tune's controller does."""

    SWEEP = Sweep(
        "small", Path("s.yaml"), "", Target("score", "maximize"), SPACE, Limits(8, failures=50),
        objective="ray.tune trainable", method="random",
    )  # fmt: skip

    def __init__(self, place: Place, trials: int = 8) -> None:
        self.sweep = replace(self.SWEEP, budget=Limits(trials, failures=50))
        self.recorder: Recorder = open_recorder(self.sweep, place.home)
        self._moments = itertools.count(1_700_000_000)

    def run(self, trial: str, **reports: Any) -> None:
        """Begin a trial and have it report; reports: the values of each metric at the steps from 1."""
        assert isinstance(self.recorder.suggest(trial), TrialRecord)
        for step, values in enumerate(zip(*reports.values(), strict=True), start=1):
            self.recorder.report(trial, step, dict(zip(reports, values, strict=True)), next(self._moments))


@pytest.fixture
def tune(place: Place) -> Iterator[Tune]:
    tune = Tune(place)
    yield tune
    tune.recorder.abandon()


def test_each_way_to_end(place: Place, tune: Tune) -> None:
    recorder = tune.recorder
    for name in ("whole", "stopped", "cut", "nan"):
        tune.run(name, score=[0.25, math.nan if name == "nan" else 0.5], loss=[2.0, 1.0])
    tune.run("silent", loss=[1.0])
    tune.run("raised", score=[0.75])
    tune.run("left", score=[0.75])
    recorder.end("whole", {"host": "here"})
    recorder.end("stopped", stopped_by="")
    recorder.end("cut", stopped_by="ASHAScheduler")
    recorder.end("nan")
    recorder.end("silent")
    recorder.end("raised", failure=results.failed("E: why", "Traceback", FailureKind.DIED))
    assert recorder.running() == ["left"]
    recorder.close()

    trials = {trial.user_attrs["info"]["tune_trial"]: trial for trial in place.trials()}
    assert {name: (trial.state.name, trial.value) for name, trial in trials.items()} == {
        "whole": ("COMPLETE", 0.5), "stopped": ("PRUNED", 0.5), "cut": ("PRUNED", 0.5), "nan": ("PRUNED", 0.25),
        "silent": ("FAIL", None), "raised": ("FAIL", None), "left": ("FAIL", None),
    }  # fmt: skip
    said = {name: trial.user_attrs for name, trial in trials.items()}
    assert said["whole"]["info"] == {"tune_trial": "whole", "host": "here"}
    assert [said[name].get("stopped_by") for name in ("stopped", "cut")] == [None, "ASHAScheduler"]
    assert said["nan"]["diverged"] == 2
    assert said["silent"]["error"] == "ValueError: the metric 'score' was never reported; it reported loss"
    assert [said["raised"][key] for key in ("error", "traceback", "failure")] == ["E: why", "Traceback", "died"]
    assert said["left"]["interrupted"] and said["left"]["error"] == "the sweep was interrupted"
    assert_records_agree(place)
    assert list(diagnose(place.home, "small", fix=False).before.lines()) == []


def test_what_was_interrupted_runs_again_first_within_an_exact_budget(place: Place, tune: Tune) -> None:
    tune.run("left", score=[0.25])
    tune.recorder.close()
    again = Tune(place, trials=2)
    recorder = again.recorder
    try:
        first, second = recorder.suggest("a"), recorder.suggest("b")
        assert isinstance(first, TrialRecord) and isinstance(second, TrialRecord)
        assert (first.retry_of, second.retry_of) == (0, None)
        assert recorder.suggest("c") is NoTrial.WAIT  # until one of them fails
        recorder.end("b", failure=results.failed("E: why"))
        assert isinstance(recorder.suggest("c"), TrialRecord)
        for name in ("a", "c"):
            recorder.report(name, 1, {"score": 0.5}, 1_700_000_100)
            recorder.end(name)
        assert recorder.suggest("d") is NoTrial.FINISHED
        recorder.close()
    finally:
        recorder.abandon()
    assert [trial.state.name for trial in place.trials()] == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert place.trials()[1].params == place.trials()[0].params
    assert_records_agree(place)


def test_a_trial_that_goes_on_from_a_checkpoint_keeps_what_it_will_not_report_again(place: Place, tune: Tune) -> None:
    recorder = tune.recorder
    tune.run("retried", score=[0.25, 0.5, 0.75])
    recorder.again("retried")
    assert recorder.has_reported("retried")
    recorder.report("retried", 3, {"score": 0.8}, 1_700_000_100)
    recorder.end("retried")
    recorder.close()
    (trial,) = place.trials()
    assert trial.user_attrs["history"]["metrics"]["score"] == [0.25, 0.5, 0.8]
    assert (trial.value, trial.user_attrs["attempts"]) == (0.8, 2)
    assert_records_agree(place)


def test_an_mlflow_that_can_never_be_written_is_refused_before_anything_begins(place: Place) -> None:
    never = replace(place.home, tracking="file:///nowhere/mlruns")
    with pytest.raises(UserError, match="this is a folder, and MLflow keeps no runs in folders"):
        open_recorder(Tune.SWEEP, never)
    assert not place.home.journal.exists()


def test_what_mlflow_lacks_in_the_end_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("hpo.ledger.mirror.mirror._CLOSING_PATIENCE", 3.0)
    with answering(http("500 Oops", "Oops")) as server:
        recorder = open_recorder(Tune.SWEEP, replace(place.home, tracking=f"http://{server}"))
        assert isinstance(recorder.suggest("a"), TrialRecord)
        recorder.report("a", 1, {"score": 0.5}, 1_700_000_100)
        recorder.end("a")
        assert recorder.unmirrored == ""
        recorder.close()
    assert "entries have not reached MLflow; they are safe in the study" in recorder.unmirrored
    assert caplog.messages[-1] == recorder.unmirrored
