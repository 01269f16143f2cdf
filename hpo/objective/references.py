"""References: what models of scikit-learn reach, with their defaults, on the very split that the trials have.

They say whether a tuned network earns its keep. They are fitted on the training rows with the features that the trials
see and the targets in their own units (no outlier rule, no target transform), and measured on the validation rows by
the functions that measure trials. The test rows are never here: a worker holds none.
"""

from __future__ import annotations

import hashlib
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.events import Channel, ReferenceMeasured, ReferenceOrder
from hpo.lazy import lazy_import
from hpo.objective import kept_references
from hpo.objective.failures import one_line
from hpo.training.contract import contract_of, with_defaults
from hpo.training.members import mean
from hpo.training.task import Kind, Split, Splits, TorchTask
from hpo.training.vocabulary.losses import bind_loss, make_loss
from hpo.training.vocabulary.metrics import as_floats, measure
from hpo.training.vocabulary.targets import prepare_targets

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor
else:
    np = lazy_import("numpy")
    torch = lazy_import("torch")

_SEED = 0
# Numbers in the training split (rows x features) up to which a model is fitted unasked, so that it takes seconds, and
# a forest, whose trees grow with the rows, no more memory than a trial.
_LARGEST = {"linear": 2_000_000, "random_forest": 200_000, "gradient_boosting": 2_000_000}
# The losses that mean of a probability what they mean of a network's logits; a regression's all do.
_OF_PROBABILITIES = (("binary", "bce"), ("multiclass", "cross_entropy"))

Loss = Callable[["Tensor", "Tensor"], "Tensor"]


def measure_references(task: TorchTask, folds: Sequence[Splits], order: ReferenceOrder, channel: Channel) -> None:
    """Fit and measure the models that are ordered, one by one, and tell of each as soon as it is measured.

    A model that fails, or that the data is too large for, is told of with the reason. Without any names, only the
    digest of the data is told.

    folds: the split; or several, on which each model is fitted and measured, and its metrics are the means.
    """
    data = digest_of(folds, task.kind)
    if not order.names:
        channel.refer(ReferenceMeasured(data, task.kind))
    for name in order.names:
        cells = sum(splits.train.x.numel() for splits in folds)
        if not order.patient and cells > _LARGEST.get(name, cells):
            missing = f"not fitted unasked to {cells:,} numbers (references: [{name}] fits it)"
            channel.refer(ReferenceMeasured(data, task.kind, name, missing=missing))
            continue
        key = kept_references.key_of(name, data, task.kind, folds, _loss_params(task, order), Path(__file__))
        measured = kept_references.find(key)
        if measured is None:
            measured = _measured_on_all(task, folds, order, name, data)
            kept_references.keep(key, measured)
        channel.refer(measured)


def _measured_on_all(
    task: TorchTask, folds: Sequence[Splits], order: ReferenceOrder, name: str, data: str
) -> ReferenceMeasured:
    try:
        each = [_measured(task, splits, order, name, data) for splits in folds]
        shared = [metric for metric in each[0].metrics if all(metric in found.metrics for found in each)]
        metrics = {metric: mean([found.metrics[metric] for found in each]) for metric in shared}
        return replace(each[0], metrics=metrics)
    except Exception as error:  # whatever scikit-learn says of this data
        traceback.print_exc()  # to the worker's log
        return ReferenceMeasured(data, task.kind, name, missing=one_line(error))


def digest_of(folds: Sequence[Splits], kind: Kind) -> str:
    """Return a text that is the same for the same rows, cut in the same way."""
    each = [splits.digest(kind) for splits in folds]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def _measured(task: TorchTask, splits: Splits, order: ReferenceOrder, name: str, data: str) -> ReferenceMeasured:
    model = _model(task.kind, name)
    (x, y), (x_validation, _) = (_arrays(split, name != "constant") for split in (splits.train, splits.validation))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge, say: these are its defaults
        model.fit(x, y, **_weights_of(splits.train))
        outputs = torch.from_numpy(_outputs(task.kind, model, x_validation, splits.outputs))
    targets = splits.validation.y.detach().cpu()
    found = measure(task.kind, outputs, targets)
    if loss := _comparable_loss(task, splits, order):
        found["loss"] = loss(outputs.float(), targets)
    metrics = {f"val_{metric}": value for metric, value in as_floats(found).items()}
    says = _says(task.kind, splits, outputs) if name == "constant" else ""
    return ReferenceMeasured(data, task.kind, name, metrics, says)


def _arrays(split: Split, features: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x [N, features] and y [N] as float64, in which scikit-learn calculates.

    features: whether the model looks at them; else x is [N, 1] of zeros, which a large table has the memory for.
    """
    x = np.zeros((len(split), 1))
    if features:
        x = split.x.detach().cpu().numpy().reshape(len(split), -1).astype(np.float64)
    return x, split.y.detach().cpu().numpy().astype(np.float64)


def _weights_of(split: Split) -> dict[str, NDArray[Any]]:
    """Return the weights of rows as scikit-learn's models take them: as trials have them."""
    return {} if split.weight is None else {"sample_weight": split.weight.detach().cpu().numpy().astype(np.float64)}


def _model(kind: Kind, name: str) -> Any:
    """Return scikit-learn's model, not fitted yet, with its defaults."""
    from sklearn import dummy, ensemble, linear_model

    if kind == "regression":
        models = {
            "constant": dummy.DummyRegressor,
            "linear": linear_model.Ridge,
            "random_forest": ensemble.RandomForestRegressor,
            "gradient_boosting": ensemble.HistGradientBoostingRegressor,
        }
    else:
        models = {
            "constant": dummy.DummyClassifier,  # each class with its share of the training rows
            "linear": linear_model.LogisticRegression,
            "random_forest": ensemble.RandomForestClassifier,
            "gradient_boosting": ensemble.HistGradientBoostingClassifier,
        }
    drawn = name in ("random_forest", "gradient_boosting")
    return models[name](random_state=_SEED) if drawn else models[name]()


def _outputs(kind: Kind, model: Any, x: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """Return what a network's outputs would be: values [N], or logits [N] of class 1, or [N, classes]."""
    if kind == "regression":
        return np.asarray(model.predict(x), dtype=np.float64)
    if kind == "binary" and hasattr(model, "decision_function"):  # log-odds, in full: no ties among sure rows
        return np.asarray(model.decision_function(x), dtype=np.float64)
    # scikit-learn's log_loss cuts probabilities off in this way, too.
    edge = np.finfo(np.float32).eps
    shares = np.zeros((len(x), max(2, classes)))
    shares[:, model.classes_.astype(int)] = model.predict_proba(x)  # a class may be missing in training
    shares = shares.clip(edge, 1 - edge)
    return np.log(shares[:, 1] / (1 - shares[:, 1])) if kind == "binary" else np.log(shares)


def _loss_params(task: TorchTask, order: ReferenceOrder) -> dict[str, Any] | None:
    """Return what says which loss the trials have, if it is to be measured."""
    if order.loss_params is None:
        return None
    # These models give logits and values, whatever the trials make of their outputs.
    own = {name: value for name, value in order.loss_params.items() if name != "output_activation"}
    return with_defaults(contract_of(task), own)


def _comparable_loss(task: TorchTask, splits: Splits, order: ReferenceOrder) -> Loss | None:
    """Return the trials' loss, if it is the metric and says the same of these models; else None."""
    params = _loss_params(task, order)
    if params is None:
        return None
    train = Split(splits.train.x.detach().cpu(), splits.train.y.detach().cpu())
    loss = make_loss(task.kind, params, train, splits.outputs)
    if task.kind == "regression":  # on the scale of the trials' targets
        scaled = prepare_targets(train, params).forward
        return lambda outputs, targets: loss(scaled(outputs), scaled(targets))
    choice, _ = bind_loss(task.kind, params, splits.train, splits.outputs)
    return loss if (task.kind, choice.name) in _OF_PROBABILITIES else None


def _says(kind: Kind, splits: Splits, outputs: Tensor) -> str:
    """Return what a model says that says the same of every row."""
    if kind == "regression":
        return f"{float(outputs[0]):.6g}"
    said = int(outputs[0] > 0) if kind == "binary" else int(outputs[0].argmax())
    return repr(str(splits.classes[said])) if splits.classes else f"class {said}"
