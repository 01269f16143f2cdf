"""From the runs of trials to what trains them together: one stack, or several in lock-step where models differ."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from hpo.objective.failures import one_line
from hpo.training.epochs import Trainee
from hpo.training.loop import Loops
from hpo.training.run import Run
from hpo.training.together import Together

NO_TWO_ALIKE = "each has a model of another structure"


def structure_of_trial(runs: Sequence[Run]) -> Hashable:
    """Return what trials must share to be tried as one stack: the structures of their members' models."""
    structures = [_structure(run) for run in runs]
    alike = all(structure == structures[0] for structure in structures)
    return structures[0] if alike else tuple(structures)  # features may differ between folds


def stack_of(trials: Iterable[Sequence[Run]], compile: bool) -> Trainee:
    """Return trials as one stack; where the members of a trial differ in structure, a stack for each, in lock-step.

    Raises CannotStack with the reason if no two runs can be in one.
    """
    from hpo.training.stack.cohort import Cohort
    from hpo.training.stack.slot import CannotStack

    groups = _by_structure([run for runs in trials for run in runs])
    if all(len(runs) == 1 for runs in groups):
        raise CannotStack(NO_TWO_ALIKE)
    parts: list[Trainee] = [Cohort(runs, compile) if len(runs) > 1 else Loops(runs) for runs in groups]
    return parts[0] if len(parts) == 1 else Together(parts)


def to_probe(trials: Sequence[Sequence[Run]], begin: Sequence[Sequence[Callable[[], Run]]]) -> list[Callable[[], Run]]:
    """Return what begins the runs of the structure that most have, which a stack is measured on.

    begin: for each trial, what begins each of its members.
    Raises CannotStack with the reason if no two runs can be in one stack.
    """
    from hpo.training.stack.slot import CannotStack

    starts = {
        run: start
        for runs, its in zip(trials, begin, strict=True)
        for run, start in zip(runs, its, strict=True)
    }  # fmt: skip
    most = max(_by_structure(list(starts)), key=len)
    if len(most) == 1:
        raise CannotStack(NO_TWO_ALIKE)
    return [starts[run] for run in most]


def why(error: Exception) -> str:
    """Return why there can be no stack: CannotStack's message, or Torch's with its type."""
    from hpo.training.stack.slot import CannotStack

    return str(error) if isinstance(error, CannotStack) else one_line(error)


def _by_structure(runs: Sequence[Run]) -> list[list[Run]]:
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(_structure(run), []).append(run)
    return list(groups.values())


def _structure(run: Run) -> Hashable:
    """Return what runs must share to be tried as one stack; of a model that no stack can hold the reason, which the
    stack of such models gives."""
    from hpo.training.stack.model import structure_of
    from hpo.training.stack.slot import CannotStack

    try:
        return run.batch_size, structure_of(run.model)
    except CannotStack as error:
        return run.batch_size, str(error)
