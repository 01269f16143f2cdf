"""CIFAR-10's network, alone and stacked: pictures of its shape (noise), batch norm, Adam, batches of 64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gpu_check.common import Notes, Options, seconds
from hpo.events import Reported, TrialSpec
from hpo.training.loop import train
from hpo.training.run import start
from hpo.training.stack.cohort import Cohort, train_cohort
from hpo.training.task import Split, Splits
from objectives.cifar10 import Cifar10

TASK = Cifar10()


def run(options: Options, notes: Notes) -> None:
    """Measure, and note."""
    splits = pictures(options, 128 if options.quick else 4_500)
    epochs = 3 if options.quick else 4
    params = [
        {"optimizer": "adam", "learning_rate": 1e-3 * (1 + index % 7), "batch_size": 64, "batch_norm": True}
        for index in range(256)
    ]
    trials = [TrialSpec(index, each, seed=index, epochs=epochs) for index, each in enumerate(params)]
    title = f"CIFAR-10's network, {len(splits.train)} pictures"
    alone = 0.0
    with notes.going_on("alone"):
        events = train(TASK, splits, trials[0], options.device)
        next(events)
        alone = seconds(options, lambda: list(events)) / (epochs - 1)
        notes.row(title, {"K": "alone", "ms a trial-epoch": alone * 1000, "x plain loop": 1.0})
    for size in (2,) if options.quick else (4, 16, 64, 128):
        for replay in (True, False):
            with notes.going_on(f"stack of {size}, replay {replay}"):
                cohort = Cohort([start(TASK, splits, trial, options.device) for trial in trials[:size]], replay=replay)
                training = train_cohort(cohort)
                for _ in range(epochs - 2):
                    next(training)
                spent = seconds(options, lambda: next(training))  # noqa: B023 (called at once)
                row = {
                    "K": size,
                    "replay": "yes" if replay else "no",
                    "recorded": cohort.recorded,
                    "ms a trial-epoch": spent / size * 1000,
                }
                notes.row(title, row | {"x plain loop": alone * size / spent if alone else 0.0})
    with notes.going_on("the same numbers"):
        same(options, splits, trials[:4], notes)
    for size in (2,) if options.quick else (16, 64):
        for shape in ((3, 32, 32), (32, 64, 15), (64, 64, 6)):
            with notes.going_on(f"convolution {shape} of {size}"):
                convolutions(options, notes, size, *shape)
    notes.raise_failed()


def pictures(options: Options, count: int) -> Splits:
    """Return noise of CIFAR-10's shape."""
    generator = torch.Generator().manual_seed(0)

    def noise(rows: int) -> Split:
        x = torch.randint(256, (rows, 3, 32, 32), dtype=torch.uint8, generator=generator)
        y = torch.randint(10, (rows,), generator=generator)
        return Split(x.to(options.device), y.to(options.device))

    return Splits(noise(count), noise(max(20, count // 9)), noise(0), outputs=10)


def same(options: Options, splits: Splits, trials: list[TrialSpec], notes: Notes) -> None:
    """Compare a stack's first epoch with each trial's alone."""
    few = Splits(*(Split(s.x[:1024], s.y[:1024]) for s in (splits.train, splits.validation, splits.test)), outputs=10)
    cohort = Cohort([start(TASK, few, trial, options.device) for trial in trials])
    found = {event.number: event.metrics for event in next(train_cohort(cohort)) if isinstance(event, Reported)}
    worst = 0.0
    for trial in trials:
        event = next(train(TASK, few, trial, options.device))
        assert isinstance(event, Reported)
        for name, value in event.metrics.items():
            if name in ("train_loss", "val_loss"):
                worst = max(worst, abs(found[trial.number][name] - value) / max(1.0, abs(value)))
    notes.note("furthest loss from that alone", worst)
    assert worst < 0.01, f"losses are {worst} from those alone"


def convolutions(options: Options, notes: Notes, size: int, into: int, out: int, side: int) -> None:
    """Time ways to convolve: forward and backward of one layer of a stack."""
    x = torch.randn(64, size * into, side, side, device=options.device)
    weight = torch.randn(size * out, into, 3, 3, device=options.device)

    def grouped(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x, weight, groups=size)

    def one_by_one(x: Tensor, weight: Tensor) -> Tensor:
        pairs = zip(x.chunk(size, 1), weight.chunk(size), strict=True)
        return torch.cat([F.conv2d(each, its) for each, its in pairs], 1)

    def products(x: Tensor, weight: Tensor) -> Tensor:
        patches = F.unfold(x, 3).view(64, size, into * 9, -1)
        found = torch.matmul(weight.view(size, out, into * 9), patches)
        return found.view(64, size * out, side - 2, side - 2)

    def products_of_rows(x: Tensor, weight: Tensor) -> Tensor:
        """Rows of all pictures side by side: one product a member."""
        windows = x.view(64, size, into, side, side).unfold(3, 3, 1).unfold(4, 3, 1)  # [B, K, C, H, W, 3, 3]
        patches = windows.permute(1, 2, 5, 6, 0, 3, 4).reshape(size, into * 9, -1)
        found = torch.bmm(weight.view(size, out, into * 9), patches)
        return found.view(size, out, 64, side - 2, side - 2).permute(2, 0, 1, 3, 4)

    last = torch.channels_last
    ways: dict[str, tuple[Callable[..., Tensor], Tensor, Tensor]] = {
        "grouped": (grouped, x, weight),
        "grouped, channels last": (grouped, x.to(memory_format=last), weight.to(memory_format=last)),
        "one by one": (one_by_one, x, weight),
        "matmul of unfolded": (products, x, weight),
        "bmm of unfolded": (products_of_rows, x, weight),
    }
    row: dict[str, Any] = {"K": size, "layer": f"{into}->{out}, {side}x{side}"}
    expected = grouped(x, weight)
    for name, (way, given, its) in ways.items():
        leaves = given.detach().requires_grad_(), its.detach().requires_grad_()

        def both(way: Any = way, leaves: Any = leaves) -> None:
            found = way(*leaves)
            torch.autograd.grad(found, leaves, torch.ones_like(found))

        try:
            error = (way(given, its).reshape(expected.shape) - expected).abs().max().item()
            assert error < 1e-2, f"{name}: {error}"
            for _ in range(2):
                both()
            row[f"{name}, ms"] = min(seconds(options, both) for _ in range(2 if options.quick else 5)) * 1000
        except (RuntimeError, AssertionError) as failure:
            row[f"{name}, ms"] = str(failure)[:60]
    notes.row("Ways to convolve, forward and backward", row)
