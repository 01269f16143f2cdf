"""What the Optuna dashboard's notes say, as Markdown, of a trial and of a study. Nothing of it is kept in the study."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.ledger.mirror.links import link_to
from hpo.ledger.mirror.markdown import code_block, escaped
from hpo.ledger.sharing.look import is_run
from hpo.ledger.study.confirmations import CONFIRMS, latest_in
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, best_first, is_ours, is_surplus, record_of
from hpo.ledger.study.settling import as_told
from hpo.ledger.study.words import kind_of, result_of, state_of
from hpo.review.display import duration
from hpo.review.studies import left_open, words_to_go_on
from hpo.spec.space import counted, show

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Command = Callable[..., str]  # (words of a command) -> what to type for it, options for the home included


class StudyNotes:
    """The notes of one study, as its trials are when this is made.

    attributes: the study's. trials: all of them, by number. live: whether a driver runs it. command: how `hpo` is
    called for this home, with the options that lead to it.
    """

    def __init__(
        self, name: str, attributes: Mapping[str, Any], trials: Sequence[FrozenTrial], live: bool, command: Command
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._trials = trials
        self._live = live
        self._command = command
        self._metric: Mapping[str, str] = attributes["identity"]["metric"]
        self._ranks, kind = _ranks(trials, self._metric["goal"])
        self._ranked = counted(len(self._ranks), f"{kind} trial")  # found once: a page has the notes of all trials

    def of_trial(self, number: int) -> str:
        """Return a trial's note: its result and rank, its state and the reason for it, and where its run is.

        "" of a trial that came after this was made.
        """
        if number >= len(self._trials):
            return ""
        trial = self._trials[number]
        if is_surplus(trial):
            return f"**Withdrawn before it ran:** {escaped(str(trial.user_attrs['surplus']))}. No trial of the sweep's."
        record = self._record(trial)
        step, last = max(trial.intermediate_values.items(), default=(None, None))
        result = escaped(result_of(record, self._metric["name"], step, last))
        rank = self._ranks.get(trial.number)
        standing = f", rank {rank:,} of {self._ranked}" if rank else ""
        lines = [f"**Trial {trial.number}: {result}**{standing}", _facts(record)]
        if earlier := trial.user_attrs.get("copied_from"):
            lines.append(f"Copied from trial {earlier['number']} of the study {escaped(str(earlier['study']))}.")
        run, sweep = link_to("mlflow", self._name, trial.number), link_to("mlflow", self._name)
        lines.append(f"[MLflow run]({run}) · [the sweep in MLflow]({sweep}) · [all studies](/)")
        return "\n\n".join(line for line in lines if line)

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        return as_told(record_of(trial, history=False), self._live)

    def of_study(self) -> str:
        """Return the study's note: how it stands, the verdict on its winner, how to go on, and the sweep file."""
        lines = [f"**{escaped(self._name)}: {self._metric['goal']} {escaped(self._metric['name'])}**", self._summary()]
        lines += self._best()
        if verdict := self._verdict():
            lines.append(verdict)
        lines.append(f"[The sweep in MLflow]({link_to('mlflow', self._name)}) · [all studies](/)")
        lines.append(
            "How to go on (a sweep with the `-o` that it was started with, if any):\n\n"
            + code_block("\n".join(self._next_steps()))
        )
        if text := str(self._attributes.get("sweep_file", "")):
            lines.append("The sweep file:\n\n" + code_block(text, "yaml"))
        return "\n\n".join(lines)

    def _summary(self) -> str:
        states = Counter(state_of(self._record(trial)) for trial in self._trials if not is_surplus(trial))
        order = ("complete", "pruned", "failed", "interrupted", "running")
        counts = ", ".join(f"{states[state]:,} {state}" for state in order if states[state]) or "No trial has begun."
        return f"{counts} (a sweep runs now)" if self._live else counts

    def _best(self) -> list[str]:
        best = next((number for number, rank in self._ranks.items() if rank == 1), None)
        if best is None:
            return ["No trial has a value yet."]
        record = record_of(self._trials[best], history=False)
        params = ", ".join(f"{name}={show(value)}" for name, value in record.params.items())
        told = f"Best: **{escaped(self._metric['name'])} {record.value:.6g}** in trial {best} ({escaped(params)})"
        if record.state == "complete":
            return [told]
        return [f"{told}. It was stopped early (Optuna's own `best_trial` looks at complete trials only)."]

    def _verdict(self) -> str:
        if confirmed := self._attributes.get(CONFIRMS):
            return f"Confirms the study {escaped(confirmed['study'])}."
        found = latest_in(self._attributes)
        if found is None:
            return "Best so far: not confirmed on fresh seeds (`hpo confirm` does that)." if self._ranks else ""
        result, (low, high) = found.result, found.result.interval
        interval = f"{100 * result.level:.3g} % interval {low:+.4g} to {high:+.4g}"
        over = counted(len(found.seeds), "seed")
        by = f"{result.difference:+.4g} against the baseline, positive is better"
        return f"Confirmed over {over}: {escaped(found.winner.name)} is **{result.verdict}** ({by}, {interval})"

    def _next_steps(self) -> list[str]:
        name = shlex.quote(self._name)
        go_on = words_to_go_on(self._name, self._attributes)
        open_ones = left_open(self._attributes, map(self._record, self._trials))
        if self._attributes.get(CONFIRMS):
            again = [self._command(*go_on)] if open_ones and not self._live else []
            return [*again, self._command("best", name)]
        more = () if open_ones else ("--extend", "50")
        steps = [self._command(*go_on, *more)] if go_on else []
        if not self._ranks:
            return steps or [self._command("trials", name)]
        return [*steps, *(self._command(verb, name) for verb in ("best", "confirm", "refine", "model"))]


class AllNotes:
    """The notes of every study of a storage, as its trials are when they are asked for."""

    def __init__(self, home: Home, storage: BaseStorage, command: Command) -> None:
        """storage: the home's, open."""
        self._home = home
        self._storage = storage
        self._command = command

    def of(self, study_id: int) -> StudyNotes | None:
        """Return the notes of a study; None if it is not hpo's. Raises KeyError if there is no such study."""
        attributes = self._storage.get_study_user_attrs(study_id)
        name = self._storage.get_study_name_from_id(study_id)
        if not is_ours(attributes):
            return None
        live = is_run(self._home, name, attributes, self._storage)
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        return StudyNotes(name, attributes, trials, live, self._command)


def _ranks(trials: Sequence[FrozenTrial], goal: str) -> tuple[dict[int, int], str]:
    """Return the rank of each trial that can be the best, 1 the best, of equal ones the earlier first; and in words of
    which kind these trials are."""
    ended = (record_of(trial, history=False) for trial in trials if trial.state.is_finished() and not is_surplus(trial))
    ranked = best_first(ended, goal)
    ranks = {record.number: rank for rank, record in enumerate(ranked, start=1)}
    return ranks, kind_of(record.state for record in ranked)


def _facts(record: TrialRecord) -> str:
    facts = [f"seed {record.seed}"]
    if record.ended is not None:
        facts.append(f"{record.seconds:.3g} s" if record.seconds < 60 else duration(record.seconds))
    if worker := record.info.get("worker"):
        facts.append(f"worker {escaped(str(worker))}")
    if (together := record.info.get("cohort", 1)) > 1:
        facts.append(f"trained in a stack of {together}")
    if (members := record.info.get("members", 1)) > 1:
        facts.append(f"the mean of {members} trainings")
    if record.retry_of is not None:
        facts.append(f"repeats trial {record.retry_of}, which was interrupted")
    if record.attempts > 1:
        facts.append(f"begun {record.attempts} times")
    return ", ".join(facts)
