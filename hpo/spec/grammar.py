"""The keys of a sweep file: their names, types and defaults.

This is the one place of that knowledge: validation, `hpo schema`, what a Sweep holds and what both records keep of it
come from here. A section that a Sweep holds with more filled in (Metric, Budget) is a dataclass, which Sweep's extends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    WrapValidator,
)

from hpo.section import Count, Gigabytes, Natural, Positive, Processes, Seconds, Section, Workers, section_of
from hpo.spec.contract import Goal
from hpo.spec.methods import MethodName
from hpo.spec.names import STUDY_NAME, name_fault, study_name_fault
from hpo.stopping.none import NoStopKeys
from hpo.stopping.rules import EarlyTerminate


def says(description: str) -> Any:
    """Describe a key, for the JSON schema."""
    return Field(description=description)


def _metric_name(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


def _keep_whole(value: Any, validate_float: Callable[[Any], float]) -> float:
    return value if type(value) is int else validate_float(value)


def _written_out(value: Any) -> Any:
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Word = Annotated[  # of a command line: a number is one, too
    str, BeforeValidator(_written_out), WithJsonSchema({"type": ["string", "number"]})
]
Number = Annotated[float, WrapValidator(_keep_whole)]  # a whole number keeps its type and all its digits
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what PyTorch's generators take
At = Literal["best", "last"]  # which of a trial's reports its value is
ReferenceName = Literal["constant", "linear", "random_forest", "gradient_boosting"]
REFERENCES: tuple[ReferenceName, ...] = get_args(ReferenceName)  # the cheapest first


@dataclass(frozen=True)
class Metric:
    """What is optimized."""

    name: Annotated[
        str,
        Field(min_length=1, description="a metric that the objective reports, e.g. val_accuracy"),
        AfterValidator(_metric_name),
    ]
    goal: Annotated[Goal | None, says("default: the metric's own, else what its name says (accuracy, loss, ...)")] = (
        None
    )
    target: Annotated[float | None, says("no more trials are started once a trial reaches this value")] = None
    at: Annotated[
        At | None,
        says("the report whose value is a trial's: the best of all (the first of equal ones), or the last (default)"),
    ] = None


@dataclass(frozen=True)
class Budget:
    """When a sweep ends: whichever comes first; and when a trial has taken too long."""

    trials: Annotated[Count | None, says("trials that end complete or pruned")] = None
    epochs: Annotated[Count | None, says("epochs of a trial, where `epochs` is no parameter")] = None
    seconds: Annotated[Seconds | None, says("wall time, over all the times that the sweep was run")] = None
    failures: Annotated[Natural | None, says("failed trials after which the sweep stops (default: trials/2)")] = None
    trial_seconds: Annotated[Seconds | None, says("wall time of one trial; then it fails (timeout)")] = None
    stall_seconds: Annotated[
        Seconds | None,
        says("time without any report after which a trial fails (timeout) and its worker is replaced"),
    ] = None


class Retry(Section):
    """How often a trial that failed is run again, by the kind of its failure."""

    error: Natural = Field(0, description="the objective raised: the same parameters and seed mostly raise again")
    out_of_memory: Natural = Field(1, description="run again alone, after the batch was split if that is possible")
    timeout: Natural = Field(0, description="it took too long: it would again")
    died: Natural = Field(2, description="its worker was killed or exited")
    lost: Natural = Field(
        10, description="Ray only: the machine of its worker went away, which is no fault of the trial"
    )


class LocalEngineKeys(Section):
    """Processes on this machine."""

    type: Literal["local"] = "local"
    workers: Literal["auto"] | Workers = Field("auto", description="processes; auto: one a core or GPU; 0: in-process")
    workers_per_gpu: Processes = Field(1, description="workers that share one GPU")
    memory_gb: Gigabytes | None = Field(None, description="host memory that a worker may allocate; then: MemoryError")
    cohort: Literal["auto", "off", False] | Count = Field("auto", description="trials that train as one stack")
    compile: bool = Field(False, description="torch.compile for stacks: tens of seconds for each, for long trials")


def _whole_above_one(amount: float) -> float:
    if amount > 1 and not float(amount).is_integer():
        raise ValueError(f"must be a whole number where it is above 1, but got {amount:g}")
    return amount


def _address(address: str) -> str:
    if address in ("auto", "local") or re.fullmatch(r"[^\s:/]+:\d{1,5}", address):
        return address
    raise ValueError(f"must be auto, local or host:port (the port of `ray start --head`), but got {address!r}")


Share = Annotated[float, Field(ge=0, le=1e9), AfterValidator(_whole_above_one)]  # of something that Ray hands out


class RayEngineKeys(Section):
    """Actors on a Ray cluster."""

    type: Literal["ray"]
    address: Annotated[str, AfterValidator(_address)] = Field(
        "auto", description="host:port of a cluster; local: start one here; auto: the one that runs, else local"
    )
    workers: Literal["auto"] | Processes = Field("auto", description="auto: as many as the cluster has room for")
    cpus_per_worker: Annotated[Share, Field(gt=0)] = Field(1, description="cores; as many threads train")
    gpus_per_worker: Share = Field(0, description="e.g. 0.25: four workers share a GPU; 0: none is used")
    resources: dict[str, Share] = Field({}, description="custom resources of Ray that a worker takes, e.g. {a100: 1}")
    memory_gb: Gigabytes | None = Field(None, description="memory a worker takes and may allocate; then: MemoryError")
    files: list[str] = Field([], description="further files and folders that the objective reads: sent to the workers")
    cohort: Literal["auto", "off", False] | Count = Field("auto", description="trials that train as one stack")
    compile: bool = Field(False, description="torch.compile for stacks: tens of seconds for each, for long trials")


Engine = Annotated[LocalEngineKeys | RayEngineKeys, Field(discriminator="type")]


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except re.error as error:
        raise ValueError(f"must be a regular expression of Python's, but {text!r} is none: {error}") from None
    if not groups:
        raise ValueError(
            f"must have a group with a metric's name, such as val_acc=(?P<val_acc>[0-9.]+), but got {text!r}"
        )
    return text


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Patterns = Annotated[
    list[Annotated[str, AfterValidator(_pattern)]],
    Field(min_length=1),
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]


class ReportKeys(Section):
    """Where a program's reports are besides its lines of JSON; and whether a sweep writes a page at its end."""

    page: bool = Field(False, description="write a page on the sweep when it ends, as `hpo report` does")
    regex: Patterns | None = Field(None, description="reports in lines of a log: named groups are metrics")

    csv: str | None = Field(None, description="a CSV file that grows: a row is a report, columns are metrics")
    tensorboard: str | None = Field(None, description="a folder with event files of TensorBoard, or such a file")

    @property
    def sources(self) -> dict[str, Any]:
        """What is to be read besides lines of JSON, by key; plain JSON types."""
        return {key: value for key, value in self.plain().items() if key != "page" and value is not None}


class Confirm(Section):
    """At the end of the sweep: is the winner really better? As `hpo confirm` does it."""

    top: Count = Field(3, description="the best so many trials compete")
    seeds: int = Field(5, ge=2, le=10_000, description="each with so many fresh seeds")


KeptFiles = Literal["best", "all", "none"]  # of which trials


class Keep(Section):
    """What of trials stays when they have ended."""

    models: Count = Field(3, description="of a Torch task: the weights of so many trials stay, those of the best")
    files: KeptFiles = Field("best", description="of functions and programs: whose files become MLflow's artefacts")


class Neighbour(Section):
    """A trial that trained in one stack with another."""

    params: dict[str, Any] = Field(description="its hyperparameters")
    seed: Seed = Field(description="its seed")
    epochs: Count | None = Field(None, description="that it trains; default: the objective's own")
    until: Count | None = Field(None, description="the epoch after which it was pruned")


class Stack(Section):
    """The stack that a trial trained in, which its rounding depends on. `hpo best --format yaml` writes it."""

    place: Natural = Field(description="of the trial itself among the others, from 0")
    others: list[Neighbour] = Field(min_length=1, description="they train again beside it; nothing of them is recorded")


def _study_name(name: str) -> str:
    if fault := study_name_fault(name):
        raise ValueError(fault)
    return name


Name = Annotated[str, Field(pattern=STUDY_NAME), AfterValidator(_study_name)]
Distribution = Literal[
    "constant", "categorical", "categorical_w_probabilities", "uniform", "int_uniform", "q_uniform",
    "log_uniform_values", "q_log_uniform_values", "inv_log_uniform_values", "log_uniform", "q_log_uniform",
    "inv_log_uniform",
]  # fmt: skip


class ParameterKeys(Section):
    """One entry of `parameters`. Which keys go together, and that min and max are finite, is checked in
    hpo.spec.parameters."""

    model_config = ConfigDict(allow_inf_nan=True)

    value: Any = Field(None, description="a constant")
    values: list[Any] | None = Field(None, description="choices")
    probabilities: list[float] | None = Field(None, description="a weight for each of `values`; they sum to 1")
    min: Number | None = Field(None, description="the smallest value of a range")
    max: Number | None = Field(None, description="the largest; of whole numbers where both are whole")
    distribution: Distribution | None = Field(None, description="how values are spread (default: evenly)")
    q: Positive | None = Field(None, description="steps of this size, counted from `min`")
    parameters: dict[str, Any] | None = Field(None, description="nested parameters, named outer.inner")
    when: dict[str, Any] | None = Field(None, description="active only while these conditions hold")
    description: str | None = Field(None, description="in your words; without effect")


@dataclass(frozen=True, kw_only=True)
class TrialKeys:
    """Keys at the top level of a sweep file that say what trials are and how they run."""

    objective: Annotated[str | None, says("module, module:attribute, or path/to/file.py:attribute")] = None
    program: Annotated[str | None, says("a script, run once a trial with --name=value arguments")] = None
    early_terminate: Annotated[EarlyTerminate, says("when a trial is stopped early; a rule, its name, or a list")] = (
        field(default_factory=lambda: NoStopKeys(type="none"))
    )
    retry: Retry = field(default_factory=Retry)
    duplicates: Annotated[Literal["skip", "replicate"], says("whether one configuration is trained twice")] = "skip"
    checkpoint_seconds: Annotated[
        int, Field(ge=0, le=10**9), says("training time between two checkpoints of a trial; 0: none")
    ] = 60
    repeats: Annotated[
        int, Field(ge=1, le=100), says("seeds that each trial of a Torch task is trained with; its value is the mean")
    ] = 1
    seed: Annotated[int, Field(ge=0), says("seeds the sampler and, with its number, each trial")] = 0
    trial_seed: Annotated[Seed | None, says("one seed for all trials, instead of one drawn for each")] = None
    engine: Annotated[Engine, says("where trials run, and how many at a time")] = field(default_factory=LocalEngineKeys)


@dataclass(frozen=True, kw_only=True)
class PlainKeys(TrialKeys):
    """The keys at the top level of a sweep file that a Sweep has as they are. One more here, or in TrialKeys, is
    validated, is in the JSON schema, is an attribute of Sweep, and is in both records."""

    confirm: Confirm | None = None
    report: ReportKeys = field(default_factory=ReportKeys)
    keep: Annotated[Keep | None, says("what of trials stays when they have ended")] = None
    references: Annotated[
        Literal["auto", "off"] | Annotated[list[ReferenceName], Field(min_length=1)],
        says("scikit-learn's models with their defaults, measured beside the trials of a table task"),
    ] = "auto"
    health: Annotated[
        bool, says("measure gradients, updates and activations of a Torch task's layers, to diagnose its trainings")
    ] = False
    stack: Annotated[Stack | None, says("trains one configuration exactly as it was trained among others")] = None


if TYPE_CHECKING:
    MetricKeys = Metric
    BudgetKeys = Budget
else:
    MetricKeys, BudgetKeys = section_of(Metric), section_of(Budget)


class FileKeys(Section):
    """The top level of a sweep file."""

    # Besides PlainKeys: what a Sweep has of these is worked out when the file is loaded.

    name: Name | None = Field(None, description="study name (default: the file's stem)")
    description: str | None = Field(None, description="what the sweep is about, for MLflow and reports")
    command: list[Word] | None = Field(None, description="how the program is run, with W&B's macros")
    data: dict[str, Any] = Field({}, description="handed to the objective")
    metric: MetricKeys
    method: MethodName = Field("tpe", description="how configurations are proposed; bayes is tpe")
    budget: BudgetKeys = BudgetKeys()
    run_cap: Count | None = Field(None, description="W&B's name of budget.trials")
    parameters: dict[str, ParameterKeys] = Field(
        {}, description="the search space; without it, a function asks for its own (trial.suggest_float, as in Optuna)"
    )
    forbid: list[dict[str, Any]] = Field([], max_length=1000, description="configurations that are never proposed")
    baselines: list[dict[str, Any]] = Field([], max_length=1000, description="configurations that are tried first")


SweepKeys = section_of(PlainKeys, FileKeys, "SweepKeys")  # the whole top level

# Keys of W&B's service: they say where its server keeps the sweep, which means nothing here.
SERVICE_KEYS = (
    "project", "entity", "controller", "job", "image_uri", "scheduler", "launch", "imports", "apiVersion", "kind",
)  # fmt: skip
SERVICE_KEYS_OF_METRIC = ("impute", "impute_while_running")  # what its search makes of runs that failed or still run


def replaced_by(path: Sequence[str | int]) -> frozenset[str]:
    """Return the keys of a parameter that a key replaces when it is set by itself: a constant, choices and a range are
    three ways to say what a parameter is. path: of the key that is set; () of any that is none of these."""
    rest = tuple(path)
    while len(rest) > 2 and rest[0] == "parameters":  # of a group's parameter the group, then its own
        rest = rest[2:]
    if len(path) < 3 or len(rest) != 1:
        return frozenset()
    return _REPLACED.get(str(rest[0]), frozenset())


_RANGE, _CHOICES = frozenset({"min", "max", "q", "distribution"}), frozenset({"values", "probabilities"})
_REPLACED = {
    "value": _CHOICES | _RANGE,
    "values": _RANGE | {"value"},
    **dict.fromkeys(("min", "max"), _CHOICES | {"value"}),
}


def long_form(key: str, value: Any) -> Any:
    """Return a top-level key's value with its short form written out: `asha` is short for {type: asha}, also in a list
    of stopping rules, and `true` of `report` for {page: true}."""
    if key == "report" and isinstance(value, bool):
        return {"page": value}
    if key != "early_terminate":
        return value
    if isinstance(value, list):
        return [{"type": each} if isinstance(each, str) else each for each in value]
    return {"type": value or "none"} if value is None or isinstance(value, str) else value
