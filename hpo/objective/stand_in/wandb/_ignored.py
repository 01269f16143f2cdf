"""What is accepted without effect: whatever is done with it gives something that is accepted, too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from . import _channel
from .errors import error, is_error


class Ignored:
    """Takes any call, attribute or item. `wandb.Image(...)` is one, and so is what `wandb.watch(...)` returns.

    It is false, so that what W&B would know of a run (`if run.resumed_from:`) is taken for absent; an object that a
    script makes itself, of a class, is true.
    """

    def __init__(self, name: str = "") -> None:
        self.__dict__["_name"] = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # wandb.log as a decorator's kin: a function that would have been wrapped is given back as it is
        return args[0] if len(args) == 1 and not kwargs and _is_function(args[0]) else Ignored(self._name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name[:1].isupper():
            return ignored(name)  # a class, for isinstance and except
        return Ignored(f"{self._name}.{name}")

    def __bool__(self) -> bool:
        return False

    def __setattr__(self, name: str, value: Any) -> None:
        pass

    def __getitem__(self, key: Any) -> Any:
        return Ignored(self._name)

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def __repr__(self) -> str:
        return f"<wandb.{self._name}: ignored by hpo's stand-in>"


@cache
def ignored(name: str) -> Any:
    """Return what stands for a name of W&B's that has no meaning here: a class, if it is written like one."""
    if is_error(name):
        return error(name)
    made = {"__init__": _init(name), "__bool__": lambda self: True}
    return type(name, (Ignored,), made) if name[:1].isupper() else Ignored(name)


def said_once(name: str) -> None:
    """Say that a part of W&B is ignored."""
    _channel.say(f"wandb.{name}", f"wandb.{name} is ignored: it needs W&B's service")


def _init(name: str) -> Any:
    def init(self: Ignored, *args: Any, **kwargs: Any) -> None:
        Ignored.__init__(self, name)

    return init


def _is_function(value: Any) -> bool:
    return callable(value) and type(value).__name__ == "function"
