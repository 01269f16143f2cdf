"""Checkpoints between the driver's disk and that of a worker's machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.engines.ray.checkpoints import LocalCheckpoints, read_checkpoints, write_checkpoint
from hpo.engines.ray.messages import CheckpointContent
from hpo.events import Assignment, TrialSpec, WeightsOrder


def assignment(driver: Path) -> Assignment:
    """Two trials that keep checkpoints, and one that keeps none."""
    files = [str(driver / "0.pt"), str(driver / "1.pt"), ""]
    return Assignment(7, tuple(TrialSpec(number, {}, 1, checkpoint=file) for number, file in enumerate(files)))


def test_trials_go_on_from_the_drivers_copy_and_keep_theirs_where_they_run(tmp_path: Path):
    driver, here = tmp_path / "driver", tmp_path / "here"
    here.mkdir()
    write_checkpoint(driver / "0.pt", b"before")
    whole = assignment(driver)
    checkpoints = LocalCheckpoints(here)
    redirected = checkpoints.redirect(whole, read_checkpoints(whole))
    files = [Path(trial.checkpoint) for trial in redirected.trials[:2]]
    assert redirected.trials[2] == whole.trials[2]
    assert [file.parent for file in files] == [here, here]
    assert (files[0].read_bytes(), files[1].exists()) == (b"before", False)
    assert checkpoints.changed() == []  # that is what the driver has
    files[1].write_bytes(b"new")
    assert checkpoints.changed() == [CheckpointContent(1, b"new")]
    assert checkpoints.changed() == []


def test_weights_go_the_same_way(tmp_path: Path):
    """From where the trial ran to the driver; a retry begins without those of the run before."""
    order = WeightsOrder(str(tmp_path / "driver" / "5.left"), "m", 1)
    checkpoints = LocalCheckpoints(tmp_path)
    for _ in range(2):
        (trial,) = checkpoints.redirect(Assignment(7, (TrialSpec(5, {}, 1, weights=order),)), {}).trials
        assert trial.weights is not None and (trial.weights.metric, trial.checkpoint) == ("m", "")
        file = Path(trial.weights.file)
        assert file.parent == tmp_path and not file.exists() and checkpoints.changed() == []
        file.write_bytes(b"weights")
        assert checkpoints.changed() == [CheckpointContent(5, b"weights", weights=True)]
    checkpoints.remove()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_an_assignment_that_is_over(tmp_path: Path):
    checkpoints = LocalCheckpoints(tmp_path)
    redirected = checkpoints.redirect(assignment(tmp_path / "driver"), {0: b"before"})
    Path(f"{redirected.trials[1].checkpoint}.draft").write_bytes(b"half")
    assert len(checkpoints) == 2
    checkpoints.remove()
    assert len(checkpoints) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path):
    kept = tmp_path / "0.pt"
    write_checkpoint(kept, b"before")
    (tmp_path / "0.pt.ray").mkdir()  # in the way of the draft
    with pytest.raises(OSError, match="directory"):
        write_checkpoint(kept, b"after")
    assert kept.read_bytes() == b"before"
