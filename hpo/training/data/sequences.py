"""Sequences to learn from: the adding problem, windows of a CSV file in the order of time, and arrays in a file.

data: {source: adding, length: 50}
data: {csv: sales.csv, target: units, time: date, length: 28, horizon: 1}
data: {arrays: measured.npz}
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.contract import Known
from hpo.spec.faults import Fault, SpecError, UserError
from hpo.spec.paths import expanded
from hpo.training.data.column_keys import unused_columns
from hpo.training.data.csv_check import READING_OPTIONS, check_csv
from hpo.training.data.csv_rows import FileForm, header_of, listed, no_column
from hpo.training.data.kinds import TableRules, read_numbers
from hpo.training.data.options import check_options, fill_options
from hpo.training.data.splitting import (
    MINIMUM_ROWS,
    SCALE_OPTIONS,
    SPLIT_OPTIONS,
    STRATIFIED,
    check_shares,
    how_drawn,
    small_splits,
    split_indices,
    split_note,
    to_split,
)
from hpo.training.data.tabular import fit_features, read_table
from hpo.training.data.times import ONE_FORM, times_of
from hpo.training.data.windows import FittedWindows
from hpo.training.task import Splits

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
else:
    np = lazy_import("numpy")
    pd = lazy_import("pandas")

_SHARES = {name: SPLIT_OPTIONS[name] for name in ("validation", "test")}
_SEED = {"split_seed": SPLIT_OPTIONS["split_seed"]}
SOURCE_OPTIONS: dict[str, Known] = {
    "source": Known("choice", "adding", choices=("adding",)),
    "rows": Known("int", 2000, "how many sequences are made", within="[30, 1000000]"),
    "length": Known("int", 50, "steps of a sequence", within="[2, 10000]"),
    **_SHARES,
    **_SEED,
}
SERIES_OPTIONS: dict[str, Known] = {
    "length": Known("int", 10, "how many rows up to now a prediction is made from", within="[1, 10000]"),
    "horizon": Known("int", 1, "how many rows ahead the target lies", within="[1, 10000]"),
}
_NOT_OF_SERIES = ("split", "split_seed", "resample", "folds", "weight", "group", "split_column", "test_csv")
ARRAYS_OPTIONS: dict[str, Known] = {**_SHARES, **_SEED}


def check_sequences(data: Mapping[str, Any]) -> list[Fault]:
    """Return what is wrong with a `data` section of sequences. Paths are relative to it."""
    if "arrays" in data:
        return _check_arrays(data)
    if "csv" in data or "time" in data:
        return _check_series(data)
    return check_options(data, SOURCE_OPTIONS) + check_shares(data)


def load_sequences(data: Mapping[str, Any]) -> Splits:
    """Return the splits of the sequences that a `data` section names: x [N, steps, features], y [N].

    Raises SpecError with everything that `check_sequences` finds, UserError for what only reading shows.
    """
    if faults := check_sequences(data):
        raise SpecError(faults, "data")
    if "arrays" in data:
        x, y = _arrays_of(data["arrays"])
        return _split(x, y, fill_options(data, ARRAYS_OPTIONS), f"read {len(y)} sequences from {data['arrays']}")
    if "csv" in data:
        return _load_series(data)
    options = fill_options(data, SOURCE_OPTIONS)
    x, y = adding_problem(options["rows"], options["length"])
    return _split(x, y, options, "the adding problem: the sum of the two marked numbers")


def adding_problem(rows: int, length: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return sequences [rows, length, 2] of numbers in [0, 1) and marks, and the sum [rows] of the two marked numbers.

    One mark is in the first half, one in the second, so a model must remember the first over half of the length in the
    mean (Hochreiter and Schmidhuber 1997, with the marks of Le, Jaitly and Hinton 2015). Always saying 1 has a mean
    squared error of 1/6, a root of 0.408.
    """
    generator = np.random.default_rng(42)
    numbers = generator.random((rows, length), dtype=np.float32)
    half = length // 2
    marks = np.zeros_like(numbers)
    marks[np.arange(rows), generator.integers(0, half, rows)] = 1
    marks[np.arange(rows), generator.integers(half, length, rows)] = 1
    return np.stack([numbers, marks], -1), (numbers * marks).sum(1)


def _split(x: NDArray[Any], y: NDArray[Any], options: Mapping[str, Any], note: str) -> Splits:
    """Split sequences that stand for themselves, at random."""
    parts = split_indices(y, "regression", options["validation"], options["test"], options["split_seed"])
    train, validation, test = (to_split(x[rows], y[rows], "regression") for rows in parts)
    sizes = len(train), len(validation), len(test)
    shape = f"{x.shape[1]} steps of {x.shape[2]} numbers, as they are"
    told = split_note(sizes, how_drawn(STRATIFIED, "regression", options["split_seed"]))
    notes = (note, shape, told, *small_splits(sizes[1], sizes[2], "regression"))
    return Splits(train, validation, test, 1, notes)


def _check_series(data: Mapping[str, Any]) -> list[Fault]:
    own = {key: value for key, value in data.items() if key in SERIES_OPTIONS}
    faults = check_options(own, SERIES_OPTIONS)
    foreign = [key for key in _NOT_OF_SERIES if key in data]
    why = "a series is split in the order of time, so that no trial sees what comes later"
    faults += [Fault(f"{key!r} means nothing here: {why}", (key,), remedy=f"leave {key} out") for key in foreign]
    rest = {key: value for key, value in data.items() if key not in (*SERIES_OPTIONS, *foreign, "time")}
    faults += check_csv(rest, "regression")
    if not (isinstance(data.get("time"), str) and data["time"]):
        told = f"must be the name of the column that orders the rows, but got {data.get('time')!r}"
        faults.append(Fault(told, ("time",) if "time" in data else (), remedy="e.g. time: date"))
    elif not faults and data["time"] not in (header := header_of(expanded(data["csv"]), FileForm.of(data))):
        faults.append(no_column(data["time"], header, "time"))
    elif data["time"] == data.get("target"):
        faults.append(Fault(f"{data['time']!r} can't be both target and time", ("time",)))
    return faults


def _load_series(data: Mapping[str, Any]) -> Splits:
    """Cut a table into windows of `length` rows, each with the target `horizon` rows after its last row.

    The target's own past is among the features. Windows are split in the order of time; what fills gaps, scales and
    encodes is fitted on the rows that lie before the first target of validation.
    """
    options = fill_options(data, {**SERIES_OPTIONS, **_SHARES, **SCALE_OPTIONS, **READING_OPTIONS})
    length, ahead, target = options["length"], options["horizon"], data["target"]
    form = FileForm.of(data)
    rules = TableRules.of({**data, **options, "separator": form.separator})
    table, notes = _in_order(read_table(data["csv"], form), target, data["time"], rules)
    windows = len(table) - length - ahead + 1
    if windows < MINIMUM_ROWS:
        raise UserError(
            f"data.csv: {len(table)} rows make {max(0, windows)} windows of {length} rows with a target {ahead} ahead, "
            f"but at least {MINIMUM_ROWS} are needed (a shorter length?)"
        )
    testing, validating = (math.ceil(windows * options[name]) for name in ("test", "validation"))
    training = windows - testing - validating
    if training < 1:
        raise UserError(f"data: validation and test leave none of the {windows} windows to train on")
    gone = unused_columns(data, table.columns, [target])
    table = table.drop(columns=gone)
    before = table[: training + length + ahead - 1]
    columns, column_notes = fit_features(before, "", rules, [data["time"], *gone])
    fitted = FittedWindows(columns, length)
    x = fitted.cut(columns.apply(table))[:windows]
    numbers, told = read_numbers(table, target, rules.spelling)
    y = numbers.to_numpy(dtype=np.float64)[length + ahead - 1 :]
    edges = (0, training), (training, training + validating), (training + validating, windows)
    train, validation, test = (to_split(x[start:stop], y[start:stop], "regression") for start, stop in edges)
    notes += [
        f"windows of {length} rows, each to predict {target!r} {ahead} ahead; its own past is among the features",
        f"split in the order of {data['time']!r}: {training} windows for training, then {validating} for validation, "
        f"then {testing} for the test",
        *(note for note in told if note not in column_notes),
        *column_notes,
        *small_splits(validating, testing, "regression"),
        *(f"warning: validation and test rows: {odd}" for odd in columns.misfits(table[len(before) :])),
        *([f"not used, as the file says: {listed(gone)}"] if gone else []),
        f"{x.shape[2]} features in all, fitted on the rows before the first target of validation",
    ]
    return Splits(train, validation, test, 1, tuple(notes), preprocessing=fitted)


def _in_order(table: pd.DataFrame, target: str, time: str, rules: TableRules) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that have a target, in the order of time and without that column, and what there is to say."""
    notes = [f"read {len(table)} rows and {table.shape[1]} columns from the file"]
    kept = table.dropna(subset=[target])
    if len(kept) < len(table):
        notes.append(f"dropped {len(table) - len(kept)} rows whose target {target!r} is missing: time has a gap there")
    texts = kept[time].astype(str)
    when = texts.map(times_of(texts.unique().tolist(), rules.spelling, rules.dayfirst)).astype(float)
    if when.isna().any():
        odd = kept[time][when.isna()].iloc[0]
        raise UserError(
            f"data.time: every row must have a number or a date in {time!r}, but one has {odd!r} ({ONE_FORM})"
        )
    if twice := int(when.duplicated().sum()):
        notes.append(f"{twice} rows have the same {time!r} as another: they stay in the order of the file")
    order = np.argsort(when.to_numpy(), kind="stable")
    return kept.iloc[order].drop(columns=time).reset_index(drop=True), notes


def _check_arrays(data: Mapping[str, Any]) -> list[Fault]:
    rest = {key: value for key, value in data.items() if key != "arrays"}
    faults = check_options(rest, ARRAYS_OPTIONS) + check_shares(rest)
    if not isinstance(data["arrays"], str) or not data["arrays"]:
        return [*faults, Fault(f"must be a path, but got {data['arrays']!r}", ("arrays",))]
    path = expanded(data["arrays"])
    if not path.is_file():
        remedy = f"relative paths start at {Path.cwd()}" if not path.is_absolute() else "check the path"
        return [*faults, Fault(f"must name a file, but {data['arrays']!r} does not exist", ("arrays",), remedy=remedy)]
    if not zipfile.is_zipfile(path):
        told = f"must be a file of NumPy arrays, but {data['arrays']!r} is none"
        return [*faults, Fault(told, ("arrays",), remedy="numpy.savez('it.npz', x=x, y=y) writes one")]
    with zipfile.ZipFile(path) as file:
        missing = [name for name in ("x", "y") if f"{name}.npy" not in file.namelist()]
    if missing:
        told = f"{data['arrays']!r} has no array {missing[0]!r}"
        faults.append(Fault(told, ("arrays",), remedy="numpy.savez('it.npz', x=x, y=y) writes x [N, steps, ...] and y"))
    return faults


def _arrays_of(written: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return x [N, steps, features] and y [N] of a file. Raises UserError if they are something else."""
    try:
        with np.load(expanded(written), allow_pickle=False) as file:
            x, y = file["x"], file["y"]
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:  # ValueError: it has pickles
        raise UserError(f"data.arrays: {written!r} can't be read: {error}") from error
    wrong = ""
    if x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or not all(x.shape):
        wrong = f"x must be [N, steps, features] and y [N], but they are {list(x.shape)} and {list(y.shape)}"
    elif any(each.dtype.kind not in "biuf" for each in (x, y)):
        wrong = f"x and y must be numbers, but they are {x.dtype} and {y.dtype}"
    else:
        with np.errstate(over="ignore"):
            x, y = x.astype(np.float32), y.astype(np.float32)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            wrong = "x and y must be finite in float32, but some of their numbers are not"
    if wrong:
        raise UserError(f"data.arrays: {written!r}: {wrong}")
    return x, y
