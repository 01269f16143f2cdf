"""What a sweep file's objective is named by, and what a look at it tells: the words between the spec and objectives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hpo.spec.contract import Contract
from hpo.spec.faults import Fault
from hpo.spec.space import Space


@dataclass(frozen=True)
class Named:
    """The parts of a sweep file that name its objective."""

    objective: str | None
    program: str | None
    command: tuple[str, ...]
    data: Mapping[str, Any]
    metric: str
    parameters: tuple[str, ...]
    folder: Path  # where the sweep file lies
    repeats: int = 1  # seeds that each trial is trained with
    reports: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # where a program's are, besides its lines
    packed: bytes | None = None  # the objective itself, where a program handed it over as an object (objective/live.py)
    space: Space | None = None  # what its trials get; None: nobody asks whether it reads all of that
    epochs: int | None = None  # of a trial, where the space does not say it
    goal: str = ""  # of the metric; "": not known yet


@dataclass(frozen=True)
class Inspection:
    """What is known of an objective without training it: its contract, and what is wrong with its name or its data."""

    contract: Contract | None = None
    faults: tuple[Fault, ...] = ()
    data: Mapping[str, Any] | None = None  # the data section with its paths resolved
    as_text: Callable[[Any], Hashable] | None = None  # how a value reaches the objective, where that is text only
    notes: tuple[str, ...] = ()  # what the user should know
    described: tuple[str, ...] = ()  # the first of the notes: its data as they will be used, where they were looked at
    libraries: tuple[str, ...] = ()  # the modules of slow libraries that its workers load
    folds: int = 1  # of the rows: each trial is trained once on all but each of them
    is_table: bool = False  # other models than its own can be fitted on its data, and measured as its own are
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict)  # options without a value: what to write
    sources: Mapping[str, str] = dataclasses.field(default_factory=dict)  # its code's and data's files, a digest each
    define_by_run: bool = False  # it asks for its hyperparameters while it runs


class Inspect(Protocol):
    """Finds the objective that a sweep file names. Lives above `spec`, which knows no objective."""

    def __call__(self, named: Named) -> Inspection: ...
