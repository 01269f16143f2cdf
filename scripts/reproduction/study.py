"""What a study of the course is here: sweeps to run, and a section of the page to write from what they recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reproduction.claims import Claim

if TYPE_CHECKING:
    from reproduction.writing import Writer


@dataclass(frozen=True)
class Run:
    """One command of a study that trains.

    sweep: a file of search_spaces/course. name: the study's; "": as the file says. options: of `-o`, KEY=VALUE.
    quick: further ones with `--quick`, which make it small; None: it is not run then. timed: a few of its trials are
    trained one by one as well, to say what all would have taken; False where it has no stacks to compare with.
    """

    sweep: str
    name: str = ""
    options: Sequence[str] = ()
    quick: Sequence[str] | None = ()
    timed: bool = True

    @property
    def study(self) -> str:
        return self.name or self.sweep

    def arguments(self, quick: bool) -> list[str]:
        """Return what stands behind `hpo`."""
        options = [*self.options, *((self.quick or ()) if quick else ())]
        named = [f"name={self.name}"] if self.name else []
        return ["sweep", f"course/{self.sweep}", *(word for option in (*named, *options) for word in ("-o", option))]


@dataclass(frozen=True)
class Then:
    """A command that follows upon a sweep, such as `confirm NAME`. It runs in the home's folder, where the files are
    that earlier ones have written."""

    arguments: Sequence[str]
    quick: Sequence[str] | None = ()  # further ones with --quick; None: it is not run then


@dataclass(frozen=True)
class Study:
    """A section of the page.

    name: what `--only` takes; also the section's anchor. title: its heading. asks: the question, in a sentence.
    steps: what is run, in order. write: puts the section's tables and plots onto the page, and returns what came of the
    course's claims. cifar10: it needs CIFAR-10, and takes long.
    """

    name: str
    title: str
    asks: str
    steps: Sequence[Run | Then]
    write: Callable[[Writer], list[Claim]]
    cifar10: bool = False

    def steps_of(self, quick: bool) -> list[Run | Then]:
        """Return what is run, all or what `--quick` runs."""
        return [step for step in self.steps if not quick or step.quick is not None]

    def runs(self, quick: bool = False) -> list[Run]:
        """Return the sweeps among it."""
        return [step for step in self.steps_of(quick) if isinstance(step, Run)]
