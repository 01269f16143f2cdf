"""A validated sweep: what the rest of the platform works from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo.section import Section
from hpo.spec.conditions import same_params
from hpo.spec.contract import RESAMPLED, Goal
from hpo.spec.faults import Fault
from hpo.spec.grammar import REFERENCES, At, Budget, Metric, PlainKeys, ReferenceName
from hpo.spec.methods import METHODS
from hpo.spec.paths import absolute_program, absolute_reference
from hpo.spec.space import Space
from hpo.spec.written import entry_in_records

Params = Mapping[str, Any]
TRAINABLE = "ray.tune trainable"  # stands for the objective where Ray Tune has it, and no sweep file could name it


@dataclass(frozen=True)
class Target(Metric):
    """The metric that the sweep optimizes, and the rule by which a trial has its value.

    at: the report whose value is the trial's; what an objective returns is a report behind all others. at_given:
    whether the file says it, or it is the default. stopped_count: whether trials that were stopped have a value, too,
    and can be the best; not in a study that an earlier release began, which goes on as it was.
    """

    goal: Goal
    at: At = "last"
    at_given: bool = False
    stopped_count: bool = True

    def better(self, left: float, right: float) -> bool:
        """Whether `left` is better than `right`."""
        return left > right if self.goal == "maximize" else left < right

    def counted(self, values: Mapping[int, float]) -> tuple[int, float] | None:
        """Return the step whose value is a trial's, and that value; None if it reported none. values: by step."""
        found: tuple[int, float] | None = None
        for step in sorted(values):
            if found is None or self.at == "last" or self.better(values[step], found[1]):
                found = step, values[step]
        return found

    def going_on_from(self, theirs: Mapping[str, Any]) -> Target:
        """Return the metric by the rule of the study that goes on, where the file does not say another one.

        theirs: the metric in that study's identity.
        """
        at: At = theirs.get("at", "last")
        stopped_count = "at" in theirs
        kept = at if at == self.at or not self.at_given else self.at
        return dataclasses.replace(self, at=kept, stopped_count=stopped_count or kept != at)

    def identity(self) -> dict[str, Any]:
        """Return what makes values comparable."""
        known = {"name": self.name, "goal": self.goal}
        return {**known, "at": self.at} if self.stopped_count else known  # as studies have it that know no `at`

    def reached(self, value: float) -> bool:
        """Whether a value is as good as the target."""
        return self.target is not None and not self.better(self.target, value)


@dataclass(frozen=True)
class Limits(Budget):
    """When a sweep ends: whichever comes first."""

    trials: int  # complete + pruned
    failures: int = 0  # failed trials that are borne before the sweep stops


def failures_borne(trials: int) -> int:
    """Return how many failed trials a sweep bears that does not say it."""
    return max(5, trials // 2)


@dataclass(frozen=True)
class Traits:
    """What a sweep needs to know of its objective."""

    reports_each_epoch: bool = False  # a Torch task does; a function or a program counts as it likes
    shape_parameters: tuple[str, ...] | None = None  # searched ones that split cohorts; None: all trials train alone
    libraries: tuple[str, ...] = ()  # the modules of slow libraries that its workers load
    folds: int = 1  # of the rows: each trial is trained once on all but each of them
    has_references: bool = False  # models of scikit-learn can be measured by the sweep's metric on its data
    define_by_run: bool = False  # it asks for its hyperparameters while it runs: the space shows itself
    kind_found: str = ""  # what task its data asks for, where they decide it; a study is of one kind


@dataclass(frozen=True)
class AsWritten:
    """What a sweep was told, as it was told.

    data: the file's section. overrides: what the command set besides the file, `key.path=value`; None: a script did.
    sources: the files of the objective's code and of the data, each with a digest. changed_ok: a study may go on though
    they have changed. places: where each parameter stands, as a fault without a message.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] | None = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    changed_ok: bool = False
    places: Mapping[str, Fault] = field(default_factory=dict)

    def fault_at(self, parameter: str, message: str, remedy: str) -> Fault:
        """Return a fault of a parameter, with its place."""
        return dataclasses.replace(self.places.get(parameter, Fault("")), message=message, remedy=remedy)


@dataclass(frozen=True)
class Sweep(PlainKeys):
    """One sweep file, checked, with its defaults filled in."""

    name: str
    source: Path
    text: str  # the file as it was read
    metric: Target
    space: Space
    budget: Limits  # epochs: of one trial; None: the objective's own
    command: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)  # its paths absolute
    written: AsWritten = AsWritten()
    method: str = "tpe"
    baselines: tuple[Params, ...] = ()  # complete active configurations
    description: str = ""
    traits: Traits = Traits()
    confirms: Mapping[str, Any] | None = None  # of a confirmation: what it confirms (hpo.ledger.study.confirmations)
    notes: tuple[str, ...] = ()  # what the user should know of how the file was read

    @property
    def given_only(self) -> bool:
        """Whether nothing but the baselines is ever proposed."""
        return self.confirms is not None

    @property
    def leaves_outputs(self) -> bool:
        """Whether the trials' models leave what they say of the test rows."""
        return self.confirms is not None and bool(self.confirms["outputs"])

    def passed(self, params: Params) -> Params:
        """Return the hyperparameters that the objective gets: without a confirmation's seed, if it doesn't know one."""
        if self.confirms is None or self.confirms["takes_seed"]:
            return params
        return {name: value for name, value in params.items() if name != "seed"}

    def epochs_of(self, params: Params) -> int | None:
        """Return how many epochs a configuration trains; None if only its objective knows."""
        epochs = params.get("epochs", self.budget.epochs)
        return int(epochs) if epochs is not None else None

    def is_baseline(self, params: Params) -> bool:
        """Whether a configuration is one of the baselines, however its numbers are written: 1 is 1.0, and no `true`."""
        return any(same_params(params, baseline) for baseline in self.baselines)

    def max_epochs(self) -> int | None:
        """Return the most epochs that any configuration trains; None if only the objective knows."""
        if "epochs" in self.space:
            most = self.space["epochs"].domain.largest()
            return None if most is None else int(most)
        return self.budget.epochs

    @property
    def most_in_cohort(self) -> int | None:
        """Return how many trials may train as one stack at most; None: as many as pays."""
        cohort = self.engine.cohort
        if self.stack is not None:
            return 1  # it brings its own
        if self.traits.shape_parameters is None or not self.stacks:
            return 1
        return None if cohort == "auto" else int(cohort)

    @property
    def resampled(self) -> bool:
        """Whether trials, or their members, have rows of their own; of a Torch task."""
        return self.data.get("resample") in RESAMPLED

    @property
    def stacks(self) -> bool:
        """Whether anything trains as a stack: several trials, or the members of one."""
        return self.engine.cohort not in ("off", False)

    @property
    def members(self) -> int:
        """Return how many trainings a trial's value is the mean of."""
        return self.repeats * self.traits.folds

    @property
    def wanted_references(self) -> tuple[ReferenceName, ...]:
        """Return which models of scikit-learn are measured beside the trials, the cheapest first."""
        if self.references == "off" or not self.traits.has_references:
            return ()
        return tuple(name for name in REFERENCES if self.references == "auto" or name in self.references)

    def shape_of(self, params: Params) -> tuple[tuple[str, str], ...]:
        """Return what configurations must have in common to train as one stack."""
        return tuple((name, repr(params.get(name))) for name in self.traits.shape_parameters or ())

    def shaping(self, params: Params) -> dict[str, Any]:
        """Return the values of a configuration that another one must have to be of its shape."""
        return {name: params[name] for name in self.traits.shape_parameters or () if name in params}

    @property
    def asked_by_shape(self) -> bool:
        """Whether trials that train as one stack are asked for together: there are several shapes, and the method draws
        for a given one."""
        return bool(self.traits.shape_parameters) and self.most_in_cohort != 1 and METHODS[self.method].by_shape

    def shapes(self) -> int | None:
        """Return how many shapes the space has; None: without bound."""
        count = 1
        for name in self.traits.shape_parameters or ():
            choices = self.space[name].domain.count()
            if choices is None:
                return None
            count *= choices
        return count

    def going_on(self, changed_ok: bool) -> Sweep:
        """Return the sweep, whose study may go on with other code or data if `changed_ok`."""
        return dataclasses.replace(self, written=dataclasses.replace(self.written, changed_ok=changed_ok))

    def identity(self) -> dict[str, Any]:
        """Return what makes trials of two sweeps comparable: a study goes on only if this is the same.

        Plain JSON types. Budget, method, stopping, engine and seed may change between runs of one study.
        """
        return {
            "objective": self.objective,
            "program": self.program,
            "command": list(self.command),
            "data": self._with_kind(self.written.data),
            "metric": self.metric.identity(),
            "epochs": self.budget.epochs,
            # as studies have it that know no repeats, and no reports but lines
            **({"repeats": self.repeats} if self.repeats > 1 else {}),
            **({"report": self.report.sources} if self.report.sources else {}),
            # of a define-by-run objective the code says them, and the study has what has shown itself
            "parameters": {
                each.name: entry_in_records(each)
                for each in (() if self.traits.define_by_run else self.space.parameters)
            },
            "forbid": [_plain(clause) for clause in self.space.forbid],
        }

    def _with_kind(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return a `data` section with the kind that the data decided: one row more may decide otherwise."""
        return {**data, "kind": self.traits.kind_found} if self.traits.kind_found else dict(data)

    def config(self) -> dict[str, Any]:
        """Return the whole resolved sweep as plain JSON types, as it is kept in both records. Paths are absolute."""
        folder = self.source.resolve().parent
        settings = {key.name: _plain(getattr(self, key.name)) for key in dataclasses.fields(PlainKeys)}
        return {
            "name": self.name,
            **self.identity(),
            **settings,
            "metric": {**_said(self.metric), **self.metric.identity()},
            "objective": self.objective and absolute_reference(self.objective, folder),
            "program": self.program and absolute_program(self.program, folder),
            "data": self._with_kind(self.data),
            "method": self.method,
            "budget": {k: v for k, v in dataclasses.asdict(self.budget).items() if v is not None},
            "target": self.metric.target,
            "baselines": [_plain(baseline) for baseline in self.baselines],
        }


def _said(metric: Target) -> dict[str, Any]:
    """Return what a metric's section says besides its identity and the target, which has a key of its own."""
    said = {
        key.name: getattr(metric, key.name) for key in dataclasses.fields(Metric) if key.name not in ("at", "target")
    }
    return {name: value for name, value in said.items() if value is not None}


def _plain(value: Any) -> Any:
    """Return a value with tuples as lists and sections as mappings, as JSON has it."""
    if isinstance(value, Section):
        return value.plain()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
