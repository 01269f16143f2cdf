"""All stopping rules. A new one is a module beside this one: it is found by its keys, whose `type` is a new word."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from hpo.stopping.base import StoppingKeys


def _all_keys() -> Iterator[type[StoppingKeys]]:
    for found in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if found.name == "rules":
            continue
        module = importlib.import_module(f"hpo.stopping.{found.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, StoppingKeys) and value.__module__ == module.__name__:
                kind: Any = value.model_fields["type"].annotation
                if get_args(kind):  # not what several rules have in common
                    yield value


RULES: tuple[type[StoppingKeys], ...] = tuple(_all_keys())

if TYPE_CHECKING:
    EarlyTerminate = StoppingKeys
else:  # what `early_terminate` of a sweep file may be: `type` says which
    EarlyTerminate = Annotated[reduce(or_, RULES), Field(discriminator="type")]
