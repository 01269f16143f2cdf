"""A contract with one of everything that rules look at."""

from __future__ import annotations

from hpo.spec.contract import Contract, Known, KnownMetric

TOY = Contract(
    parameters={
        "optimizer": Known("choice", "adam", choices=("sgd", "adam", "rmsprop", "adagrad")),
        "learning_rate": Known("float", 1e-3, within="(0, inf)"),
        "momentum": Known("float", 0.0, within="[0, 1)", requires={"optimizer": ("sgd", "rmsprop")}),
        "nesterov": Known("bool", False, requires={"optimizer": ("sgd",)}),
        "activation": Known("choice", "relu", choices=("relu", "silu")),
        "loss": Known("choice", "bce", choices=("bce", "focal")),
        "focal_gamma": Known("float", 2.0, within="[0, inf)", requires={"loss": ("focal",)}),
        "batch_size": Known("int", 32, within="[1, inf)"),
        "hidden_layers": Known("layers", (64, 32)),
        "grad_clip": Known("float", None, within="(0, inf)", nullable=True),
        "norm": Known("bool", False, excludes={"batch_size": {1: "it needs two rows"}}),
        "epochs": Known("int", 20, within="[1, inf)"),
    },
    metrics={
        "val_accuracy": KnownMetric("maximize"),
        "val_log_loss": KnownMetric("minimize"),
        "val_loss": KnownMetric("minimize", frozenset({"loss", "focal_gamma"})),
    },
    aliases={"activation": {"swish": "silu"}},
    default_epochs=20,
)
