"""Dates are numbers and weekdays, written as their column writes them, in training and for predictions alike."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hpo.spec.faults import UserError, render_fault
from hpo.training.data.columns import FittedColumns
from hpo.training.data.dates import date_choices, seen_dates
from hpo.training.data.sequences import load_sequences
from hpo.training.data.tabular import check_csv, load_csv
from hpo.training.task import Splits


def read(
    values: Sequence[str], *others: Sequence[str], dayfirst: bool | None = None, separator: str = ","
) -> tuple[list[str], bool] | None:
    """What a column's texts are read as, and whether that is doubtful; None: they are no dates."""
    seen = {str(place): seen_dates(column) for place, column in enumerate((values, *others))}
    choice = date_choices(seen, dayfirst, separator).get("0")
    if choice is None:
        return None
    moments = [choice.spelling.moment(text) for text in values]
    return [moment.local.isoformat(" ", "minutes") if moment else "" for moment in moments], choice.doubtful


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["2024-02-13", "2024-2-3 09:30:15.5"], ["2024-02-13 00:00", "2024-02-03 09:30"]),
        (["2024-02-13T09:30+01:00", "2024-02-13T09:30:00Z"], ["2024-02-13 09:30", "2024-02-13 09:30"]),
        (["2024-02"], ["2024-02-01 00:00"]),
        (["2024/02/13"], ["2024-02-13 00:00"]),
        (["13/02/2024", "02/03/2024"], ["2024-02-13 00:00", "2024-03-02 00:00"]),
        (["2/13/24 9:30 PM", "02/03/24 12:05 am"], ["2024-02-13 21:30", "2024-02-03 00:05"]),
        (["02.03.2024"], ["2024-03-02 00:00"]),
        (["13 Feb 2024", "1 March 2024"], ["2024-02-13 00:00", "2024-03-01 00:00"]),
        (["February 13, 2024"], ["2024-02-13 00:00"]),
        (["Tue, 13 Feb 2024 09:30:00 GMT"], ["2024-02-13 09:30"]),
        (["13-Sep-69", "13-Sep-68"], ["1969-09-13 00:00", "2068-09-13 00:00"]),
        (["20240213"], ["2024-02-13 00:00"]),
    ],
)
def test_usual_forms(values: list[str], found: list[str]) -> None:
    assert read(values) == (found, False)


@pytest.mark.parametrize(
    "text", ["2024-02-30", "20241313", "1.2.10", "1.2.3", "12:30", "2024", "1.5", "12 monkeys 1995", "2024-02-13 25:00"]
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    assert read([text]) is None


def test_day_and_month_are_told_apart_by_the_column_or_the_file_or_people_are_told() -> None:
    march, february = ["2024-03-02 00:00"], ["2024-02-03 00:00"]
    assert read(["02/03/2024"]) == (february, True)
    assert read(["02/03/2024"], separator=";") == (march, True)
    assert read(["02/03/2024"], ["13/01/2024"]) == (march, False)
    assert read(["02/03/2024"], ["01/13/2024"], separator=";") == (february, False)
    assert read(["02/03/2024"], dayfirst=True) == (march, False)
    assert read(["13/02/2024"], dayfirst=False) is None
    assert read(["13/02/2024", "02/13/2024"]) is None


def loaded(tmp_path: Path, header: str, rows: list[str], **keys: Any) -> Splits:
    file = tmp_path / f"t{random.random()}.csv"
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    data = {"csv": str(file), "target": "y", **keys}
    assert check_csv(data, "binary") == []
    return load_csv(data, "binary")


DAYS = [datetime(2021, 1, 1) + timedelta(hours=31 * index) for index in range(160)]


def test_a_table_of_only_dates(tmp_path: Path) -> None:
    """In any form the same features, which tell the weekend."""
    forms = ("%Y-%m-%d", "%d/%m/%Y", "%d %b %Y", "%Y%m%d", "%Y-%m-%dT00:00:00+00:00")
    rows = [[f"{day:{form}},{day.weekday() > 4}" for day in DAYS] for form in forms]
    first, *others = [loaded(tmp_path, "when,y", each) for each in rows]
    for other in others:
        assert other.train.x.numpy().tobytes() == first.train.x.numpy().tobytes()
    fitted = first.preprocessing
    assert isinstance(fitted, FittedColumns)
    names = fitted._feature_names()
    assert names[:4] == ["when: days", "when: month", "when: day of year, sine", "when: day of year, cosine"]
    weekend = first.train.x[:, [names.index(f"when: weekday = {day}") for day in ("Saturday", "Sunday")]].sum(1)
    assert (weekend == first.train.y).all()
    [note] = [note for note in others[0].notes if note.startswith("dates, as days, year")]
    assert "'when' ('04/01/2021' is 2021-01-04)" in note


def test_gaps_times_and_predictions(tmp_path: Path) -> None:
    rows = [f"{'' if index % 9 == 3 else f'{day:%d/%m/%Y %H:%M}'},x,{index % 2}" for index, day in enumerate(DAYS)]
    fitted = loaded(tmp_path, "when,when: days,y", rows).preprocessing
    assert isinstance(fitted, FittedColumns)
    again = FittedColumns.restored(json.loads(json.dumps(fitted.plain())))
    assert again == fitted and again.needed == ["when"]
    names = fitted._feature_names()
    assert [name for name in names if "(missing)" in name] == ["when: days' (missing)"]  # one mark, not one a part
    assert "when: hour" in names
    x, told = again.features(pd.DataFrame({"when": ["05/03/2021 10:30", "2021-03-05 10:30", "soon", None]}))
    assert (x[0] == x[1]).all() and (x[2] == x[3]).all() and np.isfinite(x).all()
    assert told == ["'when': 1 of 4 rows have no date ('soon'), taken as missing"]
    stamps = pd.DataFrame({"when": pd.to_datetime(["2021-03-05 10:30", "2021-03-05 10:30", None, None])})
    assert (again.features(stamps)[0] == x).all()
    [days] = [column.median for column in fitted.numbers if column.name == "when: days'"]
    assert days is not None and x[3, 0] == pytest.approx((days - fitted.means[0]) / fitted.scales[0], rel=1e-6)


def test_zones_count_for_the_days_and_not_for_the_clock(tmp_path: Path) -> None:
    rows = [f"{day:%Y-%m-%dT%H:%M}{'+05:00' if index % 2 else 'Z'},{index % 2}" for index, day in enumerate(DAYS)]
    fitted = loaded(tmp_path, "when,y", rows).preprocessing
    assert isinstance(fitted, FittedColumns)
    x, _ = fitted.features(pd.DataFrame({"when": ["2021-03-05T10:00+05:00", "2021-03-05T10:00Z"]}))
    names = fitted._feature_names()
    assert x[0, names.index("when: hour")] == x[1, names.index("when: hour")]
    ahead = (x[1, 0] - x[0, 0]) * fitted.scales[0] * 24
    assert ahead == pytest.approx(5, abs=0.01)


def test_doubts_and_strays_are_told(tmp_path: Path) -> None:
    rows = [
        f"{1 + index % 12:02d}/{1 + index % 7:02d}/2024,{'unknown' if index % 9 == 4 else f'{day:%Y-%m-%d}'},"
        f"{['13/02/2024', '02/13/2024'][index % 2]},{index % 2}"
        for index, day in enumerate(DAYS)
    ]
    notes = loaded(tmp_path, "either,stray,both,y", rows).notes
    [doubt] = [note for note in notes if note.startswith("warning: dates that may be read in two ways")]
    assert "'either' ('09/02/2024' is 2024-09-02); say data.dayfirst" in doubt
    [stray] = [note for note in notes if note.startswith("warning: look like dates")]
    assert "'stray' because of 'unknown'" in stray and "'both' because of " in stray
    said = loaded(tmp_path, "either,stray,both,y", rows, dayfirst=True).notes
    assert not any("two ways" in note for note in said)


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_a_date_is_no_target(tmp_path: Path, kind: Any) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,y\n" + "".join(f"{index},0{1 + index % 2}/03/2024\n" for index in range(40)))
    [fault] = check_csv({"csv": str(file), "target": "y"}, kind)
    assert fault.path == ("target",)
    assert "no task predicts dates" in fault.message and "the days since some date" in render_fault(fault)


def test_a_series_in_the_order_of_dates_of_any_form(tmp_path: Path) -> None:
    def series(form: str, **keys: Any) -> Splits:
        days = [datetime(2024, 1, 1) + timedelta(days=index) for index in range(80)]
        rows = [f"{day:{form}},{index % 7}" for index, day in enumerate(days)]
        random.Random(0).shuffle(rows)
        file = tmp_path / "s.csv"
        file.write_text("when,y\n" + "\n".join(rows) + "\n")
        return load_sequences({"csv": str(file), "target": "y", "time": "when", "length": 4, **keys})

    first = series("%Y-%m-%d")
    assert (series("%d/%m/%Y").train.x == first.train.x).all()
    assert (series("%b %d %Y").train.x == first.train.x).all()
    with pytest.raises(UserError, match=r"data\.time: every row must have a number or a date in 'when', but one has"):
        series("%d/%m/%Y", dayfirst=False)


@pytest.mark.parametrize(
    "values", [["1021-10", "3044-7", "9001-12"], ["2001-02", "2005-06", "2010-11"], ["1999/12", "2101/01"]]
)
def test_numbers_of_parts_and_seasons_are_no_months(values: list[str]) -> None:
    assert not seen_dates(values).fits
    assert seen_dates(["2001-02", "2001-03"]).fits and seen_dates(["1021-10-05", "1022-01-02"]).fits
