"""Diagnoses that need figures of layers. Each function returns its evidence in words, "" if there is none."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from hpo.diagnosis.training import Curve, Training, late

VANISHED = 1e-3
"""Of the last layer's gradient, what reaches the first. The derivative of a sigmoid is at most 1/4, so five of them in
a row let at most a thousandth through (Glorot and Bengio, 2010, found such networks hardly to learn at all)."""
EXPLODED = 1e3
"""A layer's gradient norm. Pascanu et al. (2013) clip at norms of about 1, the usual choice since: this is a thousand
times that, so that a single step of plain gradient descent at rate 0.001 is as long as 1."""
LEARNED = 0.5  # of the training targets' variance: no network that is out of control explains half of it
DEAD = 0.4
"""Share of a layer's ReLU units that are 0 for every row. A sparse layer is healthy, but Karpathy (CS231n) takes 40 per
cent for what a learning rate that is too high does."""
SATURATED = 0.5
"""Share of a layer's sigmoid or tanh units that pass on less than a tenth: most of the layer has stopped to learn
(Glorot and Bengio, 2010)."""
LARGE_UPDATE, SMALL_UPDATE = 1e-1, 1e-4
"""Bounds of what one step changes of a layer's weights, relative to them. Karpathy's rule of thumb is 1e-3. Below a
tenth of that the shipped objectives never got anywhere in their epochs; above it the good trials of small networks,
which adagrad and momentum move fast, went up to 3e-2."""
USUAL_UPDATE = 1e-3  # the rule of thumb itself


def vanishing(training: Training) -> str:
    """The first layer gets next to nothing of the gradient that the last one gets."""
    norms = training.figures["gradient_norm"]
    if len(norms) < 2:
        return ""
    (first, of_first), *_, (last, of_last) = norms.items()
    shares = [near / far for near, far in zip(of_first, of_last, strict=False) if far > 0]
    if not shares or (share := statistics.median(shares)) >= VANISHED:
        return ""
    return (
        f"of the gradient that the last layer ({last}) gets, {share:.1e} reaches the first ({first}), in the median "
        f"of {_epochs(shares)}; below {VANISHED:g} it hardly learns"
    )


def exploding(training: Training) -> str:
    """Some layer's gradient is huge."""
    largest = {layer: max(values) for layer, values in training.figures["gradient_norm"].items()}
    if not largest:
        return ""
    layer = max(largest, key=lambda each: largest[each])
    if largest[layer] <= EXPLODED:
        return ""
    explained = training.curves.get("train_r2", ())
    if explained and late(explained) > LEARNED:
        return ""  # targets in large units have large gradients, and it learned all the same
    return f"the gradient of layer {layer} had a norm of {largest[layer]:.1e}; more than {EXPLODED:g} is out of control"


def dead(training: Training) -> str:
    """Many ReLU units are 0 whatever comes."""
    shares = _worst(training.figures["dead"])
    if not shares or shares[1] < DEAD:
        return ""
    return f"{shares[1]:.0%} of the ReLU units of layer {shares[0]} are 0 for every validation row that was looked at"


def saturated(training: Training) -> str:
    """Many sigmoid or tanh units are at the flat ends of their curve."""
    shares = _worst(training.figures["saturated"])
    if not shares or shares[1] < SATURATED:
        return ""
    return f"{shares[1]:.0%} of the units of layer {shares[0]} are where their activation is flat, at the end"


def update_ratio(training: Training) -> float | None:
    """Return what a step changes of the weights, relative to them: of the layer in the middle, in the median of the
    epochs; None if it was not measured. The first step says little, since optimizers and schedules start there."""
    curves = training.figures["update_ratio"].values()
    ratios = [statistics.median(values[1:]) for values in curves if len(values) > 1]
    return statistics.median(ratios) if ratios else None


def _worst(layers: Mapping[str, Curve]) -> tuple[str, float] | None:
    ended = {layer: late(values) for layer, values in layers.items()}
    worst = max(ended, key=lambda layer: ended[layer], default=None)
    return None if worst is None else (worst, ended[worst])


def _epochs(values: Curve) -> str:
    return f"{len(values)} epochs" if len(values) > 1 else "one epoch"
