"""Compares the choices of a parameter, or studies: per choice what it came to, and which differences are larger than
the noise (chance.py)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from hpo.ledger.study.records import record_of
from hpo.ledger.study.unfinished import FORMER
from hpo.review.comparison.blocks import parts_of_choice
from hpo.review.comparison.courses import TrialCourse, courses_of, is_comparable
from hpo.review.comparison.differences import differences_of
from hpo.review.comparison.figures import choice_of
from hpo.review.comparison.grouping import TrialGroup, by_parameter, by_study
from hpo.review.comparison.values import ChoiceDifference, Comparison
from hpo.review.studies import RecordedStudy
from hpo.spec.conditions import identity_of, same_params
from hpo.spec.faults import UserError
from hpo.spec.methods import METHODS
from hpo.spec.space import counted, enumerated
from hpo.spec.sweep import Target

_PARTS = 4  # of a sweep whose sampler learns, within which its trials are compared


def compare(
    studies: Sequence[RecordedStudy],
    by: str | None = None,
    target: float | None = None,
    bins: int | None = None,
    where: str | None = None,
) -> Comparison:
    """Compare the choices of parameter `by`, of one study or of several together; without it, the studies themselves.

    target: in the metric's units; None: the sweep file's, else the first baseline's value, else the median of all
    complete trials. bins: parts of a range, by numbers of trials; None: 4. where: only trials that meet this condition,
    as `hpo trials --where` takes it.
    Raises UserError if there is nothing to compare: studies with different metrics, no such parameter, one choice only,
    no trial that meets the condition.
    """
    metric = _checked(studies, by, bins)
    sign = 1.0 if metric.goal == "maximize" else -1.0
    names = [name for study in studies for name in (study.name, *study.attributes.get(FORMER, ()))]
    remarks: list[str] = []
    courses: list[TrialCourse] = []
    for place, study in enumerate(studies):
        found, left_out = courses_of(study, place, _PARTS if _learns(study) else 1, names)
        courses += found if where is None else _meeting(study, found, where)
        if left_out:
            what = "interrupted ones that were run again, copies, and repeats with the same seed"
            remarks.append(f"{counted(left_out, 'trial')} of {study.name} left out: {what}")
    if where is not None:
        if not courses:
            raise UserError(f"there is nothing to compare: no trial meets --where {where!r}")
        remarks.append(f"only trials where {where}: {len(courses)}")
    groups = by_study(studies, courses) if by is None else by_parameter(studies, courses, by, bins)
    if by is not None and len(groups) < 2:
        what = f"{by} has one choice only, {groups[0].label}" if groups else f"no trial has {by}"
        raise UserError(f"there is nothing to compare: {what}")
    without = len(courses) - sum(len(group.courses) for group in groups)
    if without:
        remarks.append(f"{counted(without, 'trial')} without {by} left out")
    aim, aim_from = _target(studies, courses, target)
    own = parts_of_choice([study.sweep.space for study in studies], by)
    differences = differences_of(groups, sign, own, by is None)
    if thinned := [group.label for group in groups if _is_thinned(group, differences)]:
        remarks.append(f"differences: evenly chosen trials stand for the many of {enumerated(thinned)}")
    return Comparison(
        by=by,
        studies=tuple(names),
        metric=metric.name,
        goal=metric.goal,
        target=aim,
        target_from=aim_from,
        choices=tuple(choice_of(group, sign, aim, names) for group in groups),
        differences=differences,
        remarks=(*remarks, *_remarks(studies, courses, differences, by)),
    )


def _meeting(study: RecordedStudy, courses: Sequence[TrialCourse], where: str) -> list[TrialCourse]:
    """Return the trials that meet a condition."""
    from hpo.review.trial_choice import chosen  # loads pandas
    from hpo.review.trials import table_of

    numbers = set(chosen(table_of(study), where)["number"])
    return [course for course in courses if course.number in numbers]


def _is_thinned(group: TrialGroup, differences: Sequence[ChoiceDifference]) -> bool:
    """Whether a choice has more trials than were compared with those of another one."""
    count = sum(map(is_comparable, group.courses))
    sides = ((each.trials[side], each) for each in differences for side, label in enumerate((each.left, each.right))
             if label == group.label)  # fmt: skip
    return any(used < count for used, each in sides if each.pairing == "none")


def _checked(studies: Sequence[RecordedStudy], by: str | None, bins: int | None) -> Target:
    metric = studies[0].sweep.metric
    names = [study.name for study in studies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"study {twice!r} is named more than once")
    if by is None and len(studies) < 2:
        searched = ", ".join(parameter.name for parameter in studies[0].sweep.space.searched())
        raise UserError(f"compare {names[0]!r} by what? Name a parameter (--by, one of: {searched}) or another study")
    if by is None and bins is not None:
        raise UserError("--bins divides the range of a parameter: name it with --by")
    for study in studies[1:]:
        other = study.sweep.metric
        if (other.name, other.goal) != (metric.name, metric.goal):
            ours, theirs = f"{metric.goal} {metric.name}", f"{other.goal} {other.name}"
            raise UserError(
                f"{names[0]!r} and {study.name!r} can't be compared: their metrics differ ({ours}, {theirs})"
            )
    return metric


def _learns(study: RecordedStudy) -> bool:
    """Whether what was tried depends on how earlier trials turned out. A confirmation's trials are given."""
    method = METHODS.get(study.config.get("method", "tpe"))
    return study.sweep.confirms is None and (method is None or method.learns)


def _target(
    studies: Sequence[RecordedStudy], courses: Sequence[TrialCourse], given: float | None
) -> tuple[float | None, str]:
    if given is not None:
        return given, "as given"
    for study in studies:
        if study.sweep.metric.target is not None:
            return study.sweep.metric.target, f"the target of {study.name}"
    for study in studies:
        baseline = _baseline(study)
        if baseline is not None:
            return baseline[1], f"the baseline of {study.name}, trial {baseline[0]}"
    values = [course.value for course in courses if course.value is not None]
    return (statistics.median(values), "the median of all complete trials") if values else (None, "")


def _baseline(study: RecordedStudy) -> tuple[int, float] | None:
    """Return the number and the value of the first baseline; None if there is none, or it is not complete."""
    if not study.sweep.baselines:
        return None
    for trial in study.trials:
        record = record_of(trial, history=False)
        if record.state == "complete" and same_params(record.params, study.sweep.baselines[0]):
            return None if record.value is None else (record.number, record.value)
    return None


def _remarks(
    studies: Sequence[RecordedStudy],
    courses: Sequence[TrialCourse],
    differences: Sequence[ChoiceDifference],
    by: str | None,
) -> list[str]:
    """Return what must be known to read a comparison."""
    found = []
    states = {course.state for course in courses}
    if "stopped" in states:
        found.append(
            "stopped trials are compared by what both had at the same epoch; they are in no median or quartile"
        )
    if "diverged" in states:
        found.append("a trial that diverged is worse than any that did not")
    learning = [study.name for study in studies if _learns(study)]
    if learning and any(each.pairing == "none" for each in differences):
        which = "" if len(learning) == len(studies) else f" in {', '.join(learning)}"
        tried = "choices" if by is not None else "configurations"
        within = "; so only trials of the same quarter of a sweep are compared" if by is not None else ""
        found.append(
            f"the search chose what to try by what it had seen{which}: it tried the better {tried} more often, and "
            f"with better values of the rest. These trials are no random sample{within}. A grid or a random search "
            "says more"
        )
    rules = {study.name: _rule(study) for study in studies}
    if len(set(rules.values())) > 1:
        told = "; ".join(f"in {name} {rule}" for name, rule in rules.items())
        found.append(f"the studies' values are not of one rule, so a difference may be the rule's: {told}")
    seeds = {course.seed for course in courses}
    if len(seeds) == 1 and len(courses) > 1:
        found.append("all trials have the same seed: with another one, small differences may come out otherwise")
    if differences and all(each.finding == "too few trials" for each in differences):
        found.append("with so few trials no difference, however large, could be told from noise")
    if len({identity_of(_setting(study)) for study in studies}) > 1:
        found.append("the studies differ in objective, data or epochs: their values may not mean the same")
    return found


def _rule(study: RecordedStudy) -> str:
    metric = study.sweep.metric
    what = f"a trial's value is that of its {metric.at} step (metric.at)"
    return what if metric.stopped_count else f"{what}, and one that was stopped has none"


def _setting(study: RecordedStudy) -> Mapping[str, Any]:
    identity = study.sweep.identity()
    return {key: identity[key] for key in ("objective", "program", "command", "data", "epochs")}
