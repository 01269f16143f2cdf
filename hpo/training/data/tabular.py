"""Tables from CSV files: `data: {csv: churn.csv, target: left}` becomes three splits of float32 tensors.

The rows are split first. What a column is (numbers, text, useless), what fills its gaps, its scale and its categories
are then learned from the training rows alone, so that nothing of validation or test leaks into training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hpo.lazy import lazy_import
from hpo.spec.faults import Fault, SpecError, UserError, series
from hpo.spec.paths import expanded
from hpo.training.cuts import Cut, Fold
from hpo.training.data.column_keys import positive_of, roles_of, unused_columns
from hpo.training.data.columns import (
    FittedColumns,
    NumberColumn,
    TextColumn,
    cleaned,
    number_values,
    text_values,
    with_dates,
)
from hpo.training.data.csv_check import CSV_OPTIONS, case_words, check_csv
from hpo.training.data.csv_rows import FileForm, clip, codec, is_gzipped, is_parquet, listed, open_table
from hpo.training.data.date_columns import DateColumn
from hpo.training.data.kinds import MAX_CATEGORIES, TableColumns, TableRules, classify, read_numbers
from hpo.training.data.labels import class_labels
from hpo.training.data.options import fill_options
from hpo.training.data.split_words import split_hints, split_words
from hpo.training.data.splitting import to_split
from hpo.training.data.suspicions import suspicions
from hpo.training.data.table_split import TableRows, split_table
from hpo.training.task import Kind, Splits

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder
else:
    np = lazy_import("numpy")
    pd = lazy_import("pandas")

__all__ = ["MAX_CATEGORIES", "check_csv", "load_csv"]


_COINCIDENCE = 0.001  # of a table's rows, that may be alike by chance


def load_csv(data: Mapping[str, Any], kind: Kind, cut: Cut | None = None) -> Splits:
    """Read a table, split it, and turn its columns into numbers.

    data: `csv` (path), `target` (column), and optionally `weight` (a column) and CSV_OPTIONS: `validation` and `test`
        (shares, default 0.2 each), `split`, with `time`, `group`, `split_column` (columns) or `test_csv` (a path), see
        hpo.training.data.split_keys, `split_seed` (default 0), `scale`, `separator` (default a comma), `decimal`
        and `thousands` (the marks in numbers, default: as each column shows, see hpo.training.data.spelling),
        `dayfirst` (likewise), `drop` or `features`, `categorical`, `numeric` (lists of columns), `positive` (of two
        classes the one that is 1).
    cut: as the task's `splits` was given it; None: one split for all trials.
    Rows without a target are dropped. Classes get the numbers 0, 1, ... in sorted order. Numbers: gaps are filled with
    the median and marked by a column of their own, then standardised. Dates become numbers (days, year, month, day of
    the year, hour) and weekdays. Text: one column a category, "missing" being one; beyond MAX_CATEGORIES the rarest
    share one. Dropped: columns that are empty or constant, text that differs in every row, row numbers. The notes say
    in sentences which column went where.
    Raises SpecError with everything that `check_csv` finds, and as `split_table`; UserError if a feature or target is
    beyond float32.
    """
    prepared = _prepare(data, kind, cut)
    train, validation, test = (
        to_split(x, prepared.y[rows], kind, None if prepared.weight is None else prepared.weight[rows])
        for x, rows in zip(prepared.x, prepared.parts, strict=True)
    )
    outputs = len(prepared.classes) if kind == "multiclass" else 1
    return Splits(train, validation, test, outputs, prepared.notes, prepared.classes, prepared.fitted)


def describe_csv(data: Mapping[str, Any], kind: Kind, cut: Cut | None = None) -> tuple[str, ...]:
    """Return the notes of `load_csv`, without Torch. Raises what it raises."""
    return _prepare(data, kind, cut).notes


@dataclass(frozen=True)
class _Prepared:
    """A table as numbers. x, parts: of train, validation and test; parts: the numbers of their rows in y and weight."""

    x: list[NDArray[np.float32]]
    y: NDArray[Any]
    weight: NDArray[np.float64] | None
    parts: tuple[NDArray[np.intp], ...]
    fitted: FittedColumns
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def _prepare(data: Mapping[str, Any], kind: Kind, cut: Cut | None) -> _Prepared:
    faults = check_csv(data, kind)
    if faults:
        raise SpecError(faults, "data")
    options = fill_options(data, CSV_OPTIONS)
    read = _read if cut is None else _read_once
    form = FileForm.of(data)
    whole, read_notes = read(data["csv"], data["target"], form, _state(data["csv"]))
    table, notes, tests = whole, list(read_notes), 0
    rules = TableRules.of({**data, **options, "separator": form.separator})
    if "test_csv" in data:
        own = FileForm.of({**data, "csv": data["test_csv"]})
        other, told = read(data["test_csv"], data["target"], own, _state(data["test_csv"]))
        table, tests = pd.concat([whole, other.reindex(columns=whole.columns)], ignore_index=True), len(other)
        notes += told
        extra = [name for name in other.columns if name not in whole.columns]
        notes += [f"not used, as only {data['test_csv']} has it: {listed(extra)}"] if extra else []
    y, target_notes, classes = _target(table, data, kind, rules)
    weight = None
    if "weight" in data:
        numbers, told_of = read_numbers(whole, data["weight"], rules.spelling)
        weight = np.append(numbers.to_numpy(dtype=np.float64), np.ones(tests))  # which nothing reads
        target_notes += told_of
    rows = TableRows(table, tests, kind, y, classes, data, rules)
    parts = split_table(rows, cut)
    split_notes = split_words(rows, cut, parts)
    besides = list(roles_of(data).values())
    gone = unused_columns(data, table.columns, besides)
    witness = table[data["target"]].iloc[parts[0]] if kind == "regression" else None
    table = table.drop(columns=[*besides, *gone])
    if weight is not None:
        if not weight[parts[0]].any():
            raise UserError(f"every training row has the weight 0 (column {data['weight']!r}); another split_seed?")
        target_notes.append(f"weight {data['weight']!r}: how much a row counts in training, and no feature")
    sizes = (len(parts[0]), len(parts[1]), len(parts[2]))
    train_rows = table.iloc[parts[0]]
    fitted, column_notes = fit_features(train_rows, data["target"], rules, [*besides[1:], *gone], witness)
    column_notes += [f"not used, as the file says: {listed(gone)}"] if gone else []
    if cut is None or (isinstance(cut, Fold) and cut.index == 0):  # whose notes are told
        column_notes += split_hints(rows, parts, [date.name for date in fitted.dates])
        column_notes += suspicions(train_rows, y[parts[0]], kind, fitted, len(table))
        column_notes += _shared(table, y, parts)
        if tests:
            _check_readable(table.iloc[len(whole) :], fitted, data["test_csv"])
        for name, part in (("validation", parts[1]), ("test", parts[2])):
            column_notes += [f"warning: {name} rows: {told}" for told in fitted.misfits(table.iloc[part])]
    x = [fitted.apply(table.iloc[part]) for part in parts]
    notes += [*target_notes, *split_notes, *column_notes]
    notes.append(f"{x[0].shape[1]} features in all, {_from(fitted)}, fitted on the {sizes[0]} training rows")
    return _Prepared(x, y, weight, parts, fitted, classes, tuple(notes))


def _check_readable(rows: pd.DataFrame, fitted: FittedColumns, path: str) -> None:
    """Raise SpecError if a column of the test rows' own file has values, and none of them is what training's are."""
    for name in fitted.unreadable(rows):
        example = clip(str(rows[name].dropna().iloc[0]))
        message = f"{path}: no value of {name!r} can be read as those of `csv` are, such as {example!r}"
        raise SpecError([Fault(message, ("test_csv",), remedy="write numbers and dates as there; or drop it")], "data")


def fit_features(
    train: pd.DataFrame,
    target: str,
    rules: TableRules,
    unused: Sequence[str] = (),
    witness: pd.Series[Any] | None = None,
) -> tuple[FittedColumns, list[str]]:
    """Return what turns a table into features, fitted on training rows without their target, and what it makes of which
    column. unused: columns of the file besides. witness: see classify.

    Raises SpecError if no column is left to learn from.
    """
    columns = classify(train, rules, witness)
    columns.dropped += unused
    if not (columns.numbers or columns.truths or columns.texts or columns.dates):
        raise SpecError([_nothing_left(columns)], "data")
    return fit_columns(train, columns, target, rules), columns.notes


def read_table(path: str, form: FileForm) -> pd.DataFrame:
    """Return a table's file as texts, with NaN for what is missing. path: `~` is a home."""
    # Everything is read as text: pandas would guess a column's type from all rows, test rows included.
    table = pd.read_csv(
        open_table(expanded(path), form.encoding) if is_parquet(expanded(path)) else expanded(path),
        dtype=str,
        sep=form.separator,
        keep_default_na=False,
        skipinitialspace=True,
        index_col=False,
        encoding=codec(form.encoding),
        compression="gzip" if is_gzipped(expanded(path)) else None,  # else pandas takes it from the name: .zip, .bz2
    )
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    return cleaned(table)


def _read(csv: str, target: str, form: FileForm, state: tuple[int, int]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the table without the rows that have no target, and what there is to say. state: of the file."""
    table = read_table(csv, form)
    rows = len(table)
    table = table.dropna(subset=[target]).reset_index(drop=True)
    notes = [f"read {rows} rows and {table.shape[1]} columns from {csv}"]
    if len(table) < rows:
        notes.append(f"dropped {rows - len(table)} rows whose target {target!r} is missing")
    return table, tuple(notes)


def _state(path: str) -> tuple[int, int]:
    state = expanded(path).stat()
    return state.st_mtime_ns, state.st_size


_read_once = lru_cache(maxsize=2)(_read)  # what is cut anew for each fold, or for each trial


def _from(fitted: FittedColumns) -> str:
    """Return of how many columns of which kind the features are."""
    numbers, texts = fitted.plain_columns
    truths = sum(column.truths for column in numbers)
    counts = {
        "numbers": len(numbers) - truths, "true or false": truths, "dates": len(fitted.dates), "text": len(texts)
    }  # fmt: skip
    told = series([f"{count} of {kind}" for kind, count in counts.items() if count])
    return f"from {told}" if sum(counts.values()) > 1 else f"from a column of {told.partition(' of ')[2]}"


def _shared(table: pd.DataFrame, y: NDArray[Any], parts: Sequence[NDArray[np.intp]]) -> list[str]:
    """Return a note of rows of which training has the like, in all that a model sees and in their target: a warning,
    unless most training rows repeat each other, too, as rows of a few categories do."""
    rows = pd.util.hash_pandas_object(table, index=False).to_numpy() ^ pd.util.hash_array(y)
    train = np.unique(rows[parts[0]])
    told, shared = [], 0
    for name, part in (("validation", parts[1]), ("test", parts[2])):
        count = int(np.isin(rows[part], train).sum())
        told += [f"{count} of {len(part)} {name} rows"] if count else []
        shared += count
    many = " and ".join(told)
    if not many:
        return []
    if shared <= max(1, len(table) * _COINCIDENCE):
        return [f"{many} is alike a training row" if shared == 1 else f"{many} are alike training rows"]
    if len(train) < len(parts[0]) / 2:
        return [f"{many} are alike training rows, of which only {len(train)} of {len(parts[0])} differ"]
    why = "what is measured on them tells little of new rows: drop duplicates"
    return [f"warning: rows that stand in two splits: {many} are training rows, too ({why})"]


def _target(
    table: pd.DataFrame, data: Mapping[str, Any], kind: Kind, rules: TableRules
) -> tuple[NDArray[Any], list[str], tuple[str, ...]]:
    """Return the targets as numbers, what was done to them, and the names of the classes, if there are any."""
    if kind == "regression":
        numbers, notes = read_numbers(table, data["target"], rules.spelling)
        y = numbers.to_numpy(dtype=np.float64)
        told = f"from {y.min():.6g} to {y.max():.6g}, on average {y.mean():.6g} (standard deviation {y.std():.3g})"
        return y, [f"target {data['target']!r}: numbers {told}", *notes], ()
    column = table[data["target"]]
    labels = class_labels(column)
    classes = list(dict.fromkeys(labels.values()))
    if "positive" in data and positive_of(data["positive"], classes) == classes[0]:
        classes.reverse()
    codes = column.map(labels).map({label: code for code, label in enumerate(classes)}).to_numpy(dtype=np.int64)
    named = listed(f"{clip(label)!r} is {code}" for code, label in enumerate(classes))
    shares = listed(f"{share:.1%}" for share in np.bincount(codes) / len(codes))
    positive = f"; the positive class is {clip(classes[1])!r}" if kind == "binary" else ""
    notes = [f"target {column.name!r}: {named} (shares of the rows: {shares}){positive}"]
    if alike := case_words(classes):
        notes.append(f"warning: classes {alike} (if they are one class, spell it alike in the file)")
    return codes, notes, tuple(classes)


def fit_columns(train: pd.DataFrame, columns: TableColumns, target: str, rules: TableRules) -> FittedColumns:
    """Return what turns a table into features, fitted by scikit-learn on the training rows."""
    dates: list[DateColumn] = []
    for name, spelling in columns.dates.items():
        taken = [*train.columns, *(name for date in dates for _, name in date.parts)]
        dates.append(DateColumn.fit(train[name], spelling, taken))
    train = with_dates(train, dates)
    names = columns.numbers + columns.truths + [name for date in dates for name in date.numbers]
    numbers: tuple[NumberColumn, ...] = ()
    means: list[float] = []
    scales: list[float] = []
    if names:
        # A table, not an array: how the numbers lie in memory decides how their sums are rounded.
        values = pd.DataFrame(
            {name: number_values(train[name], name in columns.truths, columns.spellings.get(name)) for name in names}
        )
        steps = numbers_pipeline().fit(values)
        imputer, scaler = steps[0], steps[1]
        gaps = imputer.indicator_.features_.tolist()
        # All parts of a date are missing together: one mark, the trend's, says so.
        others = {name for date in dates for name in date.numbers if name != date.trend}
        marked = {place for place in gaps if names[place] not in others}
        medians = [None if np.isnan(median) else float(median) for median in imputer.statistics_]
        numbers = tuple(
            NumberColumn(name, name in columns.truths, median, place in marked, columns.spellings.get(name))
            for place, (name, median) in enumerate(zip(names, medians, strict=True))
        )
        first = len(scaler.mean_) - len(gaps)  # mark
        kept = [*range(first), *(first + index for index, place in enumerate(gaps) if place in marked)]
        means, scales = scaler.mean_[kept].tolist(), scaler.scale_[kept].tolist()
        if not rules.scale:
            means, scales = [0.0] * len(means), [1.0] * len(scales)
    texts = []
    for name in [*columns.texts, *(name for date in dates for name in date.texts)]:
        encoder = texts_encoder().fit(text_values(train[name]).to_numpy(dtype=object)[:, None])
        rare = encoder.infrequent_categories_[0]
        few = () if rare is None else tuple(rare.tolist())
        known = tuple(text for text in encoder.categories_[0].tolist() if text not in set(few))
        texts.append(TextColumn(name, known, few))
    return FittedColumns(
        target,
        rules.spelling.separator,
        numbers,
        tuple(texts),
        tuple(columns.dropped),
        tuple(means),
        tuple(scales),
        tuple(dates),
        rules.encoding,
    )


def numbers_pipeline() -> Pipeline:
    """Return what fills and standardises columns of numbers, not fitted yet."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())


def texts_encoder() -> OneHotEncoder:
    """Return what finds the categories of a column of texts, not fitted yet."""
    from sklearn.preprocessing import OneHotEncoder

    # An unknown category is a row of zeros, or the column of the rare ones if there is one.
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MAX_CATEGORIES, sparse_output=False, dtype=np.float32
    )


def _nothing_left(columns: TableColumns) -> Fault:
    return Fault(f"no column is left to learn from: {'; '.join(columns.notes)}", ("csv",), remedy="add columns")
