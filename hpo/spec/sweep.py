"""A validated sweep: what the rest of the platform works from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hpo.spec.conditions import same_params
from hpo.spec.contract import Goal
from hpo.spec.grammar import Confirm, LocalEngine, RayEngine, Retry
from hpo.spec.paths import absolute_reference, resolve_path
from hpo.spec.space import Space
from hpo.stopping.base import StoppingKeys
from hpo.stopping.none import NoStopKeys

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """The metric that the sweep optimizes."""

    name: str
    goal: Goal
    reached_at: float | None = None

    def better(self, left: float, right: float) -> bool:
        """Whether `left` is better than `right`."""
        return left > right if self.goal == "maximize" else left < right

    def reached(self, value: float) -> bool:
        return self.reached_at is not None and not self.better(self.reached_at, value)


@dataclass(frozen=True)
class Limits:
    """When a sweep ends: whichever comes first."""

    trials: int  # complete + pruned
    epochs: int | None = None  # of one trial; None: the objective's own
    seconds: float | None = None
    failures: int = 0  # failed trials that are borne before the sweep stops
    trial_seconds: float | None = None  # of one trial; then it fails
    stall_seconds: float | None = None  # without a report; then it fails


@dataclass(frozen=True)
class Sweep:
    """One sweep file, checked, with its defaults filled in."""

    name: str
    source: Path
    text: str  # the file as it was read
    metric: Target
    space: Space
    budget: Limits
    objective: str | None = None
    program: str | None = None
    command: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)  # its paths absolute
    written_data: Mapping[str, Any] = field(default_factory=dict)  # as the file has it
    method: str = "tpe"
    early_terminate: StoppingKeys = field(default_factory=lambda: NoStopKeys(type="none"))
    seed: int = 0
    trial_seed: int | None = None  # of every trial; None: drawn from `seed` and the trial's number
    baselines: tuple[Params, ...] = ()  # complete active configurations
    retry: Retry = field(default_factory=lambda: Retry())
    duplicates: Literal["skip", "replicate"] = "skip"
    checkpoint_seconds: int = 60  # of training between two checkpoints of a trial; 0: none
    engine: LocalEngine | RayEngine = field(default_factory=lambda: LocalEngine())
    confirm: Confirm | None = None
    description: str = ""
    reports_each_epoch: bool = False  # a Torch task does; a function or a program counts as it likes
    shape_parameters: tuple[str, ...] | None = None  # searched ones that split cohorts; None: all trials train alone
    notes: tuple[str, ...] = ()  # what the user should know of how the file was read

    def epochs_of(self, params: Params) -> int | None:
        """Return how many epochs a configuration trains; None if only its objective knows."""
        epochs = params.get("epochs", self.budget.epochs)
        return int(epochs) if epochs is not None else None

    def is_baseline(self, params: Params) -> bool:
        """Whether a configuration is one of the baselines, however its numbers are written: 1 is 1.0, and no `true`."""
        return any(same_params(params, baseline) for baseline in self.baselines)

    def max_epochs(self) -> int | None:
        """Return the most epochs that any configuration trains; None if only the objective knows."""
        if "epochs" in self.space.names():
            choices = self.space["epochs"].domain.choices() or []
            numbers = [int(value) for value in choices if isinstance(value, int | float)]
            return max(numbers, default=None)
        return self.budget.epochs

    @property
    def most_in_cohort(self) -> int | None:
        """Return how many trials may train as one stack at most; None: as many as pays."""
        cohort = self.engine.cohort
        if self.shape_parameters is None or cohort in ("off", False):
            return 1
        return None if cohort == "auto" else int(cohort)

    def shape_of(self, params: Params) -> tuple[tuple[str, str], ...]:
        """Return what configurations must have in common to train as one stack."""
        return tuple((name, repr(params.get(name))) for name in self.shape_parameters or ())

    def shapes(self) -> int | None:
        """Return how many shapes the space has; None: without bound."""
        count = 1
        for name in self.shape_parameters or ():
            choices = self.space[name].domain.choices()
            if choices is None:
                return None
            count *= len(choices)
        return count

    def identity(self) -> dict[str, Any]:
        """Return what makes trials of two sweeps comparable: a study goes on only if this is the same.

        Plain JSON types. Budget, method, stopping, engine and seed may change between runs of one study.
        """
        return {
            "objective": self.objective,
            "program": self.program,
            "command": list(self.command),
            "data": dict(self.written_data),
            "metric": {"name": self.metric.name, "goal": self.metric.goal},
            "epochs": self.budget.epochs,
            "parameters": {
                p.name: {
                    "type": type(p.domain).__name__.lower(),
                    **{key: _plain(value) for key, value in dataclasses.asdict(p.domain).items() if value is not None},
                    **({"when": _plain(p.when)} if p.when else {}),
                }
                for p in self.space.parameters
            },
            "forbid": [_plain(clause) for clause in self.space.forbid],
        }

    def config(self) -> dict[str, Any]:
        """Return the whole resolved sweep as plain JSON types, as it is kept in both records. Paths are absolute."""
        folder = self.source.resolve().parent
        return {
            "name": self.name,
            **self.identity(),
            "objective": self.objective and absolute_reference(self.objective, folder),
            "program": self.program and str(resolve_path(self.program, folder).resolve()),
            "data": dict(self.data),
            "method": self.method,
            "early_terminate": self.early_terminate.plain(),
            "budget": {k: v for k, v in dataclasses.asdict(self.budget).items() if v is not None},
            "target": self.metric.reached_at,
            "seed": self.seed,
            "trial_seed": self.trial_seed,
            "baselines": [_plain(baseline) for baseline in self.baselines],
            "retry": self.retry.model_dump(),
            "duplicates": self.duplicates,
            "checkpoint_seconds": self.checkpoint_seconds,
            "engine": self.engine.model_dump(),
            "confirm": self.confirm.model_dump() if self.confirm else None,
        }


def _plain(value: Any) -> Any:
    """Return a value with tuples as lists, as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
