"""From the name in a sweep file to an objective, for checking it and for running it in a worker."""

from __future__ import annotations

import copy
import dataclasses
import inspect as python_inspect
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.objective import live, user_path
from hpo.objective.base import Objective
from hpo.objective.define_by_run import asks_itself
from hpo.objective.failures import one_line
from hpo.objective.locate import locate, user_folders
from hpo.objective.sources import sources_of
from hpo.objective.user_path import Clash
from hpo.spawning import path_lock
from hpo.spec.faults import Fault, SpecError, UserError
from hpo.spec.named import Inspection, Named
from hpo.spec.paths import program_path, resolve_path, with_paths
from hpo.training.task import TorchTask

if TYPE_CHECKING:  # workers come here, and need nothing that reads sweep files
    from hpo.spec.sweep import Sweep


def build(named: Named) -> Objective:
    """Return the objective that `named` names, bound to its data. Raises SpecError if there is none.

    `named` is picklable: workers build their own objective from it.
    """
    if named.program is not None:
        from hpo.objective.program import ProgramObjective

        program = program_path(named.program, named.folder)
        return ProgramObjective(
            program, named.command or None, named.metric, named.data, beside=named.folder, reports=named.reports
        )
    assert named.objective is not None
    found = _found(named.objective, named)
    if isinstance(found, type) and issubclass(found, TorchTask):
        found = found()
    if isinstance(found, TorchTask):
        from hpo.objective.torch_task import TorchObjective

        return TorchObjective(found, named.data, named.repeats)
    if not callable(found):
        raise SpecError([_fault(f"{named.objective} is no function and no TorchTask, but {type(found).__name__}")])
    _check_signature(named.objective, found)
    from hpo.objective.function import FunctionObjective

    return FunctionObjective(found, named.metric, named.data, by_run=not named.parameters, goal=named.goal)


def _found(reference: str, named: Named) -> Any:
    """Return what a reference names: what this program handed over, what came along packed, or what a file has."""
    if (known := live.find(reference, named.folder)) is not None:
        return known
    if named.packed is not None:
        user_path.enter(user_folders(reference, named.folder))
        return live.unpacked(named.packed, reference, named.folder)
    return locate(reference, named.folder)


def inspect_closely(named: Named) -> Inspection:
    """As `inspect`, and read its data to say in notes how they will be used (hpo.spec.named.Inspect)."""
    return inspect(named, closely=True)


def inspect(named: Named, closely: bool = False) -> Inspection:
    """Look at an objective without training it: its contract and its faults (hpo.spec.named.Inspect).

    The user's folders are taken off sys.path again: what this process imports later is not looked for in them.
    """
    data, faults = _resolved(named.data, named)
    if faults:
        return Inspection(faults=tuple(faults))
    named = dataclasses.replace(named, data=data)
    if named.objective is None:
        return _inspect(named, closely)
    with path_lock:
        return _inspect_among_users(named.objective, named, closely)


def _inspect_among_users(reference: str, named: Named, closely: bool) -> Inspection:
    try:
        before, folders = list(sys.path), user_folders(reference, named.folder)
    except UserError as error:
        return Inspection(faults=(_fault(str(error)),))
    clashes = user_path.enter(folders)
    try:
        inspection = _inspect(named, closely)
    finally:
        user_path.leave(folders, before)
    confused = [
        _fault(
            f"{file}:{line} imports {clash.name!r}, which may be either of two modules: {clash}",
            f"give {clash.path.name if clash.path.stem != '__init__' else clash.path.parent.name} another name",
        )
        for file, line, clash in user_path.confusions(clashes)
    ]
    notes = (_told(clashes),) if clashes and not confused else ()
    return dataclasses.replace(inspection, faults=(*inspection.faults, *confused), notes=(*inspection.notes, *notes))


def _told(clashes: Sequence[Clash]) -> str:
    first, *others = map(str, clashes)
    more = f", as have {len(others)} more" if others else ""
    return f"{first}{more}: an import of that name never finds yours (give it another name, if it is to be imported)"


def _inspect(named: Named, closely: bool) -> Inspection:
    try:
        objective = build(named)
    except SpecError as error:
        return Inspection(faults=error.faults)
    except UserError as error:
        return Inspection(faults=(Fault(str(error), ("program",)) if named.program else _fault(str(error)),))
    except Exception as error:  # the user's own code: a task's __init__, its contract
        return Inspection(faults=(_fault(f"{named.objective} raised {one_line(error)}"),))
    try:
        found = objective.check_data()
    except Exception as error:
        return Inspection(faults=(_fault(f"{named.objective}: check_data raised {one_line(error)}"),))
    faults = []
    for fault in found:
        # a program's faults name its own keys, all others are about `data`
        top = fault.path[:1] in (("program",), ("command",), ("objective",), ("report",))
        faults.append(fault if top else dataclasses.replace(fault, path=("data", *fault.path)))
    described: Sequence[str] = ()
    if closely and not faults:
        described, faults = _described(objective, named)
    return Inspection(
        objective.contract,
        tuple(faults),
        named.data,
        notes=(*described, *_passing(objective, named)),
        described=tuple(described),
        as_text=objective.as_text,
        libraries=objective.libraries,
        folds=objective.folds,
        is_table=objective.is_table,
        sources={} if faults else sources_of(named),
        flags=objective.flags,
        define_by_run=_asks_itself(objective, named),
    )


def _asks_itself(objective: Objective, named: Named) -> bool:
    from hpo.objective.function import FunctionObjective

    return isinstance(objective, FunctionObjective) and asks_itself(objective.function, named)


def _passing(objective: Objective, named: Named) -> Sequence[str]:
    """Return what is said of how a program gets its hyperparameters."""
    from hpo.objective.program import ProgramObjective

    return objective.notes(named.parameters) if isinstance(objective, ProgramObjective) else ()


def _described(objective: Objective, named: Named) -> tuple[Sequence[str], list[Fault]]:
    """Return what a Torch task says of its data, and the faults that only reading them shows."""
    from hpo.objective.torch_task import TorchObjective

    if not isinstance(objective, TorchObjective):
        return (), []
    try:
        return objective.task.describe_data(copy.deepcopy(dict(named.data))), []
    except SpecError as error:
        return (), [dataclasses.replace(fault, path=("data", *fault.path)) for fault in error.faults]
    except UserError as error:
        return (), [Fault(str(error), ("data",))]
    except Exception as error:
        return (), [_fault(f"{named.objective}: describe_data raised {one_line(error)}")]


def named_of(sweep: Sweep, travels: bool = True) -> Named:
    """Return what names a checked sweep's objective. travels: other processes are to have it; raises UserError then if
    it is an object that can't be pickled."""
    folder = sweep.source.resolve().parent
    return Named(
        objective=sweep.objective,
        program=sweep.program,
        command=sweep.command,
        data=sweep.data,
        metric=sweep.metric.name,
        goal=sweep.metric.goal,
        parameters=tuple(sweep.space.names()),
        folder=folder,
        repeats=sweep.repeats,
        reports=sweep.report.sources,
        packed=live.packed(sweep.objective, folder) if travels else None,
    )


def _resolved(data: Mapping[str, Any], named: Named) -> tuple[dict[str, Any], list[Fault]]:
    """Return the data section with absolute paths, and the faults of those that no path can be: its `csv`, `test_csv`
    and `root` are paths whatever they are."""
    resolved, faults = with_paths(data, named.folder), []
    for key in ("csv", "test_csv", "root"):
        if isinstance(path := data.get(key), str):
            try:
                resolved[key] = str(resolve_path(path, named.folder).resolve())
            except UserError as error:
                faults.append(Fault(str(error), ("data", key)))
    return resolved, faults


def _check_signature(reference: str, function: Any) -> None:
    try:
        python_inspect.signature(function).bind(object())
    except TypeError:
        raise SpecError(
            [_fault(f"{reference} must take one argument, the trial", "def objective(trial): ...")]
        ) from None
    except ValueError:
        pass  # some builtins have no signature: they show their fault at the first call


def _fault(message: str, remedy: str = "") -> Fault:
    return Fault(message, ("objective",), remedy=remedy)
