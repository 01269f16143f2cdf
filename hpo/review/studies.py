"""Reading studies back: which there are, and what is recorded of one."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.diagnosis import Diagnosis
from hpo.ledger.sharing.look import is_run
from hpo.ledger.study.compat import study_id_of
from hpo.ledger.study.confirmations import CONFIRMS, Confirmation, is_given_up, latest_in, latest_plain
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import OPTUNA_NAMES, TrialRecord, best_first, is_ours, is_surplus, record_of
from hpo.ledger.study.references import References, references_of
from hpo.ledger.study.restored import find_study, sweep_of
from hpo.ledger.study.settling import as_told, to_be_repeated
from hpo.ledger.study.unfinished import REMOVING
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from hpo.ledger.study.compat import FrozenStudy


_SWEEP_FILES = (".yaml", ".yml", ".json")  # what a script or Ray Tune notes as a study's source is none of these
_STATES = {theirs: ours for ours, theirs in OPTUNA_NAMES.items()} | {"WAITING": "waiting"}


@dataclass(frozen=True)
class StudyCounts:
    """How many trials of a study ended how. interrupted: they were cut off, and the next run begins them again."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    interrupted: int = 0
    running: int = 0


@dataclass(frozen=True)
class StudyLine:
    """One study in a list."""

    name: str
    metric: str
    counts: StudyCounts
    best: float | None
    latest: datetime | None
    confirms: str = ""  # the study that it confirms; "": it is a sweep's
    verdict: str = ""  # of the confirmation, once there is one
    goal: str = ""  # maximize or minimize; "": it has several metrics
    best_trial: int | None = None
    ours: bool = True  # whether it was made by hpo
    budget: int | None = None  # trials; None: it has no such limit, or is not hpo's
    live: bool = False  # whether a driver runs it now; of another's study: whether it has running trials
    go_on: tuple[str, ...] = ()  # the words of the command that goes on with it; (): they are not known
    half_removed: bool = False  # its removal was begun, and not finished

    @property
    def open(self) -> bool:
        """Whether the study was interrupted: nobody runs it, and trials of it are to be run again."""
        return not self.live and self.counts.interrupted > 0

    @property
    def state(self) -> str:
        """How the study stands, in words."""
        if self.half_removed:
            return "being removed"
        done = self.counts.complete + self.counts.pruned
        so_far = f", {done:,} of {self.budget:,} done" if self.budget else ""
        if self.live and self.counts.running:
            return f"{self.counts.running:,} running{so_far}"
        if self.verdict:
            return self.verdict if self.confirms else f"confirmed: {self.verdict}"
        if self.live and not (self.budget and done >= self.budget):  # it begins, or is between two trials
            return f"running{so_far}"
        if self.open:
            return f"interrupted{so_far}"
        if not done:
            return "only failures" if self.counts.failed else "no trial yet"
        if self.budget and done < self.budget:
            return f"ended at {done:,} of {self.budget:,} trials"
        return "done"


@dataclass(frozen=True)
class RecordedStudy:
    """What a study's storage had of it when it was read."""

    name: str
    attributes: Mapping[str, Any]  # the study's
    trials: Sequence[FrozenTrial]  # by number, without surplus ones
    storage: BaseStorage
    live: bool = True  # whether a driver ran it then; else trials that say they run were left by a dead one

    @property
    def config(self) -> dict[str, Any]:
        """The resolved sweep, as the last `hpo sweep` had it: plain JSON types, all paths absolute."""
        return dict(self.attributes["sweep"])

    @cached_property
    def sweep(self) -> Sweep:
        """All of the sweep that makes the trials what they are."""
        return sweep_of(self.name, self.attributes)

    @cached_property
    def ranking(self) -> list[TrialRecord]:
        """The trials that have a value by the sweep's rule, complete or stopped, the best first, without their steps;
        of equal ones the earlier first."""
        ended = [record_of(trial, history=False) for trial in self.trials if trial.state.is_finished()]
        return best_first(ended, self.sweep.metric.goal)

    @cached_property
    def complete(self) -> list[TrialRecord]:
        """The complete trials, the best first, without their steps; of equal ones the earlier first."""
        return [record for record in self.ranking if record.state == "complete"]

    @property
    def interrupted(self) -> int:
        """How many trials were cut off, and are begun again by the next run; 0 while a driver runs the study."""
        if self.live:
            return 0
        records = (as_told(record_of(trial, history=False), self.live) for trial in self.trials)
        return len(left_open(self.attributes, records))

    @property
    def diagnoses(self) -> list[Sequence[Diagnosis] | None]:
        """What is wrong with the training of each trial that ended; None where nothing is known of it."""
        return [record_of(trial, history=False).diagnoses for trial in self.trials]

    @property
    def references(self) -> References | None:
        """What models of scikit-learn reach beside the trials; None if none were measured."""
        return references_of(self.attributes)

    @property
    def successor(self) -> str:
        """The study in which this one goes on with another space, "" if there is none."""
        return str(self.attributes.get("successor", ""))


def read_study(home: Home, name: str, storage: BaseStorage | None = None) -> RecordedStudy:
    """Read a study. storage: the home's, where it is open already: a journal is read anew by each that opens it.

    Raises UserError if there is none of this name, or if it was not made by hpo.
    """
    storage, study = find_study(home, name, storage)
    live = is_run(home, name, study.user_attrs, storage)  # first: a driver that ends now has ended its trials before
    trials = storage.get_all_trials(study_id_of(study), deepcopy=False)
    trials = [trial for trial in trials if not is_surplus(trial)]
    recorded = RecordedStudy(name, study.user_attrs, trials, storage, live)
    assert recorded.sweep is not None  # raises, if it is not hpo's
    return recorded


def name_option(name: str, attributes: Mapping[str, Any]) -> list[str]:
    """Return the option that leads a study's sweep file to this study; none where the file is called so, or has the
    name. attributes: the study's."""
    text, source = str(attributes.get("sweep_file", "")), str(attributes.get("origin", {}).get("source", ""))
    named = re.search(r"^name: *(.*?) *(#.*)?$", text, re.MULTILINE)
    own = Path(source).stem if named is None else named[1].strip("'\"")
    return [] if own == name else ["-o", shlex.quote(f"name={name}")]


def words_to_go_on(name: str, attributes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words of the command, after `hpo`, that goes on with a study that was interrupted, as a shell takes
    them; () if it was no command (a script, Ray Tune) or nobody knows its sweep file. attributes: the study's."""
    if confirms := attributes.get(CONFIRMS):
        return "confirm", shlex.quote(str(confirms["study"]))
    origin = attributes.get("origin", {})
    source = str(origin.get("source", ""))
    set_besides = origin.get("overrides", ())
    if Path(source).suffix not in _SWEEP_FILES or set_besides is None:
        return ()
    overrides = [word for override in set_besides for word in ("-o", shlex.quote(override))]
    named = any(override.startswith("name=") for override in set_besides)
    return ("sweep", shlex.quote(source), *overrides, *([] if named else name_option(name, attributes)))


def left_open(attributes: Mapping[str, Any], records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the trials that the next run of a study begins again: none of one that nobody goes on with, since another
    has taken its place, unless its file was run again since. attributes: the study's."""
    if is_given_up(attributes) or (attributes.get("successor") and not attributes.get("went_back")):
        return []
    return to_be_repeated(records)


def list_studies(home: Home) -> list[StudyLine]:
    """Return the studies of a home, the latest first. A home that does not exist has none."""
    if not home.exists():
        return []
    return lines_of(home, open_storage(home))


def lines_of(home: Home, storage: BaseStorage) -> list[StudyLine]:
    """Return the studies of a home, the latest first. storage: its, open."""
    found = []
    for study in storage.get_all_studies():
        live = is_run(home, study.study_name, study.user_attrs, storage)  # first, as in `read_study`
        found.append(line_of(study, storage.get_all_trials(study_id_of(study), deepcopy=False), live))
    return _in_order(found)


def line_of(study: FrozenStudy, trials: Sequence[FrozenTrial], live: bool) -> StudyLine:
    """Return how one study stands. trials: all of it. live: whether a driver runs it."""
    trials = [trial for trial in trials if not is_surplus(trial)]
    ours = is_ours(study.user_attrs)
    attributes = study.user_attrs if ours else {}  # another's may mean something else by the same names
    if ours:
        records = [as_told(record_of(trial, history=False), live) for trial in trials]
        states = Counter(str(record.state) for record in records if not record.interrupted)
        best = best_in(study, trials, records)
        interrupted = len(left_open(attributes, records))
    else:
        states = Counter(_STATES[trial.state.name] for trial in trials)
        live, interrupted = states["running"] > 0, 0
        best = best_in(study, trials)
    moments = [trial.datetime_complete or trial.datetime_start for trial in trials]
    budget = _config(study).get("budget", {}).get("trials")
    return StudyLine(
        name=study.study_name,
        metric=_config(study).get("metric", {}).get("name", "value"),
        counts=StudyCounts(states["complete"], states["pruned"], states["failed"], interrupted, states["running"]),
        best=best[1] if best else None,
        latest=max((moment for moment in moments if moment), default=None),
        confirms=str(attributes.get(CONFIRMS, {}).get("study", "")),
        verdict=str(latest_plain(attributes).get("result", {}).get("verdict", "")),
        goal=study.direction.name.lower() if len(study.directions) == 1 else "",
        best_trial=best[0] if best else None,
        ours=ours,
        budget=budget,
        live=live,
        go_on=words_to_go_on(study.study_name, attributes),
        half_removed=bool(attributes.get(REMOVING)),
    )


def _in_order(lines: Sequence[StudyLine]) -> list[StudyLine]:
    """Return the latest first, each sweep followed by what confirms it."""
    latest = sorted(lines, key=lambda line: line.latest or datetime.min, reverse=True)
    names = {line.name for line in lines}
    below = [line for line in reversed(latest) if line.confirms in names]
    first = [line for line in latest if line not in below]
    return [each for line in first for each in (line, *(it for it in below if it.confirms == line.name))]


def confirmation_of(study: RecordedStudy) -> Confirmation | None:
    """Return what came out of a study's latest confirmation; None if none came to an end."""
    return latest_in(study.attributes)


def best_of(study: RecordedStudy) -> TrialRecord:
    """Return a study's best trial, complete or stopped, without its steps. Raises UserError if none has a value."""
    if not study.ranking:
        raise UserError(f"the study {study.name!r} has no trial with a value yet")
    return study.ranking[0]


def _config(study: FrozenStudy) -> dict[str, Any]:
    return dict(study.user_attrs.get("sweep", {})) if is_ours(study.user_attrs) else {}


def best_in(
    study: FrozenStudy, trials: Sequence[FrozenTrial], records: Iterable[TrialRecord] | None = None
) -> tuple[int, float] | None:
    """Return the number and the value of a study's best trial, by its sweep's rule; of another's study, as Optuna has
    it. None if no trial has a value, or if there are several metrics.

    records: of a sweep's trials, without surplus ones, where they are read already.
    """
    if len(study.directions) != 1:
        return None
    goal = study.direction.name.lower()
    if is_ours(study.user_attrs):
        read = (record_of(trial, history=False) for trial in trials if not is_surplus(trial))
        best = next(iter(best_first(read if records is None else records, goal)), None)
        return None if best is None or best.value is None else (best.number, best.value)
    sign = 1.0 if goal == "maximize" else -1.0
    valued = [(t.number, t.value) for t in trials if t.state.name == "COMPLETE" and t.value is not None]
    return max(valued, key=lambda pair: (sign * pair[1], -pair[0]), default=None)
