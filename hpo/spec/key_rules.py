"""Rules for keys of a sweep file that mean something for some objectives only: programs, Torch tasks, tables.

Each rule is a function that yields faults, or notes; none depends on another having passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpo.spec.contract import Contract
from hpo.spec.faults import ConfigPath, Fault, did_you_mean
from hpo.spec.grammar import Keep, Stack
from hpo.spec.methods import UNGUIDED
from hpo.spec.space import Constant, Range, Space


def flags_given_values(space: Space, flags: Mapping[str, str]) -> Iterator[str]:
    """Yield a note for each boolean parameter that its program takes as a flag. flags: those, with what to write."""
    for parameter in space.parameters:
        choices = () if isinstance(parameter.domain, Range) else parameter.domain.choices() or ()
        if parameter.name in flags and any(isinstance(value, bool) for value in choices):
            name = parameter.name
            yield (
                f"the program takes --{name} as a flag, without a value, and so refuses --{name}=True: write "
                f"{flags[name]}"
            )


def shared_files(sources: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note for each file that all trials of a program would write their reports into. sources: by their keys of
    `report`."""
    for key in ("csv", "tensorboard"):
        if key in sources and "${HPO_FOLDER}" not in sources[key] and "${HPO_TRIAL}" not in sources[key]:
            yield (
                f"report.{key} names one place for all trials, so those that run at the same time would mix: give each "
                f"its own, as in ${{HPO_FOLDER}}/..., or set engine.workers: 1"
            )


def needs_no_metric(keys: Mapping[str, Any]) -> bool:
    """Whether a file without a metric can be run, as W&B runs it: of a program, by a method that looks at no values,
    and without a stopping rule, which looks at them. keys: its valid keys."""
    unguided = keys["method"] in UNGUIDED
    return keys["program"] is not None and unguided and keys["early_terminate"].type == "none"


def check_stack(stack: Stack, space: Space, contract: Contract | None) -> Iterator[Fault]:
    """A stack belongs to one configuration of a Torch task; its other trials have hyperparameters that are known."""
    where: ConfigPath = ("stack",)
    if contract is None:
        yield Fault("'stack' needs a Torch task: functions and programs train one by one", where, remedy="drop it")
        return
    if varied := [parameter.name for parameter in space.parameters if not isinstance(parameter.domain, Constant)]:
        message = f"'stack' trains one configuration again, but {', '.join(varied)} would be searched"
        yield Fault(message, where, remedy="write 'value' for each parameter, or drop 'stack'")
    if stack.place > len(stack.others):
        yield Fault(f"must be at most {len(stack.others)}, the number of others", (*where, "place"))
    for index, other in enumerate(stack.others):
        for name, value in other.params.items():
            place, known = (*where, "others", index, "params", name), contract.parameters.get(name)
            if known is None:
                remedy = did_you_mean(name, contract.parameters)
                yield Fault(f"the objective knows no hyperparameter {name!r}", place, remedy=remedy)
            elif reason := known.objection(contract.canonical(name, value)):
                yield Fault(f"{name} {reason}", place)


def check_repeats(repeats: int, space: Space, contract: Contract | None) -> Iterator[Fault]:
    """Repeats belong to a Torch task, and a trial's seed is not searched beside them."""
    if repeats == 1:
        return
    if contract is None:
        message = (
            "'repeats' needs a Torch task: a function or a program reports the steps of one training after another"
        )
        remedy = "train with several seeds in it, and report their mean; or drop 'repeats'"
        yield Fault(message, ("repeats",), remedy=remedy)
    elif "seed" in space:
        message = f"'repeats' trains each trial with {repeats} seeds, but the hyperparameter 'seed' gives it one"
        yield Fault(message, ("repeats",), remedy="drop one of them")


def has_references(is_table: bool, data: Mapping[str, Any], metric: str) -> bool:
    """Whether other models can be measured on the very rows that all trials are measured on, by the same metric."""
    return is_table and data.get("resample") != "reshuffle" and metric.startswith("val_")


def check_keep(
    given: Mapping[str, Any], data: Mapping[str, Any], contract: Contract | None, program: bool
) -> Iterator[Fault]:
    """A trial has weights that can be kept, and they are those of one model; or files. given: the file's section."""
    why = ""
    if contract is not None and "files" in given and (given["files"] != Keep().files or "models" not in given):
        # with models, the default says nothing: `hpo refine` writes both
        message = "a trial of a Torch task has no folder of files, since many may train at once in one process"
        remedy = "leave it out: keep: {models: 3} keeps the weights of the best trials"
        yield Fault(message, ("keep", "files"), remedy=remedy)
    if contract is None:
        if given.keys() <= {"files"} or given == Keep().plain() | {"files": given.get("files")}:
            return
        place = "HPO_FOLDER" if program else "trial.folder"
        why = "only the weights of a Torch task can be kept: functions and programs save their own"
        why += f" (what they leave in {place} is kept by keep: {{files: best}})"
    elif data.get("resample") == "kfold":
        why = "there are no weights to keep: a trial trains a model for each fold, and none of these is its own"
    if why:
        yield Fault(why, ("keep",), remedy="leave 'keep' out")


def check_health(health: bool, contract: Contract | None) -> Iterator[Fault]:
    """A trial has layers that can be looked at while it trains."""
    if health and contract is None:
        message = "'health' needs a Torch task: nobody else can look into the model of a function or a program"
        remedy = (
            "leave 'health' out: what curves show is diagnosed without it; or report health/LAYER/gradient_norm "
            "and the like yourself"
        )
        yield Fault(message, ("health",), remedy=remedy)


def check_references(
    references: Any, is_table: bool, data: Mapping[str, Any], metric: str, notes: list[str]
) -> Iterator[Fault]:
    """References that are asked for by name can be had. Where `auto` finds none, a note is added that says so."""
    if has_references(is_table, data, metric):
        return
    why = f"they are measured on the validation split, but the metric is {metric}"
    if data.get("resample") == "reshuffle":
        why = "resample: reshuffle gives each trial other validation rows"
    if not is_table:
        why = "they need a table task (hpo.TableTask): of other objectives nobody knows what to fit a model on"
    if isinstance(references, list):
        yield Fault(f"there are no references here: {why}", ("references",), remedy="leave 'references' out")
    elif references == "auto":
        notes.append(f"'references' has no effect here: {why}")


def check_define_by_run(method: str, data: Mapping[str, Any]) -> Iterator[Fault]:
    """Of a space that shows itself as trials run, nothing is said that only one known beforehand has. data: the file's
    own."""
    why = "the file has no 'parameters': the objective asks for them while it runs"
    remedy = "add parameters: ..., or leave this out"
    if method == "grid":
        yield Fault(f"a grid needs to know the space, but {why}", ("method",), remedy="use method: tpe, or random")
    for key in ("forbid", "baselines"):
        if data.get(key):
            yield Fault(f"{key!r} needs to know the space, but {why}", (key,), remedy=remedy)
    if data.get("duplicates") == "skip":
        message = f"no configuration can be known to be new before it is trained: {why}"
        yield Fault(message, ("duplicates",), remedy=remedy)
