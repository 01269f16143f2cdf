"""A sweep file becomes a Sweep, or an error that names every fault in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpo.spec import key_rules, rules
from hpo.spec.baselines import complete_baseline
from hpo.spec.census import size_of
from hpo.spec.contract import Contract
from hpo.spec.faults import Bug, Fault, Misread, SpecError, did_you_mean, reading, shortened
from hpo.spec.grammar import SERVICE_KEYS, SERVICE_KEYS_OF_METRIC, MetricKeys, PlainKeys, SweepKeys
from hpo.spec.methods import ALIASES, METHODS
from hpo.spec.named import Inspect, Inspection, Named
from hpo.spec.names import COMPLETED
from hpo.spec.parameters import Parsed, order_by_conditions, parse_parameters
from hpo.spec.recordable import unrecordable
from hpo.spec.source import Source, apply_override, read_source
from hpo.spec.space import Categorical, Constant, Space
from hpo.spec.sweep import AsWritten, Limits, Sweep, Target, Traits, failures_borne
from hpo.spec.validation import validate_section

DEFAULT_TRIALS = 100
_LARGEST_GRID = 1_000_000  # that is run to its end where no budget is given


def load_sweep(path: Path, inspect: Inspect, overrides: Sequence[str] = ()) -> Sweep:
    """Read, override and check a sweep file. Raises SpecError with all its faults, Bug if the reading itself fails."""
    with bugs_told(Source(str(path), {}), path), reading():
        source = read_source(path)
        faults = [fault for fault in (apply_override(source, text) for text in overrides) if fault]
    sweep = make_sweep(source, path, inspect, faults)
    return dataclasses.replace(sweep, written=dataclasses.replace(sweep.written, overrides=tuple(overrides)))


def make_sweep(source: Source, path: Path, inspect: Inspect, faults: list[Fault]) -> Sweep:
    """Check what a sweep file says. path: where it lies. faults: those that are known already.

    Raises SpecError with all its faults, Bug if the reading itself fails.
    """
    if found := list(unrecordable(source.data)):
        raise SpecError([fault if fault.source else source.locate(fault) for fault in (*faults, *found)], path)
    with bugs_told(source, path), reading():
        return _make_sweep(source, path, inspect, faults)


@contextmanager
def bugs_told(source: Source, path: Path) -> Iterator[None]:
    """Turn Misread into Bug, with the line of the key that was read."""
    try:
        yield
    except Misread as misread:
        error = misread.__cause__
        message = f"hpo itself failed here, by {type(error).__name__}: {shortened(str(error))}"
        fault = source.locate(Fault(message, misread.path, remedy="a bug in hpo: please report it, with the file"))
        raise Bug([fault], path) from error


def _make_sweep(source: Source, path: Path, inspect: Inspect, faults: list[Fault]) -> Sweep:
    notes: list[str] = []
    keys, found = _sections(source, notes)
    faults += found

    parsed = Parsed()
    if "parameters" in source.data:
        parsed = parse_parameters(source.data["parameters"], merge=keys["program"] is not None)
        notes += parsed.notes
    inspection = _inspect_objective(keys, path, list(parsed.places), inspect, faults)
    contract = inspection.contract
    notes += inspection.notes
    if "parameters" not in source.data and inspection.define_by_run:
        faults += key_rules.check_define_by_run(_method(keys), source.data)
        keys["duplicates"] = "replicate"  # what a trial asks for is known when it runs
    elif "parameters" not in source.data and not inspection.faults:
        remedy = "add parameters: ..., or have a function ask for them: trial.suggest_float(...), as in Optuna"
        remedy += "; where its code doesn't show that, say so: def objective(trial: optuna.Trial)"
        faults.append(Fault("the key 'parameters' is missing", remedy=remedy))
    if source.data.get("metric") is None:
        faults = _default_metric(keys, inspection, faults, notes)
    sound = not parsed.faults and "parameters" in source.data
    if contract is not None:
        rules.correct_names(parsed, contract)
    misspelt = len(parsed.faults)
    ordered = order_by_conditions(parsed)
    sound = sound and len(parsed.faults) == misspelt
    faults += parsed.faults
    space = Space(tuple(ordered))
    if sound:
        forbidding = dataclasses.replace(space, forbid=tuple(keys["forbid"]))
        with reading(("forbid",)):
            found = list(rules.check_forbid(forbidding, parsed.places))
        space = space if found else forbidding  # nothing else is judged by clauses that are faulty
        faults += [*found, *METHODS[_method(keys)].objections(space)]

    if inspection.as_text is not None:
        faults += rules.check_told_apart(space, inspection.as_text, parsed.places)
    if keys["engine"].workers != 1:
        notes += key_rules.shared_files(keys["report"].sources)
    notes += key_rules.flags_given_values(space, inspection.flags)
    metric = keys["metric"]
    if contract is not None:
        with reading(("parameters",)):
            faults += rules.check_hyperparameters(space, contract, parsed.places)
        if metric is not None:
            faults += rules.check_metric(metric.name, metric.goal, space, contract)
    baselines = []
    for index, baseline in enumerate(keys["baselines"] if sound else ()):
        with reading(("baselines", index)):
            params, found = complete_baseline(baseline, index, space, contract, parsed.places)
        baselines.append(params)
        faults += found

    if keys["stack"] is not None and sound:
        faults += key_rules.check_stack(keys["stack"], space, contract)
    if contract is None and isinstance(keys["engine"].cohort, int) and keys["engine"].cohort > 1 and not faults:
        message = f"a cohort of {keys['engine'].cohort} needs a Torch task: functions and programs train one by one"
        faults.append(Fault(message, ("engine", "cohort"), remedy="cohort: auto"))
    if keys["keep"] is not None and not faults:
        given = source.data["keep"] if isinstance(source.data.get("keep"), Mapping) else {}
        faults += key_rules.check_keep(given, keys["data"], contract, keys["program"] is not None)
    if "references" in source.data and not faults and metric is not None:
        faults += key_rules.check_references(keys["references"], inspection.is_table, keys["data"], metric.name, notes)
    faults += key_rules.check_health(keys["health"], contract) if not faults else ()
    faults += key_rules.check_repeats(keys["repeats"], space, contract) if not faults else ()
    name, found = (keys["name"], []) if keys["name"] else validate_section("name", path.stem, ("name",))
    faults += [dataclasses.replace(fault, remedy="give the sweep a name: ...") for fault in found]
    limits = _limits(keys, space, contract, faults, notes)
    goal = rules.goal_of(metric, contract, faults, notes) if metric is not None else None
    if faults or metric is None:
        raise SpecError([fault if fault.source else source.locate(fault) for fault in faults], path)
    sweep = Sweep(
        name=name,
        source=path,
        text=source.text,
        metric=Target(**dict(metric) | {"goal": goal, "at": metric.at or "last"}, at_given=metric.at is not None),
        space=space,
        budget=limits,
        command=tuple(keys["command"] or ()),
        data=inspection.data if inspection.data is not None else keys["data"],
        written=AsWritten(
            keys["data"],
            sources=inspection.sources,
            places={name: source.locate(Fault("", place)) for name, place in parsed.places.items()},
        ),
        method=_method(keys),
        baselines=tuple(baselines),
        description=keys["description"] or "",
        traits=Traits(
            reports_each_epoch=contract is not None,
            shape_parameters=shape_parameters(space, contract),
            libraries=inspection.libraries,
            folds=inspection.folds,
            has_references=key_rules.has_references(inspection.is_table, keys["data"], metric.name),
            kind_found=contract.kind_found if contract is not None else "",
            define_by_run="parameters" not in source.data,
        ),
        **{key.name: keys[key.name] for key in dataclasses.fields(PlainKeys)},
    )
    return dataclasses.replace(sweep, notes=(*notes, *_remarks(sweep)))


def _sections(source: Source, notes: list[str]) -> tuple[dict[str, Any], list[Fault]]:
    """Validate each top-level section by itself; a faulty or absent one has its default, `metric` None."""
    known = list(SweepKeys.model_fields)
    keys = {key: model.get_default() for key, model in SweepKeys.model_fields.items() if key != "metric"}
    keys["metric"] = None
    faults: list[Fault] = []
    for key, value in source.data.items():
        if key in SERVICE_KEYS:
            notes.append(f"'{key}' is a key of W&B's service; it has no meaning here")
        elif key not in known:
            faults.append(Fault(f"unknown key {key!r}", (key,), remedy=did_you_mean(key, known)))
        elif key != "parameters":
            if key == "metric" and isinstance(value, Mapping):
                unused = [each for each in SERVICE_KEYS_OF_METRIC if each in value]
                notes += [f"'metric.{each}' is a key of W&B's service; it has no meaning here" for each in unused]
                value = {each: entry for each, entry in value.items() if each not in unused}
            with reading((key,)):
                section, found = validate_section(key, value, (key,))
            faults += found
            keys[key] = section if not found else keys[key]
    if source.data.get("metric") is None and key_rules.needs_no_metric(keys):
        keys["metric"] = MetricKeys(name=COMPLETED, goal="maximize")
        faults = [fault for fault in faults if fault.path != ("metric",)]  # `metric:` with nothing behind it
        notes.append(
            f"the file names no metric: trials are run and recorded, but none is better than another (each has "
            f"{COMPLETED}: 1; add metric: {{name: ..., goal: ...}})"
        )
    elif "metric" not in source.data:
        example = "metric: {name: val_accuracy, goal: maximize}"
        faults.append(Fault("the key 'metric' is missing", remedy=f"add {example}"))
    return keys, faults


_NO_METRIC = "the key 'metric' is missing"


def _default_metric(keys: dict[str, Any], inspection: Inspection, faults: list[Fault], notes: list[str]) -> list[Fault]:
    """Give a file that names no metric the objective's own, if it has one; return the faults that are left."""
    contract = inspection.contract
    if contract is None:  # which metric it is follows from its data, if these are at fault
        needless = any(fault.path[:1] == ("data",) for fault in inspection.faults)
    elif needless := bool(contract.default_metric):
        metric = contract.default_metric
        keys["metric"] = MetricKeys(name=metric)
        notes.append(f"the file names no metric: {contract.metrics[metric].goal} {metric} (metric.name says another)")
    return (
        [fault for fault in faults if fault.path != ("metric",) and fault.message != _NO_METRIC] if needless else faults
    )


def _method(keys: Mapping[str, Any]) -> str:
    name: str = keys["method"]
    return ALIASES.get(name, name)


def _inspect_objective(
    keys: Mapping[str, Any], path: Path, parameters: list[str], inspect: Inspect, faults: list[Fault]
) -> Inspection:
    """Look at the objective, if the file names exactly one; its faults are added."""
    objective, program, command = keys["objective"], keys["program"], keys["command"]
    if (objective is None) == (program is None):
        if not any(fault.path in (("objective",), ("program",)) for fault in faults):
            what = "both are here" if objective else "neither is here"
            faults.append(
                Fault(f"a sweep names an 'objective' or a 'program', but {what}", remedy="objective: objectives.binary")
            )
        return Inspection()
    if command is not None and program is None:
        faults.append(Fault("'command' says how a 'program' is run, but there is no program", ("command",)))
    metric = keys["metric"].name if keys["metric"] else ""
    folder = path.resolve().parent
    sources = keys["report"].sources
    if sources and program is None:
        message = "of a function or a Torch task all reports are known: these are a program's"
        faults += [Fault(message, ("report", key), remedy=f"leave {key!r} out") for key in sources]
    named = Named(
        objective, program, tuple(command or ()), keys["data"], metric, tuple(parameters), folder, keys["repeats"],
        sources,
    )  # fmt: skip
    with reading(("objective",) if objective is not None else ("program",)):
        inspection = inspect(named)
    faults += inspection.faults
    return inspection


def _limits(
    keys: Mapping[str, Any], space: Space, contract: Contract | None, faults: list[Fault], notes: list[str]
) -> Limits:
    """Work out the budget from `budget`, `run_cap`, the grid's size and the objective's default."""
    budget, run_cap = keys["budget"], keys["run_cap"]
    trials = budget.trials or run_cap
    if budget.trials and run_cap and budget.trials != run_cap:
        faults.append(
            Fault(f"run_cap is {run_cap}, but budget.trials is {budget.trials}", ("run_cap",), remedy="keep one")
        )
    if keys["method"] == "grid" and (size := size_of(space)) is not None and space.parameters:
        if trials and trials < size:
            notes.append(f"the grid has {size:,} configurations; the budget runs the first {trials:,} of them")
        if not trials and size > _LARGEST_GRID:
            trials = DEFAULT_TRIALS
            notes.append(f"no budget in the file: the first {trials} of the grid's {size:,} configurations are run")
        trials = min(trials or size, size)
    if not trials:
        trials = DEFAULT_TRIALS
        notes.append(f"no budget in the file: {trials} trials (set budget.trials)")
    epochs = budget.epochs
    if "epochs" in space and contract is not None:
        most = space["epochs"].domain.largest()
        if epochs is not None and most is not None and most > epochs:
            faults.append(
                Fault(
                    f"budget.epochs >= epochs must hold, but got {epochs} and {most:g}",
                    ("budget", "epochs"),
                    remedy="keep one",
                )
            )
    elif epochs is None and contract is not None:
        epochs = contract.default_epochs
    failures = budget.failures if budget.failures is not None else failures_borne(trials)
    return Limits(**dict(budget) | {"trials": trials, "epochs": epochs, "failures": failures})


def shape_parameters(space: Space, contract: Contract | None) -> tuple[str, ...] | None:
    """Return the searched parameters that decide which trials can train as one stack; None: none can."""
    if contract is None:
        return None
    searched = [parameter.name for parameter in space.parameters if not isinstance(parameter.domain, Constant)]
    return tuple(name for name in searched if not contract.parameters[name].mixes)


def _remarks(sweep: Sweep) -> list[str]:
    """Return what the user should know of settings that have less effect than they may expect."""
    remarks = sweep.early_terminate.remarks(sweep.max_epochs() if sweep.traits.reports_each_epoch else None)
    size = size_of(sweep.space) if sweep.duplicates == "skip" and sweep.method != "grid" else None
    if size is not None and size < sweep.budget.trials:
        remarks.append(f"the space has {size:,} configurations, fewer than budget.trials: the sweep ends with the last")
    weighted = [p.name for p in sweep.space.parameters if isinstance(p.domain, Categorical) and p.domain.probabilities]
    if weighted and sweep.method == "grid":
        remarks.append(f"the probabilities of {', '.join(weighted)} have no effect in a grid")
    if sweep.resampled and not sweep.traits.reports_each_epoch:
        remarks.append("'data.resample' goes to your code: of functions and programs nobody else can cut the rows")
    elif sweep.data.get("resample") == "reshuffle" and sweep.trial_seed is not None and sweep.budget.trials > 1:
        remarks.append("'trial_seed' gives all trials one seed, so 'reshuffle' gives them all the same split")
    if sweep.confirm is not None and not sweep.baselines and not sweep.traits.reports_each_epoch:
        both = "'parameters' and 'baselines'" if sweep.traits.define_by_run else "'baselines'"
        remarks.append(f"'confirm' has nothing to judge the winner against: give the file {both}")
    return remarks
