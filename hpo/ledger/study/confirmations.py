"""Confirmations as the studies keep them: what is confirmed, what came out, and how often the test rows were looked at.

A confirmation trains in a study of its own, `NAME.confirm` (then `.confirm.2`, ...), which bears the attribute
`confirms`. What came out is recorded in the study that was confirmed, under `confirmations`; and so is each look at
test rows, under `test_looks`, before they are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

CONFIRMS = "confirms"  # the attribute of a confirming study
CONFIRMATIONS = "confirmations"  # of the study that is confirmed: all that came to an end, the latest last
CONFIRMATION = "confirmation"  # of the confirming study: the same, of itself; {}: it was given up
LOOKS = "test_looks"  # of the study that is confirmed

Verdict = Literal["better", "not shown", "worse"]
MeasuredOn = Literal["test", "reported", "validation"]


@dataclass(frozen=True)
class Contender:
    """A configuration that a confirmation trains.

    number: the trial of the study that has it; None: no trial has. params: without a seed. baseline: the winner is
    judged against it.
    """

    name: str
    number: int | None
    params: Mapping[str, Any]
    baseline: bool = False


@dataclass(frozen=True)
class Confirming:
    """What a confirming study is for.

    takes_seed: the objective knows a hyperparameter `seed`; else it gets its seed beside the hyperparameters. outputs:
    its models leave their outputs for the test rows.
    """

    study: str
    study_id: str
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    takes_seed: bool
    outputs: bool
    parent: str = ""  # MLflow's parent run of the study that is confirmed, as far as it is known

    def attribute(self) -> dict[str, Any]:
        """Return what the study keeps: plain JSON types."""
        plain = asdict(self)
        return plain | {"contenders": [asdict(each) for each in self.contenders], "seeds": list(self.seeds)}

    def is_of(self, study: str, study_id: str, contenders: Sequence[Contender], seeds: int) -> bool:
        """Whether it is the confirmation of these contenders over so many seeds."""
        return (self.study, self.study_id, len(self.seeds)) == (study, study_id, seeds) and [
            (each.number, each.params, each.baseline) for each in self.contenders
        ] == [(each.number, each.params, each.baseline) for each in contenders]


def confirming(attributes: Mapping[str, Any]) -> Confirming | None:
    """Return what a study confirms; None if it is a sweep's. attributes: the study's."""
    kept = attributes.get(CONFIRMS)
    if not kept:
        return None
    contenders = tuple(Contender(**each) for each in kept["contenders"])
    return Confirming(**{**kept, "contenders": contenders, "seeds": tuple(kept["seeds"])})


def is_given_up(attributes: Mapping[str, Any]) -> bool:
    """Whether nothing will come of a confirming study any more. attributes: its."""
    return attributes.get(CONFIRMATION) == {}


@dataclass(frozen=True)
class Ranked:
    """A contender after its training.

    trials: of the confirming study, one a seed, in the order of the seeds. validation: the mean of the sweep's metric
    over these, and its standard deviation; None, where `out` says why it is not ranked.
    """

    name: str
    number: int | None
    params: Mapping[str, Any]
    baseline: bool
    trials: tuple[int, ...]
    validation: float | None
    validation_sd: float | None
    out: str = ""


@dataclass(frozen=True)
class Final:
    """The winner or the baseline, measured in the end.

    number: the trial of the confirmed study that has the configuration; None: no trial has. test: the mean over the
    seeds; `test_sd` their standard deviation; None where there are no test rows and the objective reports no such
    metric. trials: of the confirming study, those that were measured.
    """

    name: str
    number: int | None
    params: Mapping[str, Any]
    validation: float
    validation_sd: float
    test: float | None
    test_sd: float | None
    trials: tuple[int, ...]


@dataclass(frozen=True)
class Yardstick:
    """What winner and baseline were compared by.

    on: the rows: the untouched test rows, the objective's own (a `test_...` that it reports), or those of validation.
    rows: how many, where that is known. data: the digest of these test rows; looks: how often they were looked at, this
    time included.
    """

    metric: str
    goal: str
    on: MeasuredOn
    rows: int | None = None
    data: str = ""
    looks: int = 0


@dataclass(frozen=True)
class JudgedDifference:
    """What the comparison says.

    difference: the winner's metric less the baseline's, turned so that positive is better. interval: of the difference,
    at `level`. method: how it was found. needed: what would show a difference of this size, in words; "" where that is
    not in question.
    """

    difference: float
    interval: tuple[float, float]
    level: float
    verdict: Verdict
    method: str
    needed: str = ""


@dataclass(frozen=True)
class Confirmation:
    """What came out of a confirmation.

    study: the confirming study. seeds: those that winner and baseline were compared by. ranking: all contenders, the
    best on validation first.
    """

    study: str
    moment: float  # seconds since the Unix epoch
    seeds: tuple[int, ...]
    ranking: tuple[Ranked, ...]
    winner: Final
    baseline: Final
    measure: Yardstick
    result: JudgedDifference

    def is_of(self, contenders: Sequence[Contender], seeds: int) -> bool:
        """Whether it is the confirmation of these contenders over so many seeds."""
        mine, theirs = ([(e.number, e.params, e.baseline) for e in listed] for listed in (self.ranking, contenders))
        return (
            len(mine) == len(theirs)
            and all(each in mine for each in theirs)
            and max(len(each.trials) for each in self.ranking) == seeds
        )

    def attribute(self) -> dict[str, Any]:
        """Return what the study keeps: plain JSON types."""
        plain: dict[str, Any] = _listed(asdict(self))
        return plain


def _listed(value: Any) -> Any:
    """Return a value with lists in place of tuples, as it comes back from JSON."""
    if isinstance(value, Mapping):
        return {key: _listed(entry) for key, entry in value.items()}
    return [_listed(entry) for entry in value] if isinstance(value, list | tuple) else value


def _read(kept: Mapping[str, Any]) -> Confirmation:
    low, high = kept["result"]["interval"]
    return Confirmation(
        study=kept["study"],
        moment=kept["moment"],
        seeds=tuple(kept["seeds"]),
        ranking=tuple(Ranked(**{**each, "trials": tuple(each["trials"])}) for each in kept["ranking"]),
        winner=Final(**{**kept["winner"], "trials": tuple(kept["winner"]["trials"])}),
        baseline=Final(**{**kept["baseline"], "trials": tuple(kept["baseline"]["trials"])}),
        measure=Yardstick(**kept["measure"]),
        result=JudgedDifference(**{**kept["result"], "interval": (low, high)}),
    )


def confirmations_in(attributes: Mapping[str, Any]) -> tuple[Confirmation, ...]:
    """Return the confirmations of a study that came to an end, the latest last. attributes: the study's."""
    return tuple(map(_read, attributes.get(CONFIRMATIONS, ())))


def names_in(attributes: Mapping[str, Any]) -> set[str]:
    """Return the confirming studies of which a study knows, whether they are here or not. attributes: the study's."""
    return {each["study"] for key in (CONFIRMATIONS, LOOKS) for each in attributes.get(key, ())}


def latest_plain(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what came out last, as the study has it: of a study that was confirmed, or of a confirming one itself; {}
    if nothing did. attributes: its."""
    kept: Mapping[str, Any] = attributes.get(CONFIRMATION) or next(reversed(attributes.get(CONFIRMATIONS, ())), {})
    return kept


def latest_in(attributes: Mapping[str, Any]) -> Confirmation | None:
    """Return what came out last (`latest_plain`); None if nothing did."""
    kept = latest_plain(attributes)
    return _read(kept) if kept else None


def looks_at(data: str, studies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the confirming studies that have looked at the test rows with this digest, the first one first.

    studies: the attributes of all studies of a storage.
    """
    found = {
        (look["moment"], look["study"])
        for attributes in studies
        for look in attributes.get(LOOKS, ())
        if look["data"] == data
    }
    return [study for _, study in sorted(found)]
