"""The keys of `data` that say how a table's rows are split: `split`, and beside it `time`, `group`, `split_column` or
`test_csv`. Standard library alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hpo.spec.contract import RESAMPLED, Known
from hpo.spec.faults import Fault
from hpo.training.data.splitting import RANDOM, SPLIT_OPTIONS, STRATIFIED

TIME, GROUP, GIVEN = "time", "group", "given"
TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)
COLUMN_OF = {TIME: "time", GROUP: "group", GIVEN: "split_column"}
"""The key that names the column by which a kind of split goes."""
SPLIT_COLUMNS = tuple(COLUMN_OF.values())
SPLIT_KEYS = (*SPLIT_COLUMNS, "test_csv")
_USUAL = {
    TRAIN: ("train", "training"),
    VALIDATION: ("validation", "val", "valid", "dev", "development"),
    TEST: ("test", "testing", "holdout", "hold-out", "hold_out"),
}
_PART_OF = {word: part for part, words in _USUAL.items() for word in words}
UNDERSTOOD = "understood are " + ", ".join(_PART_OF)
_BY_TIME = "rows are split in the order of time"
_WHOLE = re.compile(r"(-?[0-9]+)\.0+")

TABLE_SPLIT = Known(
    "choice",
    STRATIFIED,
    SPLIT_OPTIONS["split"].help + "; time: the earliest rows train, the latest test; group: no group is in two splits; "
    "given: as a column or a file says",
    choices=(STRATIFIED, RANDOM, TIME, GROUP, GIVEN),
)


def how_split(data: Mapping[str, Any]) -> str:
    """Return the kind of a table's split. Where `split` isn't said, a column beside it implies its kind."""
    implied = next((how for how, key in COLUMN_OF.items() if key in data), STRATIFIED)
    return str(data.get("split", implied))


def cuts_by(data: Mapping[str, Any]) -> str:
    """Return how the rows are cut that neither a column nor a file gives."""
    how = how_split(data)
    return STRATIFIED if how == GIVEN else how


def tests_given(data: Mapping[str, Any]) -> bool:
    """Whether a column or a file says which the test rows are, and no share."""
    return "test_csv" in data or "split_column" in data


def shares_of(data: Mapping[str, Any]) -> tuple[float, float]:
    """Return the shares of the rows, validation's and test's; of what a column or a file gives the test's is 0."""
    test = 0 if tests_given(data) else data.get("test", SPLIT_OPTIONS["test"].default)
    return data.get("validation", SPLIT_OPTIONS["validation"].default), test


def part_of(text: str) -> str | None:
    """Return the split that a value of `split_column` means; None if none is known."""
    return _PART_OF.get(text.strip().lower())


def group_of(text: str) -> str:
    """Return the group that a value means: `7.0` is 7, `007` is another."""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def check_split_keys(data: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with these keys by themselves, and beside each other: none is ignored."""
    faults = []
    for key in SPLIT_KEYS:
        if key in data and not (isinstance(data[key], str) and data[key]):
            what = "a path" if key == "test_csv" else "the name of a column"
            faults.append(Fault(f"must be {what}, but got {data[key]!r}", (key,)))
    if faults or TABLE_SPLIT.objection(data.get("split", STRATIFIED)):  # which check_options tells
        return faults
    how, given = how_split(data), [key for key in SPLIT_COLUMNS if key in data]
    if "split" not in data and len(given) > 1:
        told = f"'{given[0]}' and '{given[1]}' each imply a split of their own"
        return [Fault(told, (given[1],), remedy=f"keep one of them; {_not_seen(data, given[1])}")]
    faults += [
        Fault(f"{key!r} belongs to split: {kind}, but this is split: {how}", (key,), remedy=_stray(data, kind, key))
        for kind, key in COLUMN_OF.items()
        if key in data and kind != how
    ]
    wanted = COLUMN_OF.get(how)
    if wanted is not None and wanted not in data and not (how == GIVEN and "test_csv" in data):
        also = ", or test_csv: other.csv" if how == GIVEN else ""
        told = f"split: {how} needs '{wanted}', the column that says it"
        faults.append(Fault(told, ("split",), remedy=f"e.g. {wanted}: {_EXAMPLES[how]}{also}"))
    return faults or _meaningless(data, how)


_EXAMPLES = {TIME: "date", GROUP: "customer_id", GIVEN: "part"}


def _meaningless(data: Mapping[str, Any], how: str) -> list[Fault]:
    faults = []
    if how == TIME and "split_seed" in data:
        told = f"'split_seed' means nothing beside split: time: {_BY_TIME}, none at random"
        faults.append(Fault(told, ("split_seed",), remedy="leave split_seed out"))
    if how == TIME and data.get("resample") == "reshuffle":
        told = f"resample: reshuffle can't stand beside split: time: {_BY_TIME}"
        faults.append(Fault(told, ("resample",), remedy="resample: kfold validates on later and later rows"))
    if "test" in data and tests_given(data):
        key = "split_column" if "split_column" in data else "test_csv"
        told = f"'test', a share of the rows, means nothing beside '{key}', which gives the test rows"
        faults.append(Fault(told, ("test",), remedy="leave test out"))
    return faults


def check_given_validation(data: Mapping[str, Any]) -> list[Fault]:
    """Return what means nothing where `split_column` has validation rows."""
    why = f"the column {data['split_column']!r} says which rows validate"
    keys = [key for key in ("validation", "split_seed") if key in data]
    faults = [Fault(f"{key!r} means nothing here: {why}", (key,), remedy=f"leave {key} out") for key in keys]
    if data.get("resample") in RESAMPLED:
        told = f"resample: {data['resample']} can't stand here: {why}"
        faults.append(Fault(told, ("resample",), remedy="leave resample out; or let the column say train for them"))
    return faults


def _stray(data: Mapping[str, Any], kind: str, key: str) -> str:
    return f"split: {kind}; or leave {key} out, and {_not_seen(data, key)}"


def _not_seen(data: Mapping[str, Any], key: str) -> str:
    return f"drop: [{data[key]}] keeps a column from the model"
