"""What MLflow holds of a study, read without changing anything: what every way of reading it returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from hpo.ledger.mirror.rows import RunRows

Values = set[tuple[int, float]]  # (step, value)


class FoundRun(NamedTuple):
    """A run, in a list of all."""

    run_id: str
    status: str
    active: bool  # not deleted
    parent: str = ""
    trial: str = ""
    kind: str = ""
    study_id: str = ""
    study: str = ""  # what its tag says that the study is called
    name: str = ""


@dataclass
class Content:
    """What a run holds."""

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Values] = field(default_factory=dict)  # every step of metrics
    whole: bool = True  # whether these are all metrics; else some were not read
    latest: Mapping[str, tuple[int, float]] | None = None  # what lists of runs show; None: the same values


class Reader(Protocol):
    """Reads MLflow. Its methods raise whatever the store's library raises."""

    takes_ids: bool  # whether runs are written with the ids that their trials have, and can be changed in place

    def experiment(self, name: str) -> tuple[str, bool] | None:
        """Return an experiment's id, and whether it is active; None if there is none."""

    def experiment_of(self, parent: str, study_id: str) -> tuple[str, bool] | None:
        """Return the same of the experiment that has a sweep's parent run; None if there is no such run."""

    def name_of(self, experiment: str) -> str:
        """Return what an experiment is called; "" if there is none."""

    def runs(self, experiment: str) -> list[FoundRun]:
        """Return all runs of an experiment, deleted ones too."""

    def contents(self, wanted: Sequence[tuple[str, RunRows]]) -> Iterator[Content]:
        """Yield what runs hold, in this order. The rows are what each should hold."""

    def values(self, run_id: str, key: str) -> Values:
        """Return every value of a run's metric."""

    def texts(self, run_ids: Iterable[str], name: str) -> set[str]:
        """Return those of these runs that have an artifact of this name; all of them if nobody can tell."""

    def with_data(self, run_ids: Iterable[str]) -> set[str]:
        """Return those of these runs of which it is written on what data they trained."""

    def compared(self) -> str:
        """Return what was not compared, "" if all was."""
