"""A fitted table as plain data gives what scikit-learn's own transformers give, bit for bit, also for odd tables."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer

from hpo.spec.faults import UserError
from hpo.training.data.columns import FittedColumns, cleaned, number_values, text_values
from hpo.training.data.csv_rows import FileForm
from hpo.training.data.kinds import MAX_CATEGORIES, TableRules, classify
from hpo.training.data.scale import FittedScale
from hpo.training.data.spelling import SpellingRules
from hpo.training.data.tabular import (
    fit_columns,
    load_csv,
    numbers_pipeline,
    read_table,
    texts_encoder,
)

RULES = TableRules(SpellingRules())
WORDS = ["a", "B", "NA", "", "?", "missing", "1", "1.0", "é", "true", "x y", "-", "0x1"]
NUMBERS = ["1", "1.5", "-2e3", "inf", "-inf", "1e400", "", "NA", "0", "3.3333333333333335", "007", "1e-320"]


def table_of(seed: int, rows: int) -> pd.DataFrame:
    """A table of text with columns of every kind, some of them with little in them."""
    rng = random.Random(seed)

    def drawn(*choices: str) -> list[str]:
        return [rng.choice(choices) for _ in range(rows)]

    columns = {
        "whole": [str(rng.randint(-5, 5)) for _ in range(rows)],
        "number": [repr(rng.gauss(1e3, 1e-3)) for _ in range(rows)],
        "gaps": drawn(*NUMBERS),
        "infinite": drawn("inf", "-inf"),
        "constant": ["7"] * rows,
        "nearly": ["7"] * (rows - 1) + ["8"],
        "half": ["7" if row % 2 else "" for row in range(rows)],
        "empty": [""] * rows,
        "truth": drawn("True", "false", "TRUE"),
        "truth_gaps": drawn("True", "false", "", "null"),
        "word": drawn(*WORDS),
        "mixed": drawn("1", "2", "3", "x"),
        "many": [f"k{min(rng.randint(0, 40), rng.randint(0, 40))}" for _ in range(rows)],
        "id": [str(row) for row in range(rows)],
        "unique": [f"u{row}" for row in range(rows)],
    }
    names = rng.sample(list(columns), rng.randint(2, len(columns))) if seed else list(columns)
    return cleaned(pd.DataFrame({name: columns[name] for name in names}, dtype=str))


def by_sklearn(columns: Any, train: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.float32]:
    """The features as one of scikit-learn's transformers gives them."""

    def values(part: pd.DataFrame) -> pd.DataFrame:
        found: dict[str, Any] = {name: number_values(part[name]) for name in columns.numbers}
        found |= {name: number_values(part[name], truths=True) for name in columns.truths}
        found |= {name: text_values(part[name]) for name in columns.texts}
        return pd.DataFrame(found, index=part.index)

    transformer = ColumnTransformer(
        [
            ("numbers", numbers_pipeline(), columns.numbers + columns.truths),
            ("texts", texts_encoder(), columns.texts),
        ],
        sparse_threshold=0,
    ).fit(values(train))
    x: NDArray[np.float32] = transformer.transform(values(table)).astype(np.float32)
    return x


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("seed", range(25))
def test_the_same_bits_as_scikit_learn(seed: int) -> None:
    """Of the training rows, and of others with unseen words, gaps where training had none, and words for numbers."""
    train = table_of(seed, rows=12 if seed % 3 else 300)
    columns = classify(train, RULES)
    fitted = fit_columns(train, columns, "y", RULES)
    rng = random.Random(1000 + seed)
    odd = pd.DataFrame(
        {name: [rng.choice([*WORDS, *NUMBERS, *train[name].dropna()[:9]]) for _ in range(60)] for name in train}
    )
    for table in (train, cleaned(odd.astype(str))):
        expected = by_sklearn(columns, train, table)
        if np.isfinite(expected).all():
            found = fitted.apply(table)
            assert found.dtype == np.float32
            assert found.tobytes() == np.ascontiguousarray(expected).tobytes()
        again = FittedColumns.restored(json.loads(json.dumps(fitted.plain())))
        assert again == fitted


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_every_kind_is_among_the_odd_columns() -> None:
    fitted = fit_columns(table_of(0, 300), classify(table_of(0, 300), RULES), "y", RULES)
    numbers, texts = {c.name: c for c in fitted.numbers}, {c.name: c for c in fitted.texts}
    assert numbers["infinite"].median is None and numbers["gaps"].marks_gaps and not numbers["whole"].marks_gaps
    assert numbers["truth"].truths and numbers["truth_gaps"].marks_gaps
    assert len(texts["many"].categories) == MAX_CATEGORIES - 1 and texts["many"].rare and not texts["word"].rare
    assert set(fitted.unused) == {"constant", "empty", "id", "unique"}


def small(tmp_path: Path) -> tuple[FittedColumns, Path]:
    rows = [
        f"{'' if row % 7 == 3 else row % 5},{'abc'[row % 3]},{row % 2 == 0},{row / 3},{row % 2}" for row in range(40)
    ]
    file = tmp_path / "t.csv"
    file.write_text("\n".join(["n,t,b,x,y", *rows]) + "\n")
    fitted = load_csv({"csv": str(file), "target": "y"}, "binary").preprocessing
    assert isinstance(fitted, FittedColumns)
    return fitted, file


def test_a_frame_gives_what_its_file_gives(tmp_path: Path) -> None:
    """As pandas reads it: numbers, truth values and words; in another order of columns, too."""
    fitted, file = small(tmp_path)
    expected, told = fitted.features(read_table(str(file), FileForm()))
    assert told == ["the target column 'y' is there, and not looked at"]
    frame = pd.read_csv(file)
    assert [str(dtype) for dtype in frame.dtypes] == ["float64", "str", "bool", "float64", "int64"]
    for other in (frame, frame[["y", "b", "x", "t", "n"]], frame.convert_dtypes(), frame.astype({"t": "category"})):
        assert fitted.features(other)[0].tobytes() == expected.tobytes()


def test_what_is_not_as_in_training_is_told(tmp_path: Path) -> None:
    fitted, _ = small(tmp_path)
    frame = pd.DataFrame({"n": [1, None], "t": ["z", "a"], "b": ["yes", "True"], "x": [math.inf, None], "more": [1, 2]})
    x, told = fitted.features(frame)
    assert np.isfinite(x).all()
    assert told == [
        "columns that training did not have, ignored: 'more'",
        "'x': 1 of 2 rows have no number ('inf'), taken as missing",
        "'x': missing in 2 of 2 rows, in none of training: taken as the median, 5.16667",
        "'b': 1 of 2 rows have neither true nor false ('yes'), taken as missing",
        "'b': missing in 1 of 2 rows, in none of training: taken as the median, 0.5",
        "'t': 1 of 2 rows have a category that training did not have ('z'), taken as none of the known ones",
    ]
    with pytest.raises(UserError, match=r"the columns 'n', 'x' must be there \(there are: N, t, b, more\)"):
        fitted.features(frame.rename(columns={"n": "N"}).drop(columns="x"))
    with pytest.raises(UserError, match="there are two of 'n'"):
        fitted.features(frame[["n", "n", "t", "b", "x"]])


def test_numbers_in_a_column_of_words(tmp_path: Path) -> None:
    """A column of the words 1, 2.0 and x: what has numbers alone here is still found."""
    column = pd.Series([["1", "2.0", "x"][row % 3] for row in range(30)], dtype=str)
    train = cleaned(pd.DataFrame({"mixed": column}))
    fitted = fit_columns(train, classify(train, RULES), "y", RULES)
    expected = fitted.apply(cleaned(pd.DataFrame({"mixed": ["1", "2.0", "", "3"]}, dtype=str)))
    for values in ([1, 2, None, 3], [1.0, 2.0, math.nan, 3.0]):
        assert (fitted.features(pd.DataFrame({"mixed": values}))[0] == expected).all()
    assert (fitted.features(pd.DataFrame({"mixed": [1, 2]}))[0] == expected[:2]).all()


def test_a_scale_as_plain_data() -> None:
    x = np.random.default_rng(0).normal(1e6, 1e-3, (50, 3))
    x[:, 1] = 0.1
    fitted = FittedScale.fit(x)
    again = FittedScale.restored(json.loads(json.dumps(fitted.plain())))
    assert again.apply(x).tobytes() == fitted.apply(x).tobytes()
    assert np.abs(again.apply(x)[:, 1]).max() < 1e-12  # a constant column is shifted only
