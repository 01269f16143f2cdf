"""CIFAR-10, one trial alone: the platform's loop against a bare PyTorch loop over the same in-memory tensors.

Both: objectives.cifar10's network with batch norm, Adam, batches of 64 from a permutation, pictures as bytes that are
normalised batch by batch, validation after each epoch. The platform besides has its seeded generators, a finite check,
and 14 metrics an epoch; the bare loop has training loss, validation loss and accuracy. Building the model and the first
batches are left out by a warm-up trial; everything from the first step to the last metric is in.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.nn import functional as F

import hpo
from benchmarks.common import Stat, interleaved, print_table, ratios, say
from hpo.events import TrialSpec
from hpo.training.contract import contract_of, with_defaults
from hpo.training.loop import train_run
from hpo.training.run import start
from objectives.cifar10 import Cifar10

CPU = torch.device("cpu")
TASK = Cifar10()
PARAMS: dict[str, Any] = {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 64, "batch_norm": True}
BARE, OURS = "bare PyTorch loop", "this project, one trial"


def measure(repeats: int, quick: bool) -> dict[str, Any]:
    """Measure, print a table, return seconds by program and repeat."""
    splits, source = pictures(0.01 if quick else 0.1)
    epochs = 1 if quick else 2
    trial = TrialSpec(0, PARAMS, seed=0, epochs=epochs)
    programs = {BARE: lambda _: bare_seconds(splits, trial), OURS: lambda _: plain_seconds(splits, trial)}
    say(f"CIFAR-10, {source}")
    for program in programs.values():
        program(0)
    seconds = interleaved(programs, repeats)
    rows = [[name, Stat(tuple(values)), ratios(values, seconds[BARE])] for name, values in seconds.items()]
    count = f"{len(splits.train)} training and {len(splits.validation)} validation pictures ({source})"
    title = f"training, CIFAR-10: median (range) of {repeats} repeats, {count}, {epochs} epochs"
    print_table(title, ["one core", "seconds", "times the bare loop's"], rows)
    return {"source": source, **seconds}


def pictures(share: float) -> tuple[hpo.Splits, str]:
    """Return a share of CIFAR-10 if it is on this machine ($HPO_DATA, ./data), else noise of the same shape."""
    if not hpo.check_cifar10({"limit": share}):
        return hpo.load_cifar10({"limit": share}).without_test(), "CIFAR-10"
    generator = torch.Generator().manual_seed(0)

    def noise(count: int) -> hpo.Split:
        x = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
        return hpo.Split(x, torch.randint(10, (count,), generator=generator))

    train, validation = noise(round(45_000 * share)), noise(round(5_000 * share))
    return hpo.Splits(train, validation, noise(0), outputs=10), "noise of its shape"


def plain_seconds(splits: hpo.Splits, trial: TrialSpec) -> float:
    """Train by the platform's plain loop."""
    ready = start(TASK, splits, trial, CPU)
    began = time.perf_counter()
    for _ in train_run(ready):
        pass
    return time.perf_counter() - began


def bare_seconds(splits: hpo.Splits, trial: TrialSpec) -> float:
    """Train by a loop of one's own."""
    params = with_defaults(contract_of(TASK), trial.params)
    torch.manual_seed(trial.seed)
    model = TASK.model(params, splits.train.x.shape[1:], 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.params["learning_rate"])
    x, y = splits.train.x, splits.train.y
    mean = torch.tensor((0.4914, 0.4822, 0.4465)).view(3, 1, 1) * 255
    std = torch.tensor((0.2470, 0.2435, 0.2616)).view(3, 1, 1) * 255
    began = time.perf_counter()
    for _ in range(trial.epochs or 1):
        model.train()
        total = torch.zeros(())
        for rows in torch.randperm(len(y)).split(trial.params["batch_size"]):
            loss = F.cross_entropy(model((x[rows].float() - mean) / std), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        model.eval()
        with torch.no_grad():
            parts = splits.validation.x.split(1000)
            logits = torch.cat([model((part.float() - mean) / std) for part in parts])
        target = splits.validation.y
        metrics = (total / len(y), F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean())
        [metric.item() for metric in metrics]
    return time.perf_counter() - began
