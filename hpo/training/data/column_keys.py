"""The keys of `data` that say which columns of a table are used, and as what: `drop`, `features`, `categorical`,
`numeric`; and which class counts as 1: `positive`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hpo.spec.columns import LISTS, ROLES
from hpo.spec.faults import Fault, did_you_mean, series
from hpo.training.data.csv_rows import no_column
from hpo.training.task import Kind

COLUMN_KEYS = (*LISTS, "positive")


def names_of(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the columns that a key lists; a single name may stand for a list of one."""
    value = data.get(key, ())
    return (value,) if isinstance(value, str) else tuple(value)


def unused_columns(data: Mapping[str, Any], header: Iterable[str], besides: Iterable[str]) -> list[str]:
    """Return the columns that no model is to see, by `drop` or `features`. besides: those that are no features anyway,
    see `roles_of`."""
    drop, features, kept = names_of(data, "drop"), names_of(data, "features"), set(besides)
    return [name for name in header if name not in kept and (name in drop or (features and name not in features))]


def roles_of(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns that are no features, by the keys that name them. The time is one if `features` names it."""
    named = {key: data[key] for key in ROLES if isinstance(data.get(key), str)}
    features = names_of(data, "features")
    return {key: column for key, column in named.items() if not (key == "time" and column in features)}


def check_roles(data: Mapping[str, Any], header: list[str]) -> list[Fault]:
    """Return what is wrong with the columns that the keys for weights and splits name. header: it has the target."""
    faults, known = [], {data["target"]: "target"}
    for key in ROLES[1:]:
        name = data.get(key)
        if not isinstance(name, str):
            continue
        if name not in header:
            faults.append(no_column(name, header, key))
        elif name in known:
            faults.append(Fault(f"{name!r} can't be both {known[name]} and {key}", (key,)))
        known.setdefault(name, key)
    others = [f"{key} ({name!r})" for key, name in roles_of(data).items() if key != "target"]
    if not faults and others and len(others) + 1 >= len(header):
        told = f"there must be a column besides target and {series(others)} to learn from"
        faults.append(Fault(told, (next(reversed(roles_of(data))),)))
    return faults


def check_column_keys(data: Mapping[str, Any], kind: Kind) -> list[Fault]:
    """Return what is wrong with these keys by themselves."""
    faults = []
    for key in LISTS:
        value = data.get(key, ())
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
            told = f"must be a list of columns' names, but got {value!r}"
            faults.append(Fault(told, (key,), remedy=f"e.g. {key}: [name, age]; a name that is a number in quotes"))
        elif key in data and not names:
            faults.append(Fault("must name a column at least", (key,), remedy=f"leave {key} out"))
    if "drop" in data and "features" in data:
        faults.append(Fault("'drop' and 'features' exclude each other", ("drop",), remedy="keep `features`"))
    if not faults and (both := sorted({*names_of(data, "categorical")} & {*names_of(data, "numeric")})):
        faults.append(Fault(f"{both[0]!r} can't be both numeric and categorical", ("numeric",)))
    if "positive" in data and kind != "binary":
        faults.append(Fault(f"means nothing for a {kind} task", ("positive",), remedy="leave positive out"))
    elif "positive" in data and not isinstance(data["positive"], str | int | float):
        faults.append(Fault(f"must be a class of the target, but got {data['positive']!r}", ("positive",)))
    return faults


def check_columns(data: Mapping[str, Any], header: list[str]) -> list[Fault]:
    """Return what these keys name that isn't among the columns of the file, or is none of the features."""
    faults, besides = [], roles_of(data)
    gone = set(unused_columns(data, header, besides.values()))
    for key in LISTS:
        for name in names_of(data, key):
            role = next((role for role, column in besides.items() if column == name), None)
            if name not in header:
                faults.append(no_column(name, header, key))
            elif role is not None:
                also = ", or name it in `features`, too" if role == "time" and key != "drop" else ""
                told = f"{name!r} is the {role}, and no feature anyway"
                faults.append(Fault(told, (key,), remedy=f"leave it out{also}"))
            elif key in ("categorical", "numeric") and name in gone:
                faults.append(Fault(f"{name!r} is not used, by `drop` or `features`", (key,), remedy="leave it out"))
    if not faults and len(gone) + len(besides) >= len(header):
        key = "drop" if "drop" in data else "csv"
        faults.append(Fault("no column is left to learn from", (key,), remedy="drop fewer"))
    return faults


def check_positive(data: Mapping[str, Any], labels: Iterable[str]) -> list[Fault]:
    """Return a fault if `positive` is no class."""
    known = list(dict.fromkeys(labels))
    if "positive" not in data or positive_of(data["positive"], known) is not None:
        return []
    return [
        Fault(
            f"there is no class {data['positive']!r}", ("positive",), remedy=did_you_mean(str(data["positive"]), known)
        )
    ]


def positive_of(wanted: Any, labels: Collection[str]) -> str | None:
    """Return the class that `positive` means, None if there is none. YAML reads `yes` as true, and 1.0 is `1`, too."""
    if isinstance(wanted, bool):
        words = ("true", "yes", "on") if wanted else ("false", "no", "off")
        return next((label for word in words for label in labels if label.lower() == word), None)
    spellings = {str(wanted), str(wanted).removesuffix(".0")}
    return next((label for label in labels if label in spellings), None)
