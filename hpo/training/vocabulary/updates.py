"""One optimizer step for a slice of a stack: k members with k sets of hyperparameters, as torch.optim does it for one.

An update takes parameters p [k, P] (changed in place), gradients g [k, P] (may be overwritten) and the members' Hyper.
Per-member numbers are columns [k, 1], or plain floats where all members have the same. Sources: the single-tensor
functions of torch.optim, whose order of operations is kept, so that float32 results differ in the last digits only.
State has the names that it has there, so that a member can leave a stack with it, and come into another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hpo.lazy import lazy_import
from hpo.training.vocabulary.hyper import Hyper

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Update = Callable[[Tensor, Tensor, Hyper], None]
else:
    torch = lazy_import("torch")


def sgd(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.SGD without dampening."""
    _decay(p, g, hyper)
    momentum = hyper["momentum"]
    if isinstance(momentum, float) and momentum == 0:
        add(p, g, hyper.down)
        return
    buffer = hyper.moment("momentum_buffer").mul_(momentum).add_(g)
    nesterov = hyper["nesterov"]
    if isinstance(nesterov, float) and nesterov == 0:
        add(p, buffer, hyper.down)
        return
    ahead = g + buffer * momentum
    add(p, ahead if isinstance(nesterov, float) else torch.where(nesterov > 0, ahead, buffer), hyper.down)


def adam(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.Adam."""
    _decay(p, g, hyper)
    _adam(p, g, hyper)


def adamw(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.AdamW."""
    decay_decoupled(p, hyper)
    _adam(p, g, hyper)


def _adam(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    if _fuses(p, hyper, "beta1", "beta2", "eps"):
        # One pass instead of eight. It knows one learning rate only: it adds m / (sqrt(v) + eps) to zeros, unscaled.
        step, moments = torch.zeros_like(p), ([hyper.moment("exp_avg")], [hyper.moment("exp_avg_sq")])
        torch._fused_adam_(
            [step], [g], *moments, [], [torch.tensor(float(hyper.steps[0]))],
            lr=-1.0, beta1=float(hyper["beta1"]), beta2=float(hyper["beta2"]), eps=float(hyper["eps"]),
            weight_decay=0.0, amsgrad=False, maximize=False,
        )  # fmt: skip
        add(p, step, hyper.down)
        return
    mean, square = _moments(g, hyper)
    beta1, beta2 = hyper.values("beta1"), hyper.values("beta2")
    first = [lr / (1 - b**t) for lr, b, t in zip(hyper.learning_rates, beta1, hyper.steps, strict=True)]
    second = [(1 - b**t) ** 0.5 for b, t in zip(beta2, hyper.steps, strict=True)]
    denominator = square.sqrt().div_(hyper.column(second)).add_(hyper["eps"])
    _add_quotient(p, mean, denominator, hyper.column([-value for value in first]))


def rmsprop(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.RMSprop, not centered."""
    _decay(p, g, hyper)
    average = _mean_square(hyper.moment("square_avg"), g, hyper, "alpha").sqrt().add_(hyper["eps"])
    momentum = hyper["momentum"]
    if isinstance(momentum, float) and momentum == 0:
        _add_quotient(p, g, average, hyper.down)
        return
    buffer = hyper.moment("momentum_buffer").mul_(momentum).addcdiv_(g, average)
    add(p, buffer, hyper.down)


def adagrad(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.Adagrad without learning-rate decay."""
    _decay(p, g, hyper)
    if _fuses(p, hyper, "eps"):
        step = torch.zeros_like(p)
        torch._fused_adagrad_(
            [step], [g], [hyper.moment("sum")], [torch.tensor(1.0)],
            lr=-1.0, lr_decay=0.0, weight_decay=0.0, eps=float(hyper["eps"]), maximize=False,
        )  # fmt: skip
        add(p, step, hyper.down)
        return
    total = hyper.moment("sum").addcmul_(g, g)
    _add_quotient(p, g, total.sqrt().add_(hyper["eps"]), hyper.down)


def adadelta(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.Adadelta."""
    _decay(p, g, hyper)
    deviation = _mean_square(hyper.moment("square_avg"), g, hyper, "rho").add(hyper["eps"]).sqrt_()
    deltas = hyper.moment("acc_delta")
    delta = deltas.add(hyper["eps"]).sqrt_().div_(deviation).mul_(g)
    _mean_square(deltas, delta, hyper, "rho")
    add(p, delta, hyper.down)


def adamax(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.Adamax."""
    _decay(p, g, hyper)
    mean, largest = hyper.moment("exp_avg"), hyper.moment("exp_inf")
    mean.lerp_(g, hyper.rest("beta1"))
    torch.maximum(largest.mul_(hyper["beta2"]), g.abs_().add_(hyper["eps"]), out=largest)
    rates = zip(hyper.learning_rates, hyper.values("beta1"), hyper.steps, strict=True)
    _add_quotient(p, mean, largest, hyper.column([-lr / (1 - b**t) for lr, b, t in rates]))


def nadam(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.NAdam."""
    _decay(p, g, hyper)
    mean, square = _moments(g, hyper)
    betas, decays = hyper.values("beta1"), hyper.values("momentum_decay")

    def mu(beta: float, step: int, decay: float) -> float:
        return float(beta * (1.0 - 0.5 * 0.96 ** (step * decay)))

    members = list(zip(hyper.learning_rates, betas, decays, hyper.steps, strict=True))
    products = _mu_products(hyper, [mu(beta, t, decay) for _, beta, decay, t in members])
    for_g, for_mean = [], []
    for (lr, beta, decay, t), product in zip(members, products, strict=True):
        now, ahead = mu(beta, t, decay), mu(beta, t + 1, decay)
        for_g.append(-lr * (1 - now) / (1 - product))
        for_mean.append(-lr * ahead / (1 - product * ahead))
    corrections = [1 - b**t for b, t in zip(hyper.values("beta2"), hyper.steps, strict=True)]
    denominator = square.div(hyper.column(corrections)).sqrt_().add_(hyper["eps"])
    _add_quotient(p, g, denominator, hyper.column(for_g))
    _add_quotient(p, mean, denominator, hyper.column(for_mean))


def _mu_products(hyper: Hyper, factors: Sequence[float]) -> list[float]:
    """Multiply each member's product of momenta, kept in the precision that torch keeps it in, by its next factor."""
    products = hyper.number("mu_product").mul_(torch.tensor(factors).unsqueeze(1))
    return [float(value) for value in products.flatten().tolist()]


def radam(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.RAdam."""
    _decay(p, g, hyper)
    mean, square = _moments(g, hyper)
    plain, rectified = [], []
    for lr, beta1, beta2, t in zip(
        hyper.learning_rates, hyper.values("beta1"), hyper.values("beta2"), hyper.steps, strict=True
    ):
        step, correction = lr / (1 - beta1**t), 1 - beta2**t
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / correction
        if length > 5.0:
            up = (length - 4) * (length - 2) * longest
            plain.append(0.0)
            rectified.append(-step * (up / ((longest - 4) * (longest - 2) * length)) ** 0.5 * correction**0.5)
        else:
            plain.append(-step)
            rectified.append(0.0)
    if any(plain):
        add(p, mean, hyper.column(plain))
    if any(rectified):
        _add_quotient(p, mean, square.sqrt().add_(hyper["eps"]), hyper.column(rectified))


def _fuses(p: Tensor, hyper: Hyper, *names: str) -> bool:
    """Whether PyTorch's fused kernels can serve: on a CPU, if all members have the same of these, and the same age."""
    same = all(isinstance(hyper[name], float) for name in names)
    return same and p.device.type == "cpu" and hyper.steps.count(hyper.steps[0]) == len(hyper.steps)


def _moments(g: Tensor, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """Move the running means of the gradient and of its square; return them."""
    mean = hyper.moment("exp_avg").lerp_(g, hyper.rest("beta1"))
    return mean, _mean_square(hyper.moment("exp_avg_sq"), g, hyper, "beta2")


def _mean_square(square: Tensor, g: Tensor, hyper: Hyper, name: str) -> Tensor:
    rest = hyper.rest(name)
    square.mul_(hyper[name])
    return square.addcmul_(g, g, value=rest) if isinstance(rest, float) else square.add_((g * g).mul_(rest))


def decay_decoupled(p: Tensor, hyper: Hyper) -> None:
    """Make p smaller by learning rate times weight decay of it, whatever the gradient (Loshchilov and Hutter 2019)."""
    decays = zip(hyper.learning_rates, hyper.values("weight_decay"), strict=True)
    p.mul_(hyper.column([1 - lr * decay for lr, decay in decays]))


def _decay(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """Add the gradient of the L2 penalty to g."""
    add(g, p, hyper["weight_decay"])


def add(target: Tensor, values: Tensor, factor: float | Tensor) -> None:
    """Add values [k, P] times a factor (one for all, or a column [k, 1]) to target, in place."""
    if isinstance(factor, float):
        if factor != 0:
            target.add_(values, alpha=factor)
    else:
        target.addcmul_(values, factor)


def _add_quotient(target: Tensor, above: Tensor, below: Tensor, factor: float | Tensor) -> None:
    if isinstance(factor, float):
        target.addcdiv_(above, below, value=factor)
    else:
        target.addcmul_(torch.div(above, below), factor)
