"""Names that Torch keeps for itself and that tell what is compiled, as they are in the releases of TESTED.

tests/training/test_compat.py fails if one of them is gone or means something else. With another release than those,
health may look into compiled code, which is then compiled anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_import("torch")

TESTED = ((2, 13),)


def compiled_part(module: nn.Module) -> str:
    """Return in words what of a module itself is compiled, not of those below it; "": nothing is."""
    return f"compiled {type(module).__name__}" if is_compiled(module) else _function(module)


def is_compiled(module: nn.Module) -> bool:
    """Whether a module's calls run compiled code, and so what is below it does."""
    # by torch.compile(module), by module.compile(); a later Torch may have another name
    if hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None:
        return True
    return any(name == "forward" and _is_function(value) for name, value in _attributes(module))


def _function(module: nn.Module) -> str:
    """Return in words one compiled function that a module has, or that its forward calls by name; "": none."""
    own = list(_attributes(module))
    forward = next((value for name, value in own if name == "forward"), None)
    called = []
    if isinstance(forward, FunctionType):
        called = [(name, forward.__globals__.get(name)) for name in forward.__code__.co_names]
    for name, value in [*own, *called]:
        if _is_function(value):
            return f"compiled function {name}"
    return ""


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield a module's own attributes and those of its class, but not what every module has."""
    yield from list(vars(module).items())
    for each in type(module).__mro__:
        if issubclass(each, torch.nn.Module) and each is not torch.nn.Module:
            yield from list(vars(each).items())


def _is_function(value: Any) -> bool:
    """Whether a value is a function of torch.compile. torch.compiler.disable marks its functions likewise."""
    marks = getattr(value, "__dict__", {})  # many values have none
    return "_torchdynamo_orig_callable" in marks and "_torchdynamo_disable" not in marks
