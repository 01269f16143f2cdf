"""The weights that a trial leaves: those it has at its end, wanted ones only, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.events import WEIGHTS_DIGEST, BestStep, Decision, Finished, Reported, Stopped, TrialSpec, WeightsOrder
from hpo.files import digest_of
from hpo.training.checkpoint import Keeper, differences, identity, resumed
from hpo.training.leaving import take_weights
from hpo.training.loop import train_run, validate
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort, train_cohort

from .tiny import CPU, splits_of, task_of

TASK = task_of("binary")


def run_of(folder: Path, number: int, bar: float | None = None, sign: int = 1) -> Run:
    order = WeightsOrder(str(folder / f"{number}.left"), "val_accuracy", sign, bar)
    params: dict[str, Any] = {"hidden_layers": [5], "optimizer": "adam"}
    return start(TASK, splits_of("binary"), TrialSpec(number, params, number, 2, weights=order), CPU)


def ends(run: Run) -> Finished:
    (*_, event) = train_run(run)
    assert isinstance(event, Finished)
    return event


def test_a_threshold_that_was_chosen_is_left_with_them(tmp_path: Path) -> None:
    """And taken: by other roundings another one might be the best on the validation rows."""
    params, order = {"threshold_rule": "best_f1"}, WeightsOrder(str(tmp_path / "0.left"), "val_accuracy", 1, None)

    def begun() -> Run:
        return start(TASK, splits_of("binary"), TrialSpec(0, params, 4, 2, weights=order), CPU)

    run, again = begun(), begun()
    ends(run)
    take_weights(again, tmp_path / "0.left")
    assert again.threshold.probability == run.threshold.probability == run.reports[-1].metrics["val_threshold"] != 0.5
    own = {name: value for name, value in run.reports[-1].metrics.items() if name.startswith("val_")}
    assert validate(again, choose=False) == own
    again.threshold.probability = 0.999
    assert validate(again, choose=False)["val_recall"] == 0 and validate(again) == own


def weights(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def test_alone_and_in_a_stack_they_are_the_trials_last(tmp_path: Path) -> None:
    """Each member's own, which its model has when it has left."""
    alone = run_of(tmp_path, 0)
    assert ends(alone).info[WEIGHTS_DIGEST] == digest_of(tmp_path / "0.left")
    members = [run_of(tmp_path, number) for number in (1, 2, 3)]
    infos = {e.number: e.info for events in train_cohort(Cohort(members)) for e in events if isinstance(e, Finished)}
    for run in (alone, *members):
        file = tmp_path / f"{run.trial.number}.left"
        again = run_of(tmp_path, run.trial.number)
        take_weights(again, file)
        assert all(torch.equal(tensor, weights(again)[name]) for name, tensor in weights(run).items())
        if run is not alone:
            assert infos[run.trial.number][WEIGHTS_DIGEST] == digest_of(file)
    assert len({digest_of(file) for file in tmp_path.iterdir()}) == 4


def wavering(folder: Path, number: int, checkpoint: str = "", bar: float | None = None) -> Run:
    """Return a run whose best epoch is neither its first nor its last, at a learning rate that is too large."""
    order = WeightsOrder(str(folder / f"{number}.left"), "val_accuracy", 1, bar)
    params: dict[str, Any] = {"hidden_layers": [5], "optimizer": "adam", "learning_rate": 0.3, "batch_size": 8}
    best = BestStep("val_accuracy", 1)
    trial = TrialSpec(number, params, number, 8, checkpoint, order, best_step=best)
    return resumed(lambda: [start(TASK, splits_of("binary"), trial, CPU)])[0]


def best_of(run: Run) -> Reported:
    return max(run.reports, key=lambda report: (report.metrics["val_accuracy"], -report.step))


def test_alone_and_in_a_stack_they_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    """The first of equally good ones; and a trial that is stopped leaves them as well."""
    alone, members = wavering(tmp_path, 0), [wavering(tmp_path, number) for number in (1, 2, 3, 4)]
    (*_, end) = train_run(alone)
    infos = {end.number: end.info} if isinstance(end, Finished) else {}
    training, decisions = train_cohort(Cohort(list(members))), None
    while len(infos) < 5:
        events = training.send(decisions)
        infos |= {event.number: event.info for event in events if isinstance(event, Finished | Stopped)}
        steps = {event.number: event.step for event in events if isinstance(event, Reported)}
        decisions = {n: Decision.STOP if n == 4 and step == 6 else Decision.CONTINUE for n, step in steps.items()}
    runs = [alone, *members]
    assert any(1 < best_of(run).step < run.completed for run in runs) and members[3].completed == 6
    for run in runs:
        number, best = run.trial.number, best_of(run)
        assert infos[number][WEIGHTS_DIGEST] == digest_of(tmp_path / f"{number}.left")
        again = wavering(tmp_path, number)
        take_weights(again, tmp_path / f"{number}.left")
        assert validate(again)["val_accuracy"] == best.metrics["val_accuracy"] == (run.best and run.best.value)
        assert validate(again)["val_loss"] == pytest.approx(best.metrics["val_loss"], rel=1e-5)


def test_a_trial_that_goes_on_from_a_checkpoint_still_has_its_best_epoch(tmp_path: Path) -> None:
    whole = wavering(tmp_path, 1)
    list(train_run(whole))
    assert whole.best is not None and whole.best.epoch < 7
    expected = weights_left(tmp_path, 1)
    path = str(tmp_path / "checkpoints" / "1.pt")
    training = train_run(wavering(tmp_path, 1, path), keeper=Keeper(0))
    while next(training).step < 8:  # type: ignore[union-attr]
        pass
    training.close()
    again = wavering(tmp_path, 1, path)
    assert again.completed == 7 and again.best is not None and again.best.epoch == whole.best.epoch
    list(train_run(again))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights_left(tmp_path, 1).items())


def test_a_checkpoint_without_the_best_epoch_is_no_use_to_who_wants_it(tmp_path: Path) -> None:
    path = tmp_path / "1.pt"
    training = train_run(wavering(tmp_path, 1, str(path)), keeper=Keeper(0))
    while next(training).step < 5:  # type: ignore[union-attr]
        pass
    training.close()
    kept = torch.load(path, weights_only=True)
    assert wavering(tmp_path, 1, str(path)).completed == 4
    del kept["best"]  # as it was while only the last counted
    torch.save(kept, path)
    assert wavering(tmp_path, 1, str(path)).completed == 0


def test_who_is_told_to_stop_after_the_last_epoch_has_finished(tmp_path: Path) -> None:
    run = run_of(tmp_path, 0)
    training = train_run(run)
    event = next(training)
    while isinstance(event, Reported):
        event = training.send(Decision.STOP if event.step == 2 else Decision.CONTINUE)
    assert isinstance(event, Finished) and WEIGHTS_DIGEST in event.info


def test_a_best_epoch_below_the_bar_is_not_held(tmp_path: Path) -> None:
    run = wavering(tmp_path, 0, bar=2.0)
    assert WEIGHTS_DIGEST not in ends(run).info and run.best is None and not (tmp_path / "0.left").exists()


@pytest.mark.parametrize("bars", [(2.0, None), (2.0, 0.0), (0.0, 2.0, None)])
def test_where_the_bar_falls_in_a_pause_no_other_epoch_is_left_for_the_best(
    tmp_path: Path, bars: tuple[float | None, ...]
) -> None:
    """A best epoch that nobody wanted is gone. One that comes after the pause, or was held before it, is left."""
    whole, path = wavering(tmp_path, 1), tmp_path / "checkpoints" / "1.pt"
    ends(whole)
    expected, best = weights_left(tmp_path, 1), best_of(whole).step
    assert 1 < best < 7
    left = set()
    for paused in range(1, 7):
        for file in (path, tmp_path / "1.left"):
            file.unlink(missing_ok=True)
        for place, bar in enumerate(bars[:-1]):
            training = train_run(wavering(tmp_path, 1, str(path), bar), keeper=Keeper(0))
            while next(training).step <= paused + place:  # type: ignore[union-attr]
                pass
            training.close()
        run = wavering(tmp_path, 1, str(path), bars[-1])
        info = ends(run).info
        assert (WEIGHTS_DIGEST in info) is (tmp_path / "1.left").exists()
        if WEIGHTS_DIGEST in info:
            left.add(paused)
            assert all(torch.equal(tensor, expected[name]) for name, tensor in weights_left(tmp_path, 1).items())
        else:
            assert f"its best epoch, {best}, were not held" in info["notes"]["weights"]
    unheld = {best - 1} if bars[0] == 0.0 else set(range(best, 7))  # it came while the bar was too high
    assert left == set(range(1, 7)) - unheld


def weights_left(folder: Path, number: int) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(folder / f"{number}.left", weights_only=True)["model"]
    return found


@pytest.mark.parametrize(
    ("bar", "sign", "wanted"), [(2.0, 1, False), (2.0, -1, True), (-1.0, -1, False), (0.0, 1, True)]
)
def test_what_is_below_the_bar_is_not_written(tmp_path: Path, bar: float, sign: int, wanted: bool) -> None:
    assert (WEIGHTS_DIGEST in ends(run_of(tmp_path, 0, bar, sign)).info) is wanted
    assert (tmp_path / "0.left").exists() is wanted


def test_where_they_can_not_be_written_the_trial_ends_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way of the folder")
    info = ends(run_of(tmp_path / "kept", 0)).info
    assert WEIGHTS_DIGEST not in info and "its weights can't be kept in" in info["notes"]["weights"]


def test_another_trials_are_refused(tmp_path: Path) -> None:
    ends(run_of(tmp_path, 0))
    other = run_of(tmp_path, 1)
    with pytest.raises(ValueError, match=r"another seed, params$"):
        take_weights(other, tmp_path / "0.left")
    fewer = start(TASK, splits_of("binary", rows=40), replace(run_of(tmp_path, 0).trial), CPU)
    with pytest.raises(ValueError, match=r"another rows$"):
        take_weights(fewer, tmp_path / "0.left")


def test_those_of_a_release_that_knew_fewer_hyperparameters_are_taken(tmp_path: Path) -> None:
    """What it did not know was as it is by default now; a trial that says otherwise is another one."""
    ends(run_of(tmp_path, 0))
    kept = torch.load(tmp_path / "0.left", weights_only=True)
    news = ("l1_penalty", "residual", "init_scale", "output_activation")
    for name in news:
        del kept["trial"]["params"][name]
    torch.save(kept, tmp_path / "old")
    run = run_of(tmp_path, 0)
    take_weights(run, tmp_path / "old")
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in kept["model"].items())
    assert differences(kept["trial"], run) == []
    other = start(TASK, splits_of("binary"), replace(run.trial, params={**run.trial.params, "l1_penalty": 0.1}), CPU)
    assert differences(kept["trial"], other) == ["params"]
    assert differences({**identity(run), "epochs": 3}, run) == ["epochs"]
