"""One optimizer step for a slice of a stack: k members with k sets of hyperparameters, as torch.optim does it for one.

An update takes parameters p [k, P] (changed in place), gradients g [k, P] (may be overwritten) and the members' Hyper.
Per-member numbers are columns [k, 1], or plain floats where all members have the same. Sources: the single-tensor
functions of torch.optim, whose order of operations is kept, so that float32 results differ in the last digits only.
State has the names that it has there, so that a member can leave a stack with it, and come into another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    denominator = square.sqrt().div_(hyper.each(_root_of_correction, "beta2", "step")).add_(hyper["eps"])
    _add_quotient(p, mean, denominator, hyper.each(_corrected_rate, "lr", "beta1", "step"))


def _corrected_rate(lr: Any, beta: Any, step: Any) -> Any:
    return -lr / (1 - beta**step)


def _root_of_correction(beta: Any, step: Any) -> Any:
    return (1 - beta**step) ** 0.5


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
    _add_quotient(p, mean, largest, hyper.each(_corrected_rate, "lr", "beta1", "step"))


def nadam(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.NAdam."""
    _decay(p, g, hyper)
    mean, square = _moments(g, hyper)
    hyper.multiply("mu_product", _mu, "beta1", "step", "momentum_decay")
    denominator = square.div(hyper.each(_correction, "beta2", "step")).sqrt_().add_(hyper["eps"])
    names = ("lr", "beta1", "step", "momentum_decay", "mu_product")
    _add_quotient(p, g, denominator, hyper.each(_nadam_of_gradient, *names))
    _add_quotient(p, mean, denominator, hyper.each(_nadam_of_mean, *names))


def _mu(beta: Any, step: Any, decay: Any) -> Any:
    return beta * (1.0 - 0.5 * 0.96 ** (step * decay))


def _correction(beta: Any, step: Any) -> Any:
    return 1 - beta**step


def _nadam_of_gradient(lr: Any, beta: Any, step: Any, decay: Any, product: Any) -> Any:
    return -lr * (1 - _mu(beta, step, decay)) / (1 - product)


def _nadam_of_mean(lr: Any, beta: Any, step: Any, decay: Any, product: Any) -> Any:
    ahead = _mu(beta, step + 1, decay)
    return -lr * ahead / (1 - product * ahead)


def radam(p: Tensor, g: Tensor, hyper: Hyper) -> None:
    """torch.optim.RAdam."""
    _decay(p, g, hyper)
    mean, square = _moments(g, hyper)
    names = ("lr", "beta1", "beta2", "step")
    plain, rectified = hyper.each(_radam_plain, *names), hyper.each(_radam_rectified, *names)
    if not isinstance(plain, float) or plain:
        add(p, mean, plain)
    if not isinstance(rectified, float) or rectified:
        _add_quotient(p, mean, square.sqrt().add_(hyper["eps"]), rectified)


def _radam_length(beta2: Any, step: Any) -> tuple[Any, Any]:
    """Return the length of the running mean of squares now, and in the limit."""
    longest = 2 / (1 - beta2) - 1
    return longest - 2 * step * beta2**step / (1 - beta2**step), longest


def _radam_plain(lr: Any, beta1: Any, beta2: Any, step: Any) -> Any:
    length, _ = _radam_length(beta2, step)
    return _where(length > 5.0, lambda: 0.0 * lr, lambda: -(lr / (1 - beta1**step)))


def _radam_rectified(lr: Any, beta1: Any, beta2: Any, step: Any) -> Any:
    length, longest = _radam_length(beta2, step)

    def rectified() -> Any:
        up = (length - 4) * (length - 2) * longest
        root = (up / ((longest - 4) * (longest - 2) * length)) ** 0.5
        return -(lr / (1 - beta1**step)) * root * (1 - beta2**step) ** 0.5

    return _where(length > 5.0, rectified, lambda: 0.0 * lr)


def _where(condition: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    if isinstance(condition, bool):
        return yes() if condition else no()
    return torch.where(condition, yes(), no())


def _fuses(p: Tensor, hyper: Hyper, *names: str) -> bool:
    """Whether PyTorch's fused kernels can serve: on a CPU, if all members have the same of these, and the same age."""
    same = all(isinstance(hyper[name], float) for name in names)
    if not same or hyper.planned or p.device.type != "cpu":
        return False
    return hyper.steps.count(hyper.steps[0]) == len(hyper.steps)


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
    p.mul_(hyper.each(_rest_of_decay, "lr", "weight_decay"))


def _rest_of_decay(lr: Any, decay: Any) -> Any:
    return 1 - lr * decay


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
