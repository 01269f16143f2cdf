"""Activations that a model calls as functions (`F.relu(x)`, `torch.sigmoid(x)`, `x.tanh()`), seen in one call of it.

Nothing that is computed changes: each function is called as ever, and its result is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.training.compat import compiled_part, is_compiled

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_import("torch")

Take = Callable[[str, str, Any], None]  # is given the path of a call, the activation's name, and what came out


@cache
def _functions() -> Mapping[Any, str]:
    """Return {function: the activation's name}."""
    functional, tensor = torch.nn.functional, torch.Tensor
    names: dict[str, tuple[Any, ...]] = {
        "relu": (functional.relu, functional.relu_, torch.relu, torch.relu_, tensor.relu, tensor.relu_),
        "relu6": (functional.relu6,),
        "sigmoid": (
            functional.sigmoid, torch.sigmoid, torch.sigmoid_, tensor.sigmoid, tensor.sigmoid_, torch.special.expit,
        ),
        "tanh": (functional.tanh, torch.tanh, torch.tanh_, tensor.tanh, tensor.tanh_),
        "prelu": (functional.prelu, torch.prelu, tensor.prelu),
        "selu": (functional.selu, torch.selu, torch.selu_),
        "celu": (functional.celu, torch.celu, torch.celu_),
        "elu": (functional.elu, functional.elu_),
        "leaky_relu": (functional.leaky_relu, functional.leaky_relu_),
        "hardtanh": (functional.hardtanh, functional.hardtanh_),
    }  # fmt: skip
    alone = ("gelu", "silu", "mish", "softplus", "softsign", "hardswish", "hardsigmoid", "logsigmoid")
    names |= {name: (getattr(functional, name),) for name in alone}
    return {function: name for name, several in names.items() for function in several}


def closed_to_looks(model: nn.Module) -> str:
    """Return a part of a model, in words, for which functions in it can't be looked at; "": all can. Attention takes
    another way when it is watched, whose numbers differ in the last bits; compiled code would be compiled anew for each
    look."""
    kinds = (torch.nn.TransformerEncoderLayer, torch.nn.MultiheadAttention, torch.jit.ScriptModule)
    for module in model.modules():
        if isinstance(module, kinds):
            return type(module).__name__
        if part := compiled_part(module):
            return part
    return ""


def untouched(model: nn.Module) -> set[nn.Module]:
    """Return the modules of a model that get no hooks, either: those of such layers of attention, and compiled
    ones with all that is below them."""
    tops = [each for each in model.modules() if isinstance(each, torch.nn.TransformerEncoderLayer) or is_compiled(each)]
    return {module for top in tops for module in top.modules()}


@contextmanager
def called_activations(
    model: nn.Module, known: Collection[nn.Module], place: str, take: Take, closed: bool = False
) -> Iterator[None]:
    """Look at the first call of a model inside the block.

    known: modules that are activations themselves, and looked at as such. place: the model's own path. A call's path is
    the module's in whose `forward` it is, and `F.relu`, the second one there `F.relu_2`. closed: look at nothing.
    """
    if closed:
        yield
        return
    from torch.overrides import TorchFunctionMode

    entered: list[str] = []  # the modules whose forward runs, the innermost last
    times: dict[tuple[str, str], int] = {}
    inside = [0]  # how many of the known ones run

    class Looking(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if (name := _functions().get(func)) is not None and entered and not inside[0]:
                caller = entered[-1], name
                times[caller] = times.get(caller, 0) + 1
                again = f"_{times[caller]}" if times[caller] > 1 else ""
                take(".".join(filter(None, (place, caller[0], f"F.{name}{again}"))), name, out)
            return out

    looking = Looking()
    state = ["before"]  # the model's first call: before, during, after

    def enter(path: str, is_known: bool, module: nn.Module, _given: Any) -> None:
        if module is model and state[0] == "before":
            state[0] = "during"
            looking.__enter__()  # type: ignore[no-untyped-call]
        if state[0] == "during":
            entered.append(path)
            inside[0] += is_known
            for caller in [caller for caller in times if caller[0] == path]:
                del times[caller]  # it is called again

    def leave(is_known: bool, module: nn.Module, _given: Any, _out: Any) -> None:
        if state[0] == "during":
            entered.pop()
            inside[0] -= is_known
            if module is model and not entered:
                state[0] = "after"
                looking.__exit__(None, None, None)  # type: ignore[no-untyped-call]

    hooks = []
    for path, module in model.named_modules():
        is_known = module in known
        hooks.append(module.register_forward_pre_hook(partial(enter, path, is_known)))
        hooks.append(module.register_forward_hook(partial(leave, is_known), always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if state[0] == "during":  # its call failed before its hooks could tell
            looking.__exit__(None, None, None)  # type: ignore[no-untyped-call]
