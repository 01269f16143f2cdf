"""The sections of a sweep file, apart from its parameters: which keys, which types, which defaults.

These models are the one place of that knowledge: validation, `hpo schema` and the docs come from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    WrapValidator,
)
from pydantic_core import ErrorDetails

from hpo.section import Natural, Positive, Section
from hpo.spec.faults import ConfigPath, Fault, did_you_mean
from hpo.spec.names import name_fault
from hpo.spec.space import show
from hpo.stopping.none import NoStopKeys
from hpo.stopping.rules import RULES, EarlyTerminate


def _metric_name(name: str) -> str:
    if fault := name_fault(name):
        raise ValueError(fault)
    return name


def _keep_whole(value: Any, validate_float: Callable[[Any], float]) -> float:
    return value if type(value) is int else validate_float(value)


Number = Annotated[float, WrapValidator(_keep_whole)]  # a whole number keeps its type and all its digits
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what PyTorch's generators take


class Metric(Section):
    name: Annotated[str, AfterValidator(_metric_name)] = Field(
        min_length=1, description="a metric that the objective reports, e.g. val_accuracy"
    )
    goal: Literal["minimize", "maximize"] | None = Field(None, description="default: the metric's own; else minimize")
    target: float | None = Field(None, description="no more trials are started once a trial reaches this value")


class Budget(Section):
    trials: PositiveInt | None = Field(None, description="trials that end complete or pruned")
    epochs: PositiveInt | None = Field(None, description="epochs of a trial, where `epochs` is no parameter")
    seconds: Positive | None = Field(None, description="wall time, over all the times that the sweep was run")
    failures: Natural | None = Field(None, description="failed trials after which the sweep stops (default: trials/2)")
    trial_seconds: Positive | None = Field(None, description="wall time of one trial; then it fails (timeout)")
    stall_seconds: Positive | None = Field(
        None, description="time without any report after which a trial fails (timeout) and its worker is replaced"
    )


class Retry(Section):
    """How often a trial that failed is run again, by the kind of its failure."""

    error: Natural = Field(0, description="the objective raised: the same parameters and seed mostly raise again")
    out_of_memory: Natural = Field(1, description="run again alone, after the batch was split if that is possible")
    timeout: Natural = Field(0, description="it took too long: it would again")
    died: Natural = Field(2, description="its worker was killed or exited")
    lost: Natural = Field(
        10, description="Ray only: the machine of its worker went away, which is no fault of the trial"
    )


class LocalEngine(Section):
    type: Literal["local"] = "local"
    workers: Literal["auto"] | Natural = Field("auto", description="processes; auto: one a core or GPU; 0: in-process")
    workers_per_gpu: PositiveInt = Field(1, description="workers that share one GPU")
    memory_gb: Positive | None = Field(None, description="host memory that a worker may allocate; then: MemoryError")
    cohort: Literal["auto", "off", False] | PositiveInt = Field("auto", description="trials that train as one stack")
    compile: bool = Field(False, description="torch.compile for stacks: tens of seconds for each, for long trials")


def _whole_above_one(amount: float) -> float:
    if amount > 1 and not float(amount).is_integer():
        raise ValueError(f"must be a whole number where it is above 1, but got {amount:g}")
    return amount


def _address(address: str) -> str:
    if address in ("auto", "local") or re.fullmatch(r"[^\s:/]+:\d{1,5}", address):
        return address
    raise ValueError(f"must be auto, local or host:port (the port of `ray start --head`), but got {address!r}")


Share = Annotated[float, Field(ge=0), AfterValidator(_whole_above_one)]  # of something that Ray hands out


class RayEngine(Section):
    type: Literal["ray"]
    address: Annotated[str, AfterValidator(_address)] = Field(
        "auto", description="host:port of a cluster; local: start one here; auto: the one that runs, else local"
    )
    workers: Literal["auto"] | PositiveInt = Field("auto", description="auto: as many as the cluster has room for")
    cpus_per_worker: Annotated[Share, Field(gt=0)] = Field(1, description="cores; as many threads train")
    gpus_per_worker: Share = Field(0, description="e.g. 0.25: four workers share a GPU; 0: none is used")
    resources: dict[str, Share] = Field({}, description="custom resources of Ray that a worker takes, e.g. {a100: 1}")
    memory_gb: Positive | None = Field(None, description="memory a worker takes and may allocate; then: MemoryError")
    files: list[str] = Field([], description="further files and folders that the objective reads: sent to the workers")
    cohort: Literal["auto", "off", False] | PositiveInt = Field("auto", description="trials that train as one stack")
    compile: bool = Field(False, description="torch.compile for stacks: tens of seconds for each, for long trials")


Engine = Annotated[LocalEngine | RayEngine, Field(discriminator="type")]


class Confirm(Section):
    top: PositiveInt = 3
    seeds: int = Field(5, ge=2)


Method = Literal["random", "grid", "tpe", "gp", "cmaes", "nsga2", "qmc", "bayes"]
Name = Annotated[str, Field(pattern=r"^[\w][\w .+-]*$", max_length=200)]
Distribution = Literal[
    "constant", "categorical", "uniform", "int_uniform", "q_uniform", "log_uniform_values", "q_log_uniform_values",
    "log_uniform", "q_log_uniform",
]  # fmt: skip


class ParameterKeys(Section):
    """One entry of `parameters`. Which keys go together, and that min and max are finite, is checked in
    hpo.spec.parameters."""

    model_config = ConfigDict(allow_inf_nan=True)

    value: Any = Field(None, description="a constant")
    values: list[Any] | None = Field(None, description="choices")
    probabilities: list[float] | None = Field(None, description="a weight for each of `values`; they sum to 1")
    min: Number | None = None
    max: Number | None = None
    distribution: Distribution | None = None
    q: Positive | None = Field(None, description="steps of this size, counted from `min`")
    parameters: dict[str, Any] | None = Field(None, description="nested parameters, named outer.inner")
    when: dict[str, Any] | None = Field(None, description="active only while these conditions hold")
    description: str | None = None


class SweepKeys(Section):
    """The top level of a sweep file."""

    name: Name | None = Field(None, description="study name (default: the file's stem)")
    description: str | None = None
    objective: str | None = Field(None, description="module, module:attribute, or path/to/file.py:attribute")
    program: str | None = Field(None, description="a script, run once a trial with --name=value arguments")
    command: list[str] | None = Field(None, description="how the program is run, with W&B's macros")
    data: dict[str, Any] = Field({}, description="handed to the objective")
    metric: Metric
    method: Method = "tpe"
    early_terminate: EarlyTerminate = NoStopKeys(type="none")
    budget: Budget = Budget()
    retry: Retry = Retry()
    duplicates: Literal["skip", "replicate"] = Field("skip", description="whether one configuration is trained twice")
    checkpoint_seconds: Natural = Field(60, description="training time between two checkpoints of a trial; 0: none")
    run_cap: PositiveInt | None = Field(None, description="W&B's name of budget.trials")
    seed: Natural = Field(0, description="seeds the sampler and, with its number, each trial")
    trial_seed: Seed | None = Field(None, description="one seed for all trials, instead of one drawn for each")
    parameters: dict[str, ParameterKeys]
    forbid: list[dict[str, Any]] = Field([], description="configurations that are never proposed")
    baselines: list[dict[str, Any]] = Field([], description="configurations that are tried first")
    engine: Engine = LocalEngine()
    confirm: Confirm | None = None


# Keys of W&B's service: they say where its server keeps the sweep, which means nothing here.
SERVICE_KEYS = ("project", "entity", "controller", "job", "image_uri")


def validate_section(key: str, value: Any, path: ConfigPath) -> tuple[Any, list[Fault]]:
    """Validate one top-level section; return its model (None if faulty) and the faults."""
    if key == "engine" and isinstance(value, dict) and "type" not in value:
        value = {**value, "type": "local"}
    if key == "early_terminate" and (value is None or isinstance(value, str)):
        value = {"type": value or "none"}
    return validate(_adapter(key), value, path, _known_keys(key, value))


@lru_cache
def _adapter(key: str) -> TypeAdapter[Any]:
    field = SweepKeys.model_fields[key]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]


def validate(
    adapter: TypeAdapter[Any], value: Any, path: ConfigPath, keys: Iterable[str] = ()
) -> tuple[Any, list[Fault]]:
    """Validate a value; return the result (None if faulty) and one fault for each place that is wrong.

    keys: the keys that are known in it, for suggestions.
    """
    try:
        return adapter.validate_python(value, strict=True), []
    except ValidationError as error:
        faults: dict[ConfigPath, Fault] = {}
        for details in error.errors(include_url=False):
            fault = _fault(details, value, path, keys)
            if (other := faults.get(fault.path)) is not None:  # a union: its members' rules are alternatives
                rule = other.message.partition(", but got")[0]
                fault = replace(fault, message=f"{rule} or {fault.message.removeprefix('must be ')}")
            faults[fault.path] = fault
        return None, list(faults.values())


def _known_keys(key: str, value: Any) -> list[str]:
    models: list[type[Section]] = {
        "metric": [Metric],
        "budget": [Budget],
        "retry": [Retry],
        "confirm": [Confirm],
        "engine": [LocalEngine, RayEngine],
        "early_terminate": list(RULES),
    }.get(key, [])  # type: ignore[assignment]
    kind = value.get("type") if isinstance(value, dict) else None
    fitting = [
        model for model in models if "type" not in model.model_fields or kind in get_args(get_type_hints(model)["type"])
    ]
    return [name for model in fitting or models for name in model.model_fields]


def _fault(details: ErrorDetails, section: Any, path: ConfigPath, keys: Iterable[str]) -> Fault:
    """Put one of pydantic's errors into our words: the rule, the value, the remedy."""
    where = (*path, *_location(details, section))
    given = details["input"]
    got = f", but got {given!r}" if isinstance(given, str) else f", but got {show(given)}"
    context = details.get("ctx", {})
    kind = details["type"]
    if kind == "extra_forbidden":
        return Fault(f"unknown key {str(where[-1])!r}", where, remedy=did_you_mean(str(where[-1]), keys))
    if kind == "missing":
        return Fault(f"the key {str(where[-1])!r} is missing", where[:-1], remedy=f"add '{where[-1]}: ...'")
    if kind == "union_tag_invalid":
        options = [option.strip("' ") for option in str(context["expected_tags"]).split(",")]
        tag = str(context["tag"])
        return Fault(f"unknown type {tag!r}", (*where, "type"), remedy=did_you_mean(tag, options))
    if kind == "union_tag_not_found":
        return Fault("the key 'type' is missing", where, remedy="say which, e.g. {type: asha}")
    if kind == "literal_error":
        options = [option.strip("' ") for option in str(context["expected"]).replace(" or ", ", ").split(",")]
        hint = did_you_mean(str(given), options)
        remedy = hint if hint.startswith("did you mean") else ""
        return Fault(f"must be {_any_of(options)}{got}", where, remedy=remedy)
    rule = {
        "int_type": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "string_type": "must be text",
        "bool_type": "must be true or false",
        "list_type": "must be a list",
        "dict_type": "must be a mapping",
        "model_type": "must be a mapping",
        "model_attributes_type": "must be a mapping",
        "greater_than": f"must be greater than {show(context.get('gt'))}",
        "greater_than_equal": f"must be at least {show(context.get('ge'))}",
        "less_than": f"must be less than {context.get('lt')}",
        "less_than_equal": f"must be at most {show(context.get('le'))}",
        "string_pattern_mismatch": "must be letters, digits, spaces and . _ + - only, and begin with a letter or digit",
        "string_too_short": "must not be empty",
        "finite_number": "must be finite",
        "value_error": str(context.get("error")),
    }.get(kind, details["msg"])
    return Fault(rule if kind == "value_error" else rule + got, where)


def _any_of(options: list[str]) -> str:
    return options[0] if len(options) == 1 else "one of " + ", ".join(options)


def _location(details: ErrorDetails, section: Any) -> ConfigPath:
    """Return the error's path as it stands in the file: pydantic adds the names of union members to it."""
    path: list[str | int] = []
    container = section
    last = len(details["loc"]) - 1
    for index, part in enumerate(details["loc"]):
        in_list = isinstance(container, list) and isinstance(part, int)
        if in_list or (isinstance(container, dict) and part in container):
            path.append(part)
            container = container[part]
        elif index == last and details["type"] == "missing":
            path.append(part)
    return tuple(path)
