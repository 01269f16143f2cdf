"""What the sections of a report draw on: a study's trials, read once, and what other rooms make of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hpo.decision.refine.evidence import TrialEvidence, gather
from hpo.decision.refine.importance import importances
from hpo.decision.refine.outcome import RefinedParameter
from hpo.decision.refine.parameters import refined_parameter
from hpo.lazy import hidden_while_unused
from hpo.ledger.study.confirmations import Confirmation
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, record_of, reported
from hpo.ledger.study.settling import as_told
from hpo.ledger.study.words import kind_of
from hpo.report.places import ParameterAxis
from hpo.review.certainty import Certainty, certainty_of
from hpo.review.studies import RecordedStudy, confirmation_of
from hpo.review.summary import home_options
from hpo.search.distributions import decode_params
from hpo.spec.conditions import same_params
from hpo.spec.faults import UserError

Curve = tuple[Sequence[int], Sequence[float]]  # steps in order, and the sweep's metric at each


@dataclass(frozen=True)
class StudyFacts:
    """A study as it was when it was read. moment: then, in seconds since the Unix epoch."""

    home: Home
    study: RecordedStudy
    moment: float

    def command(self, verb: str, *words: str) -> str:
        """Return what to type for this study."""
        return " ".join(["hpo", verb, *map(shlex.quote, (self.study.name, *words))]) + home_options(self.home)

    @property
    def metric(self) -> str:
        return self.study.sweep.metric.name

    @property
    def sign(self) -> float:
        """1 where more is better, else -1: a value times this is better the larger it is."""
        return 1.0 if self.study.sweep.metric.goal == "maximize" else -1.0

    @cached_property
    def records(self) -> list[TrialRecord]:
        """All trials by number, without their steps; with the parameters that they train with, running ones too."""
        found = [record_of(trial, history=False) for trial in self.study.trials]
        for record in found:
            if record.state == "running":
                record.params = decode_params(self.study.sweep.space, dict(record.params))
        return [as_told(record, self.study.live) for record in found]

    def having(self, state: str) -> list[TrialRecord]:
        """Return the trials of a state; `failed` without those that were cut off and run again, `interrupted` these."""
        if state == "interrupted":
            return [record for record in self.records if record.interrupted]
        return [record for record in self.records if record.state == state and not record.interrupted]

    @property
    def ranking(self) -> Sequence[TrialRecord]:
        """The trials that can be the best, complete or stopped, the best first."""
        return self.study.ranking

    @property
    def complete(self) -> Sequence[TrialRecord]:
        """The complete trials, the best first."""
        return self.study.complete

    @property
    def kind(self) -> str:
        """What the trials of the ranking are, in words: complete, stopped, or both."""
        return kind_of(record.state for record in self.ranking)

    @cached_property
    def diverged(self) -> list[TrialRecord]:
        return [record for record in self.records if record.diverged is not None]

    @property
    def stopped(self) -> list[TrialRecord]:
        """The trials that the stopping rule ended."""
        return [record for record in self.having("pruned") if record.diverged is None and not record.stopped_by]

    @property
    def best(self) -> TrialRecord | None:
        return self.study.ranking[0] if self.study.ranking else None

    @cached_property
    def baseline(self) -> TrialRecord | None:
        """The trial of the first of the file's baselines; None if there is none, or it is not complete."""
        given = self.study.sweep.baselines[:1]
        by_number = sorted(self.complete, key=lambda record: record.number)
        return next((record for record in by_number if any(same_params(record.params, one) for one in given)), None)

    @cached_property
    def certainty(self) -> Certainty | None:
        """How sure the best trial is; None without one."""
        return certainty_of(self.study) if self.ranking else None

    @cached_property
    def confirmation(self) -> Confirmation | None:
        return confirmation_of(self.study)

    @cached_property
    def _gathered(self) -> TrialEvidence | str:
        if not self.study.sweep.space.searched():
            return "nothing is searched: each parameter has one value only"
        try:
            return gather(self.study)
        except UserError as error:
            return str(error)

    @property
    def evidence(self) -> TrialEvidence | None:
        """Which trials are good, as `hpo refine` goes by them; None if there are too few to tell."""
        return self._gathered if isinstance(self._gathered, TrialEvidence) else None

    @property
    def no_evidence(self) -> str:
        """Why `evidence` is None, in words."""
        return self._gathered if isinstance(self._gathered, str) else ""

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Each parameter's share of the importance, the largest first; {} if nothing can be told."""
        if self.evidence is None:
            return {}
        with hidden_while_unused("torch"):
            found = importances(self.evidence)
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @cached_property
    def axes(self) -> list[ParameterAxis]:
        """The searched parameters, the most important first; else as the file has them."""
        searched = self.study.sweep.space.searched()
        return [ParameterAxis(each) for each in sorted(searched, key=lambda each: -self.shares.get(each.name, 0.0))]

    @cached_property
    def refined(self) -> Mapping[str, RefinedParameter]:
        """What `hpo refine` would make of each searched parameter, as far as that is told by the trials alone: the
        objective's own limits are not asked for, since a report runs nobody's code. {} if there are too few trials."""
        if self.evidence is None:
            return {}
        most = self.study.config["budget"].get("epochs")
        with hidden_while_unused("torch"):
            return {
                each.name: refined_parameter(self.evidence, each, None, most)
                for each in self.study.sweep.space.searched()
            }

    @cached_property
    def curves(self) -> Mapping[int, Curve]:
        """The sweep's metric by steps, of each trial that reported it; by the trial's number."""
        found: dict[int, Curve] = {}
        for trial in self.study.trials:
            steps, columns = reported(trial)
            values: Sequence[Any] = columns.get(self.metric, ())
            if not steps:  # it still runs: the study has its metric
                steps = sorted(trial.intermediate_values)
                values = [trial.intermediate_values[step] for step in steps]
            pairs = [(step, value) for step, value in zip(steps, values, strict=False) if value is not None]
            if pairs:
                found[trial.number] = [step for step, _ in pairs], [value for _, value in pairs]
        return found

    def steps_of(self, record: TrialRecord) -> int:
        """Return the last step that a trial reported; 0 if it reported nothing."""
        found = self.curves.get(record.number)
        return found[0][-1] if found else 0

    @cached_property
    def full_length(self) -> int | None:
        """The last step of the longest complete trial; None if none reported any."""
        return max((self.steps_of(record) for record in self.complete), default=0) or None
