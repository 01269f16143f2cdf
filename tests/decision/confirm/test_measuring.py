"""The look at the test rows: each metric as it is measured on validation, and what is not there or does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from training.tiny import task_of

from hpo.decision.confirm.measuring import (
    HeldOut,
    LeftOutputs,
    OutputsGone,
    compare,
    left_outputs,
    refuse_undefined,
    split_of,
)
from hpo.decision.confirm.verdict import METHOD_RESAMPLED, METHOD_ROWS
from hpo.objective.outputs import digest_of_rows
from hpo.spec.faults import UserError
from hpo.training.task import Kind, Split, Splits
from hpo.training.vocabulary.metrics import METRICS, measure

ROWS, SEEDS, CLASSES = 60, 3, 3


def held_out(kind: Kind) -> HeldOut:
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(CLASSES if kind == "multiclass" else 2, (ROWS,), generator=generator)
    if kind == "regression":
        return HeldOut(kind, torch.randn(ROWS, generator=generator), "data", "rows")
    return HeldOut(kind, y if kind == "multiclass" else y.float(), "data", "rows")


def said(split: HeldOut, noise: float, seed: int, upside_down: bool = False) -> LeftOutputs:
    """Return outputs that follow the targets, but for noise; upside_down: that say the contrary."""
    generator = torch.Generator().manual_seed(seed)
    if split.kind == "multiclass":
        truth = torch.nn.functional.one_hot(split.y, CLASSES).float()
    else:
        truth = split.y if split.kind == "regression" else 2 * split.y - 1
    outputs = (-truth if upside_down else truth) + noise * torch.randn(SEEDS, *truth.shape, generator=generator)
    return LeftOutputs(outputs, outputs, lambda output: (output - truth).square().reshape(ROWS, -1).mean(1))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_metric_is_measured_as_on_validation_and_the_better_model_wins(kind: Kind) -> None:
    split = held_out(kind)
    good, bad = said(split, 0.4, 2), said(split, 0.4, 3, upside_down=True)
    for metric, goal in METRICS[kind].items():
        found = compare(good, bad, split, metric, goal)
        if metric != "loss":
            for mine, left in ((found.winner, good), (found.baseline, bad)):
                assert mine == pytest.approx(measure(kind, left.values, split.y)[metric].tolist()), metric
        low, high = found.judged.interval
        assert (found.judged.verdict, low > 0, low < found.judged.difference < high) == ("better", True, True), metric
        assert compare(bad, good, split, metric, goal).judged.verdict == "worse", metric
        by_row = metric in ("accuracy", "mae", "brier", "loss")
        assert found.method == (METHOD_ROWS if by_row else METHOD_RESAMPLED)


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_the_same_outputs_are_not_shown_to_differ(metric: str) -> None:
    split = held_out("binary")
    left = said(split, 1.0, 4)
    judged = compare(left, left, split, metric, "maximize").judged
    assert (judged.difference, judged.verdict) == (0.0, "not shown")


@pytest.mark.parametrize("metric", ["accuracy", "f1"])
def test_each_model_is_read_at_its_own_threshold(metric: str, tmp_path: Path) -> None:
    split = held_out("binary")
    good = said(split, 0.4, 2)
    for seed, outputs in enumerate(good.outputs):
        shifted, p = outputs + seed, 1 / (1 + np.exp(-seed))
        np.savez(tmp_path / f"{seed}.npz", outputs=shifted.numpy(), rows=np.array("rows"), threshold=np.array(p))
    moved = left_outputs([tmp_path / f"{seed}.npz" for seed in range(SEEDS)], split)
    one, other = compare(good, moved, split, metric, "maximize"), compare(good, good, split, metric, "maximize")
    assert (one.winner, one.baseline, one.judged) == (other.winner, other.baseline, other.judged)


def test_a_metric_that_these_rows_do_not_define_is_said() -> None:
    split = HeldOut("binary", torch.ones(ROWS), "data", "rows")
    left = said(split, 1.0, 5)
    with pytest.raises(UserError, match="test_roc_auc is not defined on the 60 test rows"):
        compare(left, left, split, "roc_auc", "maximize")


def test_whether_the_rows_define_a_metric_is_known_before_any_model() -> None:
    for kind, metrics in METRICS.items():
        for metric in metrics:
            refuse_undefined(metric, held_out(kind), CLASSES if kind == "multiclass" else 1)
    one = HeldOut("binary", torch.ones(ROWS), "data", "rows")
    lacking = HeldOut("multiclass", torch.arange(ROWS) % 2, "data", "rows")
    for split, outputs in ((one, 1), (lacking, CLASSES)):
        refuse_undefined("f1", split, outputs)
        with pytest.raises(UserError, match="test_roc_auc is not defined on the 60 test rows"):
            refuse_undefined("roc_auc", split, outputs)


def test_a_digest_is_of_rows_and_targets() -> None:
    x, y = torch.randn(8, 2), torch.arange(8.0)
    empty = Split(x[:0], y[:0])

    def of(x: torch.Tensor, y: torch.Tensor) -> str:
        return split_of(task_of("regression").kind, Splits(empty, empty, Split(x, y))).digest

    assert of(x, y) == of(x.clone(), y.clone())
    assert len({of(x, y), of(x + 1, y), of(x, y + 1), of(x[:4], y[:4])}) == 4


def test_what_was_left_is_there_and_of_these_rows(tmp_path: Path) -> None:
    x = torch.randn(ROWS, 2)
    split = HeldOut("binary", torch.ones(ROWS), "data", digest_of_rows(x))
    path = tmp_path / "0.npz"
    with pytest.raises(OutputsGone, match="can't be read"):
        left_outputs([path], split)
    np.savez(path, outputs=np.ones(ROWS, np.float32), rows=np.array("others"))
    with pytest.raises(OutputsGone, match="other test rows"):
        left_outputs([path], split)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(OutputsGone, match="can't be read"):
        left_outputs([path], split)
    np.savez(path, outputs=np.ones(ROWS, np.float32), rows=np.array(digest_of_rows(x)))
    assert left_outputs([path, path], split).values.shape == (2, ROWS)
