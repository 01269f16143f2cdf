"""What a function returns: its trial's value, and metrics beside it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from hpo.objective.values import as_number
from hpo.spec.names import clash_fault, clashes, name_fault
from hpo.spec.plain import shown


def value_of(result: Any, metric: str, seen: Collection[str], as_optuna: bool) -> float | None:
    """Return the trial's value from what its function returned; None: its last report of the metric counts.

    seen: the metrics that it reported. as_optuna: the function asks for its hyperparameters as it would ask Optuna, and
    fails where Optuna fails it. Raises TypeError or ValueError for what is no value, with what to return instead.
    """
    if isinstance(result, Mapping):
        if metric not in result:
            names = sorted(map(str, result))
            raise ValueError(f"the objective returned {names}, without the metric {metric!r}")
        result = result[metric]
    if isinstance(result, tuple | list) and len(result) == 1 and as_optuna:
        result = result[0]  # as Optuna takes it
    elif isinstance(result, tuple | list):
        raise TypeError(
            f"what the objective returns must be a number, but got {shown(result)}: a sweep has one metric, {metric!r} "
            f"(return a mapping, {{{metric!r}: ..., 'another': ...}}: the others are recorded beside it)"
        )
    if as_optuna:
        return _as_optuna_takes(result)
    if result is not None:
        return as_number("what the objective returns", result)
    if metric not in seen:
        said = f"reported only {', '.join(sorted(seen))}" if seen else "reported nothing"
        raise ValueError(f"the objective returned None and {said}: return or report {metric!r}")
    return None


def _as_optuna_takes(result: Any) -> float:
    if result is None:
        raise ValueError("the objective returned None, which Optuna takes for a failure, too: return the value")
    number = as_number("what the objective returns", result)
    if math.isnan(number):
        raise ValueError(
            "the objective returned nan, which Optuna takes for a failure, too (raise optuna.TrialPruned() for a "
            "trial that is no good)"
        )
    return number


def beside(result: Any, metric: str, seen: Collection[str], notes: dict[str, str]) -> dict[str, float]:
    """Return the finite numbers that a function returned beside its trial's value: metrics, too.

    notes: gets what is left out, since it is no number, or since no record could keep its name.
    """
    numbers: dict[str, float] = {}
    for name, entry in result.items() if isinstance(result, Mapping) else ():
        if name == metric:
            continue
        fault = name_fault(name) if isinstance(name, str) else "a metric's name must be text"
        clash = clashes([*seen, *numbers, metric, name]).get(name) if not fault else None
        fault = clash_fault(name, clash) if clash is not None else fault
        try:
            number = as_number(str(name), entry)
        except TypeError as error:
            number, fault = math.nan, str(error)
        if fault:
            notes.setdefault("returned", f"{shown(name)} of what the objective returned is left out: {fault}")
        elif math.isfinite(number):
            numbers[name] = number
    return numbers
