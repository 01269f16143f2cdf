"""All stopping rules. A new one is a module beside this one: it is found by its keys, whose `type` is a new word."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag

from hpo.stopping.base import StoppingKeys
from hpo.stopping.several import joined


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
else:  # what `early_terminate` of a sweep file may be: a rule, whose `type` says which, or a list of them
    _One = Annotated[reduce(or_, RULES), Field(discriminator="type")]
    _Several = Annotated[list[_One], Field(min_length=1), AfterValidator(joined)]
    EarlyTerminate = Annotated[
        Annotated[_One, Tag("one")] | Annotated[_Several, Tag("several")],
        Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
    ]
