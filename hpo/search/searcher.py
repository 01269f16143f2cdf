"""The searcher: proposes configurations and decides who stops early.

The study of record is the ledger's. What this one works on can be rebuilt from it: asking and telling cost no
transactions, and a rejected proposal leaves no trace anywhere.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from hpo.events import Decision
from hpo.search.candidates import Candidates
from hpo.search.samplers import STARTUP_TRIALS, WeightedRandomSampler, bound_of, make_sampler
from hpo.search.working_copy import WorkingCopy
from hpo.spec.space import Categorical, Parameter
from hpo.spec.sweep import Sweep
from hpo.stopping.base import Course, StoppingRule

_ATTEMPTS = 100  # draws from the sampler before forbidden proposals are replaced by random allowed ones
_REPEATS = 8  # proposals that were tried before, until a new one is drawn at random
_COUNTED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Proposal:
    """A configuration to train: active parameters only. `key` names it in later calls to the searcher; it is no number
    of a trial, since trials begin in another order than they are proposed in."""

    key: int
    params: dict[str, Any]


@dataclass
class _Asked:
    """A configuration that was proposed, until its trial has ended."""

    copy_number: int  # in the working copy
    baseline: bool  # never stopped: what the winner is judged against must be trained to its end
    epochs: int | None  # its last step; None: only its objective knows
    given: Mapping[str, Any] = field(default_factory=dict)  # of a define-by-run trial that repeats one: what that had
    course: Course | None = None  # once it has begun
    decided: dict[int, Decision] = field(default_factory=dict)


class Searcher:
    """Asks Optuna's sampler, and the stopping rule, for one sweep. Used from the driver's thread only.

    The same seed, history and calls give the same proposals and decisions. Decisions rest on what the study of record
    has of its trials, by their numbers there: they are the same after a resume, in whatever order trials were proposed,
    began and ended. Two things are not: the sampler has another stream of random numbers, and trials of other drivers
    of a shared study count once the driver has seen that they ended.
    """

    def __init__(self, sweep: Sweep, history: Iterable[FrozenTrial] = (), stream: int = 0) -> None:
        """history: the finished trials of the study of record, in order.

        stream: a number that differs between drivers that share a study, so that their proposals differ, too.
        """
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._sweep = sweep
        self._sign = -1 if sweep.metric.goal == "maximize" else 1  # a stopping rule takes less for better
        finished = list(history)
        # A stream of its own for each continuation: the same draws again would repeat trials.
        seed = (sweep.seed * 1_000_003 + len(finished) + stream * 0x9E3779B1) % 2**32
        sampler = make_sampler(sweep.method, sweep.space, seed)
        # A rule that looks at a trial by itself stops it where it gets no better: that is as good as its end.
        whole = sweep.early_terminate.within_trial
        self._copy = WorkingCopy(sweep.space, sweep.metric, sampler, bound_of(sweep.method), seed, whole)
        self._copy.add(finished)
        self._rule = sweep.early_terminate.rule(sweep.name, sweep.max_epochs())
        self._origins: dict[int, int] = {}  # of repetitions: the first of the trials that they repeat
        for trial in finished:
            self._replay(trial)
        self._keys = itertools.count()
        self._known = len(finished)  # trials of the study, and proposals that are to become some
        self._asked: dict[int, _Asked] = {}
        self._candidates = Candidates(sweep, finished, seed)
        weighted = any(isinstance(p.domain, Categorical) and p.domain.probabilities for p in sweep.space.parameters)
        # no other method than random knows weights: they shape the trials that it starts from
        self._startup = WeightedRandomSampler(sweep.space, seed) if weighted else None

    @property
    def rule(self) -> StoppingRule:
        """The stopping rule, which knows all trials that count. Only to be asked."""
        return self._rule

    def repeats(self, number: int) -> int | None:
        """Return the first of the interrupted trials that a trial repeats; None: it repeats none."""
        return self._origins.get(number)

    def _replay(self, trial: FrozenTrial) -> None:
        """Have an ended trial of the record count for the decisions on others."""
        course = self._course_of(trial.number, trial.user_attrs.get("retry_of"))
        if trial.state not in _COUNTED:
            return
        for step, value in sorted(trial.intermediate_values.items()):
            course.values[step] = self._sign * value
            self._rule.report(course, step, course.values[step])
        self._rule.end(course, trial.state == TrialState.COMPLETE)

    def learn(self, ended: Iterable[FrozenTrial]) -> None:
        """Take in trials that other drivers of a shared study have ended."""
        trials = list(ended)
        self._known += len(trials)
        self._copy.learn(trials)
        for trial in trials:
            self._replay(trial)

    def avoid(self, configurations: Iterable[dict[str, Any]]) -> None:
        """Propose no more what other drivers train."""
        self._candidates.avoid(configurations)

    def enqueue(self, params: dict[str, Any]) -> None:
        """Have a configuration proposed before anything else."""
        self._candidates.put_first(params)

    def propose(self, given: Mapping[str, Any] | None = None) -> Proposal | None:
        """Return a configuration to train next; None if the space is used up (a grid; any space that is countable, if
        no configuration may be trained twice).

        given: values of some parameters, for which the others are drawn. A wish: what goes first whatever a sampler
        says has its own, and so has what is left where all of these were tried.
        """
        first = self._candidates.given()
        if self._sweep.traits.define_by_run:
            return self._hand_out(self._copy.open(), {}, first or {})
        if first is not None:
            return self._hand_out(self._copy.fix(first), first)
        if self._candidates.is_given:
            return None
        starting = self._startup if self._known < STARTUP_TRIALS else None
        repeats: list[int] = []  # left running until something new was found: samplers keep away from what runs
        try:
            for _ in range(_ATTEMPTS):
                number, params = self._copy.ask(starting, given)
                if self._candidates.wanted(params):
                    return self._hand_out(number, params)
                if self._sweep.space.allowed(params):
                    repeats.append(number)
                else:
                    self._copy.reject(number)
                if len(repeats) == _REPEATS:
                    break
        finally:
            for number in repeats:
                self._copy.reject(number)
        drawn = self._candidates.draw()
        return None if drawn is None else self._hand_out(self._copy.fix(drawn), drawn)

    def suggest(self, key: int, parameter: Parameter) -> Any:
        """Return the value of a parameter that a define-by-run trial asks for, which it has not asked for before."""
        asked, name = self._asked[key], parameter.name
        if name in asked.given and parameter.domain.holds(asked.given[name]):
            value = parameter.domain.own(asked.given[name])
            self._copy.give(asked.copy_number, parameter, value)
            return value
        return self._copy.suggest(asked.copy_number, parameter)

    def _hand_out(self, copy_number: int, params: dict[str, Any], given: Mapping[str, Any] | None = None) -> Proposal:
        key = next(self._keys)
        self._known += 1
        self._candidates.note([params])
        epochs = self._sweep.epochs_of(params) if self._sweep.traits.reports_each_epoch else None
        self._asked[key] = _Asked(copy_number, self._sweep.is_baseline(params), epochs, given or {})
        return Proposal(key, params)

    def begin(self, key: int, number: int, repeats: int | None) -> None:
        """Take in that a proposal has become a trial. number: the trial's in the study of record; repeats: that of the
        interrupted trial of which it is the repetition, if it is one."""
        self._asked[key].course = self._course_of(number, repeats)

    def _course_of(self, number: int, repeats: int | None) -> Course:
        if repeats is not None:
            self._origins[number] = self._origins.get(repeats, repeats)
        return Course(number, repeats=self.repeats(number))

    def report(self, key: int, step: int, value: float, decide: bool = False) -> Decision:
        """Take in a value of the metric. A step that comes again, from a trial that is run again after its worker died,
        is ignored.

        When a whole cohort reports, report for all its members before deciding on any.
        decide: answer with `decide` at once (for a driver that takes reports one by one).
        """
        course = self._course(key)
        if step not in course.values:
            course.values[step] = self._sign * value
            self._rule.report(course, step, course.values[step])
        return self.decide(key, step) if decide else Decision.CONTINUE

    def decide(self, key: int, step: int) -> Decision:
        """Return whether a trial goes on after a step that it reported. A decision stands, however often asked for.

        Baselines always go on, and so does a trial whose last epoch this was, where an epoch is a step: it is complete.
        """
        course, asked = self._course(key), self._asked[key]
        if step not in asked.decided:
            stops = not asked.baseline and self._rule.stops(course) and (asked.epochs is None or step < asked.epochs)
            asked.decided[step] = Decision.STOP if stops else Decision.CONTINUE
        return asked.decided[step]

    def _course(self, key: int) -> Course:
        course = self._asked[key].course
        assert course is not None, "a trial begins before it reports"
        return course

    def finish(self, key: int, state: TrialState, value: float | None = None, by_rule: bool = False) -> None:
        """Take in a trial's end: COMPLETE with its value, PRUNED with its last report if there is one, or FAIL.

        by_rule: the stopping rule ended it, and it has a value by the sweep's rule.
        """
        course = self._course(key)
        if state in _COUNTED:
            self._rule.end(course, state == TrialState.COMPLETE)
        else:
            self._rule.withdraw(course)
        last = max(course.values.items(), default=None)
        self._copy.end(
            self._asked.pop(key).copy_number,
            state,
            value,
            None if last is None else (last[0], self._sign * last[1]),
            by_rule,
        )

    def drop(self, key: int) -> None:
        """Take in that a proposal will become no trial. It is not proposed again."""
        self._known -= 1
        self._copy.reject(self._asked.pop(key).copy_number)
