"""What a worker runs: the one interface behind functions, programs and Torch tasks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hpo.events import Assignment, Channel, Unread
from hpo.spec.contract import Contract
from hpo.spec.faults import Fault

if TYPE_CHECKING:
    from hpo.spec.named import Named


class Pruned(Exception):
    """Raised by `trial.report` in an objective when the trial should stop. Let it pass; the trial counts as pruned."""


class Objective(Protocol):
    """An objective, bound to the sweep's data. Lives in a worker; used from one thread at a time."""

    @property
    def contract(self) -> Contract | None:
        """The hyperparameters and metrics it understands; None: any (a plain function, a program)."""
        ...

    @property
    def as_text(self) -> Callable[[Any], Hashable] | None:
        """How a hyperparameter's value reaches it, where that is text only (a program's arguments); None: as it is."""
        ...

    @property
    def libraries(self) -> tuple[str, ...]:
        """The modules of slow libraries that its workers load (hpo/objective/libraries.py)."""
        ...

    @property
    def folds(self) -> int:
        """How many folds its rows are cut into, each trial being trained once on all but each of them; 1: none are."""
        ...

    @property
    def is_table(self) -> bool:
        """Whether its data are rows of numbers on which other models can be fitted, and measured as its own are."""
        ...

    @property
    def flags(self) -> Mapping[str, str]:
        """The options of a program that take no value, each with what to write for a boolean hyperparameter of that
        name."""
        ...

    def check_data(self) -> list[Fault]:
        """Return what is wrong with the sweep file's `data` section. Fast; trains nothing."""
        ...

    def prepare(self) -> list[str]:
        """Load what all trials share, once a worker. Returns notes for the user on what was done to the data."""
        ...

    def unread(self, named: Named) -> Unread | None:
        """Return what it does not read of the hyperparameters that its trials get; None: nothing is known to be so.

        Asked once, after `prepare`, before the first trial. named: what named it, with the `space` of its trials.
        """
        ...

    def run(self, assignment: Assignment, channel: Channel) -> None:
        """Train every trial of the assignment and hand each event to the channel.

        Ends each trial with exactly one of Finished, Stopped, Diverged or Failed. An exception that escapes fails the
        assignment's unfinished trials.
        """
        ...
