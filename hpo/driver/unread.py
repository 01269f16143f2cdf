"""What is said of hyperparameters that a Torch task does not read."""

from __future__ import annotations

from collections.abc import Iterator

from hpo.events import Unread
from hpo.spec.faults import Fault, SpecError, series
from hpo.spec.space import Constant
from hpo.spec.sweep import Sweep
from hpo.standing import SweepListener


def take_unread(unread: Unread, sweep: Sweep, has_trials: bool, listener: SweepListener) -> None:
    """Refuse what a task certainly never reads, tell the rest.

    has_trials: the study has results, by a release that did not look, or from before the task was changed: then it
    goes on, and all is told. Raises SpecError with a fault for each hyperparameter.
    """
    if unread.certain and not has_trials:
        raise SpecError(_faults(unread, sweep), sweep.source)
    for text in _told(unread):
        listener.note(text, warning=True)


def _faults(unread: Unread, sweep: Sweep) -> Iterator[Fault]:
    for name in unread.certain:
        constant = isinstance(sweep.space[name].domain, Constant)
        useless = "setting it" if constant else "searching it"
        message = f"{unread.task} never reads {name!r}, neither in 'model' nor in 'batch': {useless} has no effect"
        yield sweep.written.fault_at(name, message, _remedy(unread, name))


def _remedy(unread: Unread, name: str) -> str:
    task = unread.task
    if name in unread.own:
        return f'read params["{name}"] there, or take {name!r} out of {task}.parameters and out of the file'
    return (
        f'read params["{name}"] there; or say in {task} that its model has none, by '
        f'parameters = {{"{name}": None}}, and leave it out of the file'
    )


def _told(unread: Unread) -> Iterator[str]:
    task = unread.task
    if unread.certain:
        yield f"{task} never reads {series(unread.certain)}: what this study has of it says nothing"
    if unread.unseen:
        yield (
            f"no model that was made for a try reads {series(unread.unseen)}: if {task} never does, it has no effect, "
            f'and {task}.parameters says so by {{"{unread.unseen[0]}": None}}'
        )
    if unread.without_effect:
        yield (
            f"{task} takes all hyperparameters at once, and none of the models that were made for a try depends on "
            f"{series(unread.without_effect)}: if it has no effect, {task}.parameters says so by "
            f'{{"{unread.without_effect[0]}": None}}'
        )
