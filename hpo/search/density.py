"""The densities that TPE compares, as Optuna's Parzen estimators define them, by a few operations on whole arrays.

Optuna takes the error function and its logarithm number by number, in Python. Here SciPy takes them, and the kernels of
all parameters without steps are one matrix product. The last bits differ from Optuna's, so these densities serve to
compare samples, not to draw them. Constants that all densities of a search space share are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Floats = NDArray[np.float64]

_ONE_THREAD = 200_000  # multiplications that OpenBLAS does in the caller's thread (at most 2**18)


@dataclass(frozen=True)
class Choices:
    """A categorical parameter; its values are the choices' indices."""

    count: int


@dataclass(frozen=True)
class Numerical:
    """A numerical parameter, in the scale of its kernels (logarithms, if `log`), half a step wider at both ends."""

    low: float
    high: float
    log: bool
    step: float  # 0: without

    @property
    def width(self) -> float:
        return self.high - self.low


def axes_of(search_space: Mapping[str, BaseDistribution]) -> list[Choices | Numerical]:
    """Return how each parameter of a search space is seen here."""
    return [_axis(distribution) for distribution in search_space.values()]


def _axis(distribution: Any) -> Choices | Numerical:
    if hasattr(distribution, "choices"):
        return Choices(len(distribution.choices))
    step = distribution.step or 0.0
    low, high = distribution.low - step / 2, distribution.high + step / 2
    return Numerical(*((np.log(low), np.log(high)) if distribution.log else (low, high)), distribution.log, step)


def scaled(axes: Sequence[Choices | Numerical], values: Floats) -> Floats:
    """Return parameters (a row each) in the scale of their kernels."""
    logs = [index for index, axis in enumerate(axes) if isinstance(axis, Numerical) and axis.log]
    values[logs] = np.log(values[logs])
    return values


class Density:
    """A mixture: a kernel for each observation, and a wide one."""

    def __init__(self, axes: Sequence[Choices | Numerical], places: Floats, weights: Floats) -> None:
        """places: the observations, a row for each parameter, scaled; weights: of the kernels, the wide one last."""
        self._axes = axes
        self._columns: list[int] = []  # parameters with steps, with their kernels
        self._kernels: list[tuple[Floats, Floats]] = []
        self._steady = np.log(weights)  # what a kernel's density has in common for all samples
        self._factors: list[Floats] = []  # what the features of `_features` are multiplied with
        for index, axis in enumerate(axes):
            if isinstance(axis, Choices):
                self._factors.append(_of_choices(axis.count, places[index].astype(np.int64)))
                continue
            mu, sigma = _kernels(axis, places[index])
            self._steady -= log_mass((axis.low - mu) / sigma, (axis.high - mu) / sigma)
            if axis.step:
                self._columns.append(index)
                self._kernels.append((mu, sigma))
                continue
            mu, sigma = (mu - axis.low) / axis.width, sigma / axis.width  # so that the squares cancel little
            precision = 1 / sigma**2
            self._factors += [(-precision / 2)[None], (mu * precision)[None]]
            self._steady -= mu**2 * precision / 2 + np.log(sigma)

    def log(self, samples: Floats) -> Floats:
        """Return the logarithm of the density of samples (a row each, not scaled)."""
        logs = self.kernels(samples)
        most = logs.max(axis=1)
        most[np.isneginf(most)] = 0
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.exp(logs - most[:, None]).sum(axis=1)) + most)

    def kernels(self, samples: Floats) -> Floats:
        """Return the logarithm of what each kernel (columns) gives to the density of samples (rows)."""
        features, logs = self._features(samples), np.tile(self._steady, (len(samples), 1))
        if features:
            add_product(logs, np.concatenate(features, axis=1), np.concatenate(self._factors))
        for index, (mu, sigma) in zip(self._columns, self._kernels, strict=True):
            logs += _inside(self._axes[index], samples[:, index], mu, sigma)
        return logs

    def _features(self, samples: Floats) -> list[Floats]:
        features = []
        for axis, column in zip(self._axes, samples.T, strict=True):
            if isinstance(axis, Choices):
                features.append(np.eye(axis.count)[column.astype(np.int64)])
            elif not axis.step:
                place = ((np.log(column) if axis.log else column) - axis.low) / axis.width
                features += [(place**2)[:, None], place[:, None]]
        return features


def add_product(target: Floats, left: Floats, right: Floats) -> None:
    """Add a matrix product, by pieces that are too small for BLAS to start threads: those wait by spinning, and the
    other cores have workers to run."""
    most = max(1, _ONE_THREAD // left.size)
    for start in range(0, right.shape[1], most):
        target[:, start : start + most] += left @ right[:, start : start + most]


def _of_choices(count: int, chosen: NDArray[np.int64]) -> Floats:
    """Return the log probability of each choice (rows) under each kernel: its own is likelier by one observation."""
    kernels = len(chosen) + 1
    logs = np.full((count, kernels), np.log(1 / kernels / (count / kernels + 1)))
    logs[chosen, np.arange(len(chosen))] = np.log((1 / kernels + 1) / (count / kernels + 1))
    logs[:, -1] = -np.log(count)
    return logs


def _kernels(axis: Numerical, places: Floats) -> tuple[Floats, Floats]:
    """Return middles and widths: a kernel reaches as far as the farther of its neighbours."""
    count = len(places)
    order = np.argsort(places)
    edged = np.concatenate([[axis.low], places[order], [axis.high]])
    gaps = np.diff(edged)
    reach = np.maximum(gaps[:-1], gaps[1:])
    if count >= 2:  # the ends of the interval are no neighbours then
        reach[0], reach[-1] = gaps[1], gaps[-2]
    sigma = np.empty(count + 1)
    sigma[order] = np.clip(reach, axis.width / min(100.0, count + 2.0), axis.width)
    sigma[-1] = axis.width
    return np.append(places, (axis.low + axis.high) / 2), sigma


def _inside(axis: Any, column: Floats, mu: Floats, sigma: Floats) -> Floats:
    """Return the log mass of each kernel (columns) within half a step of values (rows)."""
    values, rows = np.unique(column, return_inverse=True)
    pairs, columns = np.unique(mu + 1j * sigma, return_inverse=True)  # many kernels are alike
    mu, sigma = pairs.real, pairs.imag
    left, right = values - axis.step / 2, values + axis.step / 2
    left, right = (np.log(left), np.log(right)) if axis.log else (left, right)
    return log_mass((left[:, None] - mu) / sigma, (right[:, None] - mu) / sigma)[rows[:, None], columns]


def log_mass(a: Floats, b: Floats) -> Floats:
    """Return the logarithm of the standard normal distribution's mass from a to b, exact in both tails."""
    mirrored = a > 0
    if mirrored.any():
        a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    with np.errstate(divide="ignore", invalid="ignore"):  # where the other of the two ways is taken
        logs = np.log1p(-ndtr(a) - ndtr(-b))
        tail = b <= 0
        if tail.any():
            upper, lower = log_ndtr(b[tail]), log_ndtr(a[tail])
            logs[tail] = upper + np.log1p(-np.exp(lower - upper))
    return np.asarray(logs)
