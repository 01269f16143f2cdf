"""The course's tasks in bare PyTorch, as a careful user writes them: what every peer trains.

In-memory tensors indexed by a permutation, which is faster here than a DataLoader. Three metrics an epoch. What a space
does not search has the value that it has in the smallest of them: hidden layers of 64 and 32, batches of 32, 20 epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
INITIALIZERS = {  # of weights; biases begin at 0
    "xavier_uniform": nn.init.xavier_uniform_,
    "he_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
}
LOSSES = ["bce", "weighted_bce", "focal", "mse"]
REGRESSION_LOSSES = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}
LEARNING_RATE, WEIGHT_DECAY = (1e-4, 1e-1), (1e-6, 1e-2)
Data = tuple[Tensor, Tensor, Tensor, Tensor]  # rows and targets to train on, and to validate on
Loss = Callable[[Tensor, Tensor], Tensor]


def load_data(**options: Any) -> Data:
    """Return 600 rows to train on and 200 to validate on: the very tensors that objectives.binary makes.

    options: the sweep file's `data` section (default: source synthetic).
    """
    from objectives.binary import Binary

    splits = Binary().splits(options or {"source": "synthetic"})
    return splits.train.x, splits.train.y, splits.validation.x, splits.validation.y


def load_regression() -> tuple[Data, float]:
    """Return the tensors of objectives.regression (1,200 rows, 400), both targets standardized by the training ones,
    and the standard deviation that they were divided by."""
    from objectives.regression import Regression

    splits = Regression().splits({"source": "friedman"})
    mean, deviation = splits.train.y.mean(), splits.train.y.std(correction=0)
    targets = [(split.y - mean) / deviation for split in (splits.train, splits.validation)]
    return (splits.train.x, targets[0], splits.validation.x, targets[1]), deviation.item()


def loss_of(
    name: str, logits: Tensor, y: Tensor, pos_weight: Tensor, gamma: float = 2.0, alpha: float = 0.25
) -> Tensor:
    """Return the mean loss. gamma, alpha: of the focal loss."""
    if name == "bce":
        return F.binary_cross_entropy_with_logits(logits, y)
    if name == "weighted_bce":
        return F.binary_cross_entropy_with_logits(logits, y, pos_weight=pos_weight)
    if name == "mse":
        return F.mse_loss(torch.sigmoid(logits), y)
    bce = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    wrong = 1 - torch.exp(-bce)
    if gamma < 1:  # where a row is surely right, the power's derivative is infinite
        wrong = wrong.clamp(min=1e-8)
    return ((alpha * y + (1 - alpha) * (1 - y)) * wrong**gamma * bce).mean()


def make_model(features: int, params: dict[str, Any]) -> nn.Module:
    """Return a perceptron with one output. Keys that may be absent: hidden_layers, dropout, initializer."""
    layers: list[nn.Module] = []
    for width in params.get("hidden_layers", (64, 32)):
        layers += [nn.Linear(features, width), ACTIVATIONS[params["activation"]]()]
        if "dropout" in params:
            layers.append(nn.Dropout(params["dropout"]))
        features = width
    model = nn.Sequential(*layers, nn.Linear(features, 1), nn.Flatten(0))
    if (name := params.get("initializer", "default")) != "default":
        for layer in model:
            if isinstance(layer, nn.Linear):
                INITIALIZERS[name](layer.weight)
                nn.init.zeros_(layer.bias)
    return model


def make_optimizer(model: nn.Module, params: dict[str, Any]) -> torch.optim.Optimizer:
    """Return the optimizer. Keys that may be absent: weight_decay, momentum (of sgd and rmsprop)."""
    more = {"momentum": params["momentum"]} if "momentum" in params else {}
    decay = params.get("weight_decay", 0.0)
    return OPTIMIZERS[params["optimizer"]](model.parameters(), lr=params["learning_rate"], weight_decay=decay, **more)


def train(
    data: Data, params: dict[str, Any], epochs: int = EPOCHS, batch_size: int = BATCH_SIZE
) -> Iterator[dict[str, float]]:
    """Train a classifier; yield the metrics after each epoch."""
    _, train_y, _, _ = data
    pos_weight = (train_y == 0).sum() / (train_y == 1).sum()
    name, gamma, alpha = params["loss"], params.get("focal_gamma", 2.0), params.get("focal_alpha", 0.25)

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return loss_of(name, logits, y, pos_weight, gamma, alpha)

    def accuracy(logits: Tensor, y: Tensor) -> Tensor:
        return ((logits > 0) == (y > 0.5)).float().mean()

    return fit(data, params, loss, ("val_accuracy", accuracy), epochs, batch_size)


def train_regression(data: tuple[Data, float], params: dict[str, Any], epochs: int = 30) -> Iterator[dict[str, float]]:
    """Train a regression; yield the metrics after each epoch, `val_rmse` in the target's own units."""
    tensors, deviation = data

    def rmse(outputs: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(outputs, y).sqrt() * deviation

    return fit(tensors, params, REGRESSION_LOSSES[params["loss"]], ("val_rmse", rmse), epochs, params["batch_size"])


def fit(
    data: Data, params: dict[str, Any], loss_of: Loss, metric: tuple[str, Loss], epochs: int, batch_size: int
) -> Iterator[dict[str, float]]:
    """Train one model; yield train_loss, val_loss and the metric (its name, its function) after each epoch."""
    train_x, train_y, val_x, val_y = data
    name, measure = metric
    model = make_model(train_x.shape[1], params)
    optimizer = make_optimizer(model, params)
    for _ in range(epochs):
        model.train()
        total = torch.zeros(())
        for rows in torch.randperm(len(train_y)).split(batch_size):
            loss = loss_of(model(train_x[rows]), train_y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        model.eval()
        with torch.no_grad():
            outputs = model(val_x)
            val_loss, value = loss_of(outputs, val_y), measure(outputs, val_y)
        yield {"train_loss": total.item() / len(train_y), "val_loss": val_loss.item(), name: value.item()}
