"""The contract of a Torch task: the vocabulary's hyperparameters and metrics, and the task's own. Loads no Torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from hpo.spec.contract import Contract, Known
from hpo.spec.faults import did_you_mean
from hpo.training.models import MODEL_PARAMETERS
from hpo.training.task import Kind, TorchTask
from hpo.training.vocabulary.activations import ACTIVATIONS
from hpo.training.vocabulary.initializers import INITIALIZERS
from hpo.training.vocabulary.labels import CURRICULA, SUSPECT_LABELS
from hpo.training.vocabulary.losses import LOSSES, improbable
from hpo.training.vocabulary.metrics import known_metrics
from hpo.training.vocabulary.optimizers import OPTIMIZERS
from hpo.training.vocabulary.registry import Registry
from hpo.training.vocabulary.schedules import SCHEDULES
from hpo.training.vocabulary.targets import OUTLIERS, TARGET_TRANSFORMS
from hpo.training.vocabulary.thresholds import THRESHOLD_RULES

LOOP_PARAMETERS: dict[str, Known] = {
    "batch_size": Known(
        "int",
        32,
        "rows a step; the last batch of an epoch may be smaller (with batch norm, a single row is left out)",
        within="[1, inf)",
    ),
    "epochs": Known("int", 20, "passes over the training split", within="[1, inf)", mixes=True),
    "grad_clip_norm": Known(
        "float",
        None,
        "largest norm of all gradients together; null: off",
        within="(0, inf)",
        nullable=True,
        mixes=True,
        also=("clipnorm", "clip_norm", "gradient_clipping", "max_grad_norm", "global_clipnorm"),
    ),
    "grad_clip_value": Known(
        "float",
        None,
        "largest absolute value of a gradient; null: off",
        within="(0, inf)",
        nullable=True,
        mixes=True,
        also=("clipvalue", "clip_value"),
    ),
    "l1_penalty": Known(
        "float",
        0.0,
        "times the sum of absolute weights (no biases, no scales of norms) is added to the training loss, and takes "
        "weights to exactly 0; train_loss is without it",
        within="[0, inf)",
        mixes=True,
        also=("l1", "l1_lambda", "l1_reg"),
    ),
    "seed": Known(
        "int", None, "fixes the trial's seed; absent: derived from the sweep's", within="[0, inf)", mixes=True
    ),
}


def target_registries(kind: Kind) -> list[Registry[Any]]:
    """Return the registries of what is done to a regression's targets; none for other kinds."""
    return [OUTLIERS, TARGET_TRANSFORMS] if kind == "regression" else []


def label_registries(kind: Kind) -> list[Registry[Any]]:
    """Return the registries of what is done about wrong labels; none for a regression, which has no labels."""
    return [] if kind == "regression" else [SUSPECT_LABELS, CURRICULA]


def threshold_registries(kind: Kind) -> list[Registry[Any]]:
    """Return the registry of where the line between two classes is drawn; none for other kinds."""
    return [THRESHOLD_RULES] if kind == "binary" else []


def contract_of(task: TorchTask) -> Contract:
    """Return what the task understands: the vocabulary, overridden and extended by `task.parameters`.

    Raises:
        ValueError: `task.parameters` drops (None) a hyperparameter that the vocabulary does not have, or
            `task.default_metric` is no metric of its kind.
    """
    # Each trial asks, and putting it together takes longer than building a small model.
    known = _known.setdefault(type(task), {})
    parameters, contract = known.get(task.kind, (None, None))  # two tasks of one class may differ in kind
    if contract is None or parameters is not task.parameters:
        contract = _contract_of(task)
        known[task.kind] = task.parameters, contract
    return contract


_known: WeakKeyDictionary[type[TorchTask], dict[Kind, tuple[object, Contract]]] = WeakKeyDictionary()


def applied_by_platform(kind: Kind) -> frozenset[str]:
    """Return the hyperparameters that the training loop does by itself, whatever a task's `model` and `batch` read."""
    registries = [registry for registry in _registries(kind) if registry is not ACTIVATIONS]
    return frozenset(LOOP_PARAMETERS).union(*(registry.known() for registry in registries))


def _registries(kind: Kind) -> list[Registry[Any]]:
    first: list[Registry[Any]] = [OPTIMIZERS, LOSSES[kind], ACTIVATIONS, SCHEDULES, INITIALIZERS]
    return first + target_registries(kind) + label_registries(kind) + threshold_registries(kind)


def _contract_of(task: TorchTask) -> Contract:
    targets = target_registries(task.kind)
    losses, registries = LOSSES[task.kind], _registries(task.kind)
    vocabulary = dict(LOOP_PARAMETERS)
    for registry in registries:
        vocabulary |= {name: replace(known, mixes=True) for name, known in registry.known().items()}
    parameters = _with_own(vocabulary | MODEL_PARAMETERS, task)
    metrics = known_metrics(
        task.kind,
        loss_parameters=frozenset(losses.known()) - {"output_activation"},  # one scale, whatever it is taken of
        target_parameters=frozenset(name for registry in targets for name in registry.known()),
        without_scale=tuple(choice.name for choice in losses if not choice.scaled),
        improbable=improbable(task.kind),
    )
    if task.default_metric and task.default_metric not in metrics:
        hint = did_you_mean(task.default_metric, metrics)
        raise ValueError(f"{type(task).__name__}.default_metric is {task.default_metric!r} ({hint})")
    return Contract(
        parameters=parameters,
        metrics=metrics,
        aliases={registry.kind: registry.aliases for registry in registries if registry.aliases},
        default_epochs=int(parameters["epochs"].default) if "epochs" in parameters else Contract.default_epochs,
        default_metric=task.default_metric,
    )


def with_defaults(contract: Contract, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return `params`, aliases resolved, with the default of every absent hyperparameter that means something here.

    One that requires another's value (momentum: sgd or rmsprop) is filled in only where that value holds. Lists and
    mappings are copies: a task may do with them what it likes, and neither a record nor another trial has them.
    """
    complete = {name: _resolved(contract, name, value) for name, value in params.items()}
    waiting = {name: known for name, known in contract.parameters.items() if name not in complete}
    while waiting:
        # What an absent hyperparameter requires may itself be absent: fill in as the answers become known.
        ready = {
            name: known
            for name, known in waiting.items()
            if not waiting.keys() & (known.requires.keys() | known.default_where.keys())
        }
        if not ready:
            raise ValueError(f"hyperparameters require each other in a circle: {', '.join(waiting)}")
        for name, known in ready.items():
            del waiting[name]
            if all(complete.get(other) in values for other, values in known.requires.items()):
                complete[name] = known.default_beside(complete)
    return {name: value if type(value) in _ATOMS else copy.deepcopy(value) for name, value in complete.items()}


_ATOMS = (str, int, float, bool, type(None))
_APPLIED = frozenset({"output_activation", "init_scale", "l1_penalty", "threshold_rule", "threshold"})
"""What the training loop does by itself with any task's model."""


def _with_own(vocabulary: dict[str, Known], task: TorchTask) -> dict[str, Known]:
    dropped = {name for name, known in task.parameters.items() if known is None}
    for name in sorted(dropped - vocabulary.keys()):
        raise ValueError(f"{type(task).__name__}.parameters drops {name!r} ({did_you_mean(name, vocabulary)})")
    own = {name: known for name, known in task.parameters.items() if known is not None}
    for name in _APPLIED & own.keys():
        ours, theirs = vocabulary[name], own[name]
        if (ours.kind, ours.nullable) != (theirs.kind, theirs.nullable) or not {*theirs.choices} <= {*ours.choices}:
            raise ValueError(
                f"{type(task).__name__}.parameters describes {name!r} otherwise than the platform, which applies it "
                "itself: give yours another name"
            )
    parameters = {name: known for name, known in (vocabulary | own).items() if name not in dropped}
    # What required a dropped hyperparameter goes with it, unless the task describes it anew.
    return {
        name: known
        for name, known in parameters.items()
        if name in own or not dropped & {*known.requires, known.part_of}
    }


def _resolved(contract: Contract, name: str, value: Any) -> Any:
    aliases = contract.aliases.get(name)
    return aliases.get(value, value) if aliases and isinstance(value, str) else value
