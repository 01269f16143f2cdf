"""Whether the target of a table asks for one of two classes, for one of several, or for a number: by the values of its
column, read by the standard library alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TextIO, get_args

from hpo.spec.faults import Fault, SpecError, did_you_mean
from hpo.spec.paths import expanded
from hpo.training.data.csv_check import check_csv, class_labels
from hpo.training.data.csv_rows import MISSING, FileForm, Rows, clip, header, look
from hpo.training.data.dates import COMPACT, seen_dates
from hpo.training.data.spelling import SpellingRules, looks_like_a_number, python_number, seen_numbers
from hpo.training.data.splitting import MINIMUM_ROWS_PER_CLASS
from hpo.training.task import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_CLASSES = 20  # of whole numbers; names may be more


@dataclass(frozen=True)
class TargetKind:
    """said: why, in a sentence; "" where the sweep file says the kind."""

    kind: Kind
    said: str = ""


def target_kind(data: Mapping[str, Any]) -> TargetKind:
    """Return the kind of the task that `data: {csv: path, target: column}` sets; `kind` in it says it outright.

    Raises SpecError with what is wrong with `data`, if that leaves it open.
    """
    if "kind" in data:
        if data["kind"] in KINDS:
            return TargetKind(data["kind"])
        message = f"must be one of {', '.join(KINDS)}, but got {data['kind']!r}"
        hint = did_you_mean(str(data["kind"]), KINDS)
        remedy = hint if hint.startswith("did you") else "leave kind out: the target's column says it"
        raise SpecError([Fault(message, ("data", "kind"), remedy=remedy)])
    csv, target, found = data.get("csv"), data.get("target"), None
    if isinstance(csv, str) and isinstance(target, str) and not _is_closed(data):
        path = expanded(csv)
        state = path.stat()
        values = _values(csv, target, FileForm.of(data), (state.st_mtime_ns, state.st_size))
        found = kind_by_values(target, values, SpellingRules.of(data))
    if found is None:
        faults = check_csv(data, "multiclass") or [Fault("must have values that say what is predicted", ("target",))]
        raise SpecError([Fault(each.message, ("data", *each.path), remedy=each.remedy) for each in faults])
    return found


def kind_by_values(target: str, values: Mapping[str, int], rules: SpellingRules) -> TargetKind | None:
    """Return what kind of task the values of a column make, None where they say nothing: there are fewer than two, or
    they are dates, which no task predicts.

    Two values: binary. Texts: multiclass. Whole numbers: multiclass if there are at most MOST_CLASSES, each in as many
    rows as a class needs, else regression. Other numbers: regression. (scikit-learn's `type_of_target` takes all whole
    numbers for classes and all fractions for none; AutoGluon's `infer_problem_type` takes whole numbers for classes by
    their share of the rows. Here the number of classes is bounded as well, since a count or an age in a long table has
    few values, too.)

    values: how many rows have each, without missing ones.
    """
    counts: Counter[str] = Counter()
    for text, label in class_labels(values).items():
        counts[label] += values[text]
    if len(counts) < 2:
        return None
    name, says = f"target {clip(target)!r}", "(data.kind says otherwise)"
    if len(counts) == 2:
        return TargetKind("binary", f"{name} has 2 values: binary {says}")
    few = len(counts) <= MOST_CLASSES and min(counts.values()) >= MINIMUM_ROWS_PER_CLASS
    read = [python_number(text) for text in counts]
    plain = all(number is not None for number in read)
    if not plain and not seen_numbers(counts, rules).fits:
        dates = seen_dates(counts)
        if dates.fits and any(written[0] != COMPACT for written in dates.written):
            return None
        if few or sum(map(looks_like_a_number, counts)) * 2 < len(counts):
            return TargetKind("multiclass", f"{name} has {len(counts)} classes: multiclass {says}")
    if not (plain and all(number is not None and number.is_integer() for number in read)):
        return TargetKind("regression", f"{name} has {len(counts)} numbers: regression {says}")
    sizes = sorted(number for number in read if number is not None)
    span = f"{name} has {len(counts)} whole numbers from {sizes[0]:.15g} to {sizes[-1]:.15g}"
    if few:
        return TargetKind("multiclass", f"{span}: multiclass (if they count or measure: data.kind: regression)")
    why = f"more than {MOST_CLASSES}"
    if len(counts) <= MOST_CLASSES:
        rare = min(counts, key=counts.__getitem__)
        why = f"{clip(rare)} in fewer than the {MINIMUM_ROWS_PER_CLASS} rows that a class needs"
    return TargetKind("regression", f"{span}, {why}: regression (if they name classes: data.kind: multiclass)")


@lru_cache(maxsize=8)
def _values(csv: str, target: str, form: FileForm, state: tuple[int, int]) -> Mapping[str, int]:
    """Return how many rows have each value of a column; none if it isn't there. state: of the file."""
    values: Counter[str] = Counter()

    def count(file: TextIO) -> list[Fault]:
        rows = Rows(file, form.separator)
        names = header(rows)
        if target in names:
            place = names.index(target)
            values.update(text for row in rows if place < len(row) and (text := row[place].strip()) not in MISSING)
        return []

    return {} if look(expanded(csv), csv, count, form.encoding) else values


def _is_closed(data: Mapping[str, Any]) -> bool:
    """Whether the file can't be read as it is said; `check_csv` says why."""
    separator = data.get("separator", ",")
    try:
        "".encode(data.get("encoding", "utf-8"))
    except (LookupError, TypeError, ValueError):
        return True
    return not (isinstance(separator, str) and len(separator) == 1 and expanded(data["csv"]).is_file())
