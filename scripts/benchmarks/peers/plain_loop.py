"""The course's binary task in bare PyTorch, as a careful user writes it: what every peer trains.

In-memory tensors indexed by a permutation, which is faster here than a DataLoader. Three metrics an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPOCHS, BATCH_SIZE = 20, 32
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}
ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
LOSSES = ["bce", "weighted_bce", "focal", "mse"]
LEARNING_RATE, WEIGHT_DECAY = (1e-4, 1e-1), (1e-6, 1e-2)
Data = tuple[Tensor, Tensor, Tensor, Tensor]


def load_data() -> Data:
    """Return 600 rows to train on and 200 to validate on: the very tensors that objectives.binary makes."""
    from objectives.binary import Binary

    splits = Binary().splits({"source": "synthetic"})
    return splits.train.x, splits.train.y, splits.validation.x, splits.validation.y


def loss_of(name: str, logits: Tensor, y: Tensor, pos_weight: Tensor) -> Tensor:
    """Return the mean loss."""
    if name == "bce":
        return F.binary_cross_entropy_with_logits(logits, y)
    if name == "weighted_bce":
        return F.binary_cross_entropy_with_logits(logits, y, pos_weight=pos_weight)
    if name == "mse":
        return F.mse_loss(torch.sigmoid(logits), y)
    bce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")  # focal: gamma 2, alpha 0.25
    return ((0.25 * y + 0.75 * (1 - y)) * (1 - torch.exp(-bce)) ** 2 * bce).mean()


def train(data: Data, params: dict[str, Any], epochs: int = EPOCHS, batch_size: int = BATCH_SIZE) -> Iterator[dict]:
    """Train an MLP 20-64-32-1; yield the metrics after each epoch."""
    train_x, train_y, val_x, val_y = data
    activation = ACTIVATIONS[params["activation"]]
    model = nn.Sequential(
        nn.Linear(train_x.shape[1], 64), activation(), nn.Linear(64, 32), activation(), nn.Linear(32, 1), nn.Flatten(0)
    )
    optimizer = OPTIMIZERS[params["optimizer"]](
        model.parameters(), lr=params["learning_rate"], weight_decay=params["weight_decay"]
    )
    pos_weight = (train_y == 0).sum() / (train_y == 1).sum()
    for _ in range(epochs):
        model.train()
        total = torch.zeros(())
        for rows in torch.randperm(len(train_y)).split(batch_size):
            loss = loss_of(params["loss"], model(train_x[rows]), train_y[rows], pos_weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        model.eval()
        with torch.no_grad():
            logits = model(val_x)
            val_loss = loss_of(params["loss"], logits, val_y, pos_weight)
            accuracy = ((logits > 0) == (val_y > 0.5)).float().mean()
        yield {
            "train_loss": total.item() / len(train_y),
            "val_loss": val_loss.item(),
            "val_accuracy": accuracy.item(),
        }
