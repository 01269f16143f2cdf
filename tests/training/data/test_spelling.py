"""Numbers are read in the spelling of their column, in training and for predictions alike; else people are told."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpo.spec.faults import render_fault
from hpo.training.data.columns import FittedColumns, cleaned
from hpo.training.data.csv_rows import FileForm
from hpo.training.data.spelling import SpellingRules, choices, seen_numbers
from hpo.training.data.tabular import check_csv, load_csv, read_table
from hpo.training.task import Splits


def read(values: Sequence[str], rules: SpellingRules, *others: Sequence[str]) -> tuple[list[float | None], bool] | None:
    """What a column's texts are read as, and whether that is doubtful; None: they are no numbers."""
    seen = {str(place): seen_numbers(column, rules) for place, column in enumerate((values, *others))}
    choice = choices(seen, rules.separator).get("0")
    return None if choice is None else ([choice.spelling.number(text) for text in values], choice.doubtful)


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["0,942", "1,5"], [0.942, 1.5]),
        (["1.234,5", "-2"], [1234.5, -2]),
        (["1,234.5", "7"], [1234.5, 7]),
        (["$12,345", "$1", "3"], [12345, 1, 3]),
        (["-$5", "$-6", "($7)"], [-5, -6, -7]),
        (["EUR 5", "EUR 1,50"], [5, 1.5]),
        (["1 234,5 €", "12 €"], [1234.5, 12]),
        (["R$ 1.234,56"], [1234.56]),
        (["CHF 1'234.50", "CHF 3"], [1234.5, 3]),
        (["100 kr.", "2,5 kr."], [100, 2.5]),
        (["45%", "3.5 %"], [45, 3.5]),
        (["(5.0)", "3"], [-5, 3]),
        (["\u22125", "+3"], [-5, 3]),
        (["1\u202f234", "1\u00a0234\u00a0567", "5"], [1234, 1234567, 5]),
        (["1\u2019234"], [1234]),
        (["12,34,567", "1,00,000"], [1234567, 100000]),
        (["1e5", "2,5E-3"], [1e5, 2.5e-3]),
        (["1.234.567"], [1234567]),
    ],
)
def test_usual_spellings(values: list[str], numbers: list[float]) -> None:
    assert read(values, SpellingRules()) == (numbers, False)


@pytest.mark.parametrize(
    "values",
    [
        ["00123", "04567", "12345"],
        ["555 123 456", "555 999 000"],
        ["555.123.456", "555.999.000"],
        ["+49 170 123 456"],
        ["1.2.3"],
        ["192.168.1.1"],
        ["10.100.200.101", "192.168.100.200"],
        ["2024-01-02"],
        ["13.02.2024"],
        ["12:30"],
        ["1-2"],
        ["1_000"],
        ["A5"],
        ["5 kg"],
        ["$5", "€5"],
        ["45%", "0.45"],
        ["1,5", "1.5"],
        ["(-5)"],
        ["12,34", "1,2,3"],
    ],
)  # fmt: skip
def test_what_is_no_number_or_not_spelled_alike(values: list[str]) -> None:
    assert read(values, SpellingRules()) is None


def test_what_a_column_leaves_open_the_file_decides_or_people_are_told() -> None:
    assert read(["1,234", "5,678"], SpellingRules()) == ([1234, 5678], True)
    assert read(["1,234", "5,678"], SpellingRules(separator=";")) == ([1.234, 5.678], True)
    assert read(["1,234"], SpellingRules(), ["0.5"]) == ([1234], False)
    assert read(["1,234"], SpellingRules(separator="\t"), ["0,5"]) == ([1.234], False)
    assert read(["1.234"], SpellingRules(separator=";"), ["0,5"]) == ([1234], False)
    assert read(["1.234"], SpellingRules(separator=";")) == ([1.234], True)
    assert read(["1.234"], SpellingRules()) == ([1.234], False)
    assert read(["1,234", "1,5"], SpellingRules()) == ([1.234, 1.5], False)
    assert read(["1,234"], SpellingRules(decimal=",")) == ([1.234], False)
    assert read(["1,234"], SpellingRules(decimal=".", separator=";")) == ([1234], False)
    assert read(["1.234"], SpellingRules(decimal=",")) == ([1234], False)
    assert read(["0.5"], SpellingRules(decimal=",")) is None
    assert read(["1,234"], SpellingRules(thousands=",", separator=";")) == ([1234], False)
    assert read(["1,234"], SpellingRules(thousands="none")) == ([1.234], False)


def table(tmp_path: Path, header: str, rows: list[str], **keys: Any) -> dict[str, Any]:
    file = tmp_path / f"t{random.random()}.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return {"csv": str(file), "target": "y", **keys}


def loaded(tmp_path: Path, header: str, rows: list[str], kind: Any = "binary", **keys: Any) -> Splits:
    data = table(tmp_path, header, rows, **keys)
    assert check_csv(data, kind) == []
    return load_csv(data, kind)


def note(splits: Splits, begin: str) -> str:
    return next((each for each in splits.notes if each.startswith(begin)), "")


RNG = random.Random(7)
VALUES = [RNG.uniform(-3000, 3000) for _ in range(60)]


def german(value: float) -> str:
    return f"{value:,.3f}".replace(",", "_").replace(".", ",").replace("_", ".")


def test_a_decimal_comma_gives_the_bits_of_a_decimal_point(tmp_path: Path) -> None:
    """Features, a regression's target and the weights; and rows to predict, from a file or a DataFrame."""
    points = [f"{value:.3f};{abs(value):.3f};{index / 7:.2f}" for index, value in enumerate(VALUES)]
    commas = [f"{german(value)};{german(abs(value))};{index / 7:.2f}" for index, value in enumerate(VALUES)]
    commas = [row[: row.rindex(";")] + row[row.rindex(";") :].replace(".", ",") for row in commas]
    keys = {"separator": ";", "weight": "w"}
    one, other = (loaded(tmp_path, "a;y;w", rows, "regression", **keys) for rows in (points, commas))
    for name in ("train", "validation", "test"):
        for part in ("x", "y", "weight"):
            first, second = getattr(getattr(one, name), part), getattr(getattr(other, name), part)
            assert first.numpy().tobytes() == second.numpy().tobytes()
    fitted = other.preprocessing
    assert isinstance(fitted, FittedColumns)
    fitted = FittedColumns.restored(json.loads(json.dumps(fitted.plain())))
    frame = pd.DataFrame({"a": ["1.234,5", "7", "0.5", "x"]})
    x, told = fitted.features(frame)
    [column] = fitted.numbers
    expected = (np.array([1234.5, 7, column.median, column.median]) - fitted.means[0]) / fitted.scales[0]
    assert x[:, 0].tobytes() == expected.astype(np.float32).tobytes()
    assert told[0] == "'a': 2 of 4 rows have no number ('0.5'), taken as missing"
    assert fitted.features(pd.DataFrame({"a": [1234.5]}))[0][0, 0] == x[0, 0]
    assert "as in training, read it as text" in fitted.features(pd.DataFrame({"a": [1.234]}))[1][0]


def test_a_model_of_an_earlier_release_has_no_spellings(tmp_path: Path) -> None:
    fitted = loaded(tmp_path, "a,y", [f"{index % 7},{index % 2}" for index in range(40)]).preprocessing
    assert fitted is not None
    plain = fitted.plain()
    assert [each.pop("spelling") for each in plain["numbers"]] == [None]
    assert FittedColumns.restored(plain).numbers[0].spelling is None


def test_what_the_notes_say_of_spellings(tmp_path: Path) -> None:
    rows = [
        f'"${1000 + index * 997:,}",{index % 50}%,"{1 + index % 8},{100 + index}",{index:05d},{index / 4} kg,'
        f"{index % 9 if index % 9 else 'none' + str(index % 2)},{index % 2}"
        for index in range(60)
    ]
    splits = loaded(tmp_path, "price,share,odd,code,heavy,most,y", rows)
    read = "read as numbers: 'price' ('$1,000' is 1000), 'share' ('0%' is 0)"
    assert note(splits, "read as numbers") == read
    assert "'odd' ('1,100' is 1100); say data.decimal" in note(splits, "warning: numbers that may be read in two ways")
    assert "'code' ('00000')" in note(splits, "codes, not numbers")
    assert "'heavy' because of '0.0 kg'" in note(splits, "warning: look like numbers, but counted as text")
    assert note(splits, "mostly numbers, but counted as text: 'most' because of 'none0', 'none1'")
    said = loaded(tmp_path, "price,share,odd,code,heavy,most,y", rows, decimal=",")
    assert "'odd' ('1,100' is 1.1)" in note(said, "read as numbers")


@pytest.mark.parametrize(
    ("rows", "keys", "said"),
    [
        ([f"{index};{'abc' if index == 5 else f'{index},5'}" for index in range(40)], {}, "has abc (in 1 rows) (clean"),
        ([f"{index};{index}{',.'[index % 2]}5" for index in range(40)], {}, "must be spelled alike"),
        ([f"{index};1{'.000' * 13}.{100 + index}" for index in range(40)], {}, "within ±1e+37"),
        ([f"{index};{index},5" for index in range(40)], {"decimal": "."}, "data.decimal and data.thousands say how"),
        (["1;2,5"] * 40, {"decimal": ",", "thousands": ","}, "can't be the decimal mark"),
    ],
)  # fmt: skip
def test_targets_that_are_no_numbers(tmp_path: Path, rows: list[str], keys: dict[str, str], said: str) -> None:
    [fault] = check_csv(table(tmp_path, "a;y", rows, separator=";", **keys), "regression")
    assert said in render_fault(fault)


def test_predictions_read_a_file_as_training_did(tmp_path: Path) -> None:
    rows = [f"{index % 9},{index};{index % 2}" for index in range(60)]
    data = table(tmp_path, "a;y", rows, separator=";")
    fitted = load_csv(data, "binary").preprocessing
    assert isinstance(fitted, FittedColumns)
    x, told = fitted.features(read_table(data["csv"], FileForm(fitted.separator)))
    assert told == ["the target column 'y' is there, and not looked at"]
    assert len(np.unique(x)) > 30


def test_a_thousands_mark_is_one_that_training_had_or_the_file_says(tmp_path: Path) -> None:
    rows = [f"{index % 9},{index:03d};{'ab'[index % 2]}" for index in range(60)]
    frame = pd.DataFrame({"x": ["1.234", "2,5"]})
    fitted = loaded(tmp_path, "x;y", rows, separator=";").preprocessing
    assert isinstance(fitted, FittedColumns)
    assert "'x': 1 of 2 rows have no number ('1.234'), taken as missing" in fitted.features(frame)[1]
    fitted = loaded(tmp_path, "x;y", rows, separator=";", thousands=".").preprocessing
    assert isinstance(fitted, FittedColumns)
    assert not fitted.features(frame)[1] and fitted.numbers[0].values(frame).tolist() == [1234, 2.5]


def test_numbers_of_python_among_other_values_are_numbers(tmp_path: Path) -> None:
    rows = [f"{index % 9}.{index:03d},{index % 10};{'uv'[index % 2]};{'ab'[index % 2]}" for index in range(11, 71)]
    rows = [row.removeprefix("0.") for row in rows]
    fitted = loaded(tmp_path, "x;c;y", rows, separator=";").preprocessing
    assert isinstance(fitted, FittedColumns)
    frame = pd.DataFrame({"x": [1.234, 1234, Decimal("1.5"), np.float32(0.5), "1.234,5", True], "c": ["u"] * 6})
    values = fitted.numbers[0].values(cleaned(frame))
    assert values[:5].tolist() == [1.234, 1234, 1.5, 0.5, 1234.5] and np.isnan(values[5])


def test_what_fits_no_spelling_in_other_rows_than_those_of_training_is_told(tmp_path: Path) -> None:
    rows = [f"{index / 7:.2f},2024-01-{index % 28 + 1:02d},{'ab'[index % 2]}" for index in range(60)]
    plain = loaded(tmp_path, "x,d,y", rows)
    assert not note(plain, "warning: test rows")
    odd = 0
    for place in range(60):
        changed = [*rows[:place], f"$5,13.02.2024,{'ab'[place % 2]}", *rows[place + 1 :]]
        told = note(loaded(tmp_path, "x,d,y", changed), "warning: test rows: 'x'")
        odd += told.endswith("1 of 12 rows have no number ('$5'), taken as missing")
        if told:
            break
    assert odd == 1


@pytest.mark.parametrize("role", ["target", "weight"])
def test_a_decimal_mark_that_is_said_holds_for_target_and_weight(tmp_path: Path, role: str) -> None:
    rows = [f"{index % 9},{1 + index / 7:.2f},{index}" for index in range(60)]
    keys = {"target": "n"} if role == "target" else {"target": "y", "weight": "n"}
    data = {**table(tmp_path, "x,n,y", [f"{row}.5" for row in rows]), **keys, "decimal": ","}
    if role == "weight":
        data = {**table(tmp_path, "x,n,y", rows), **keys, "decimal": ","}
    [fault] = check_csv(data, "regression")
    assert fault.path == (role,) and "data.decimal" in fault.remedy
    assert check_csv({**data, "decimal": "."}, "regression") == []


@pytest.mark.parametrize("values", [["1006.2", "1017.7", "1019.5", "998.1"], ["2001.1", "2002.12"]])
def test_numbers_that_may_be_months_are_a_target(tmp_path: Path, values: list[str]) -> None:
    rows = [f"{index},{values[index % len(values)]}" for index in range(60)]
    assert check_csv(table(tmp_path, "x,y", rows), "regression") == []


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["950", "1,234", "12", "2,500", "$7"], [950, 1234, 12, 2500, 7]),
        (["950", "(12)", "12", "1 250"], [950, -12, 12, 1250]),
        (["950", "1,234.5", "12", "n.a."], [950, 1234.5, 12, np.nan]),
        (["1,5", "2,5", "3.25", "4,5"], [1.5, 2.5, np.nan, 4.5]),
        (["555 123 456", "555 999 000"], [555123456, 555999000]),
        (["007", "012"], [7, 12]),
    ],
)
def test_what_is_numeric_loses_no_number(tmp_path: Path, values: list[str], numbers: list[float]) -> None:
    rows = [f"{values[index % len(values)]};{'ab'[index // 4 % 2]}" for index in range(80)]
    fitted = loaded(tmp_path, "x;y", rows, separator=";", numeric="x", decimal="auto").preprocessing
    assert isinstance(fitted, FittedColumns)
    np.testing.assert_array_equal(fitted.numbers[0].values(pd.DataFrame({"x": values})), numbers)


def test_what_is_numeric_and_in_doubt_is_told(tmp_path: Path) -> None:
    rows = [f"{('950', '1,234', 'n.a.')[index % 3]};{'ab'[index // 4 % 2]}" for index in range(80)]
    assert "'x' ('1,234' is 1.234)" in note(loaded(tmp_path, "x;y", rows, separator=";", numeric="x"), "warning: numb")


def test_a_thousands_mark_that_is_said_makes_no_codes(tmp_path: Path) -> None:
    rows = [f"{500 + index} 432 361,{'ab'[index % 2]}" for index in range(60)]
    for keys in ({"thousands": " "}, {"numeric": "x"}):
        fitted = loaded(tmp_path, "x,y", rows, **keys).preprocessing
        assert isinstance(fitted, FittedColumns) and fitted.numbers[0].name == "x"


def test_the_target_shows_what_a_feature_leaves_open(tmp_path: Path) -> None:
    rows = [f"{index % 9 + 1},{100 + index};{index},5" for index in range(60)]
    splits = loaded(tmp_path, "x;y", rows, "regression", separator=";")
    assert not note(splits, "warning: numbers")
    rows = [f"{index % 9 + 1},{100 + index};{index}.5" for index in range(60)]
    fitted = loaded(tmp_path, "x;y", rows, "regression", separator=";").preprocessing
    assert isinstance(fitted, FittedColumns)
    assert fitted.numbers[0].values(pd.DataFrame({"x": ["1,234"]})).tolist() == [1234]
