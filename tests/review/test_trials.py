"""The table of a study's trials: what is in it, in which order, and in which form it is written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.cells import cell_len

from hpo.ledger.study.home import Home
from hpo.ledger.study.records import INTERRUPTED, Outcome
from hpo.review.studies import read_study
from hpo.review.trial_choice import chosen, chosen_columns
from hpo.review.trial_columns import FACTS, columns_of, goals_of
from hpo.review.trial_files import bytes_of, fitted_table
from hpo.review.trials import TrialTable, table_of
from hpo.spec.faults import UserError

from .recorded import Trial, complete, driven, recorded, sweep_of

MIXED = [[64, 32], 3, "wide", {"a": 1}]
PARAMETERS = {
    "lr": {"min": 0.0, "max": 1.0},
    "layers": {"values": MIXED},
    "mode": {"values": [True, False]},
    "units": {"values": [16, 32], "when": {"mode": True}},
    "state": {"values": ["größe, 大", "b"]},
    "learning rate": {"value": 1},
}
CURVES = {"score": [0.2, 0.9, 0.5], "val_loss": [0.5, 0.1, 0.3], "odd": [1.0, 3.0, 2.0], "lr": [7.0]}


def params(number: int) -> dict[str, Any]:
    mode = number % 2 == 0
    active = {"units": 16 * (1 + number % 4 // 2)} if mode else {}
    state = ["größe, 大", "b"][number % 2]
    layers = MIXED[number % 4]
    return {"lr": 0.1 * number, "layers": layers, "mode": mode, **active, "state": state, "learning rate": 1}


TRIALS = [
    Trial(params(0), Outcome("complete", value=0.5), CURVES, info={"worker": "w-0", "host": "here", "cohort": 8}),
    Trial(params(1), Outcome("pruned"), {"score": [0.1, 0.8]}, info={"worker": "w-1", "host": "here"}, seconds=9),
    Trial(params(2), Outcome("complete", value=0.7), {"val_loss": [0.2]}, seconds=5),
    Trial(params(3), Outcome("pruned", diverged=2), {"score": [0.4]}),
    Trial(params(4), Outcome("failed", error="ValueError: no\x1b[31m luck"), seed=2**32 - 1),
    Trial(params(5), Outcome("failed", error=INTERRUPTED, interrupted=True)),
    Trial(params(6), Outcome("pruned", stopped_by="budget.seconds"), {"score": [0.85]}),
    Trial(params(7), None, {"score": [0.3, 0.95]}),
]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TrialTable:
    folder = tmp_path_factory.mktemp("trials")
    home = recorded(Home(folder / "home"), sweep_of(folder, PARAMETERS), TRIALS)
    with driven(home, "small"):
        return table_of(read_study(home, "small"))


def test_what_is_in_it(table: TrialTable) -> None:
    frame = table.frame
    assert list(frame["number"]) == list(range(8))
    states = ["complete", "pruned", "complete", "pruned", "failed", "interrupted", "pruned", "running"]
    assert list(frame["state"]) == states
    assert list(frame["value"].dropna()) == [0.5, 0.7]
    assert list(frame["score"].dropna()) == [0.5, 0.8, 0.7, 0.4, 0.85, 0.95]  # 0.7 was returned, never reported
    assert list(frame["best_score"].dropna()) == [0.9, 0.8, 0.7, 0.4, 0.85, 0.95]
    assert list(frame["best_val_loss"].dropna()) == [0.1, 0.2]  # known to be small at its best, though not the metric
    assert list(frame["odd"].dropna()) == [2.0] and "best_odd" not in frame
    assert list(frame["layers"]) == [MIXED[number % 4] for number in range(8)]  # of the running one, too
    assert list(frame["units"].dropna()) == [16, 32, 16, 32] and pd.isna(frame["units"][1])
    assert list(frame["learning rate"]) == [1] * 8  # a constant
    assert list(frame["reason"].fillna("")) == [
        "",
        "stopped early, after step 2",
        "",
        "diverged: a value was not finite at step 2",
        "ValueError: no\x1b[31m luck",
        INTERRUPTED,
        "stopped by budget.seconds, after step 1",
        "",
    ]
    assert list(frame["epochs_trained"].fillna(0)) == [3, 2, 1, 1, 0, 0, 1, 2]
    assert list(frame["duration"].fillna(0)) == [2, 9, 5, 2, 2, 2, 2, 0]
    assert list(frame["cohort"].fillna(0)) == [8, 1, 0, 0, 0, 0, 0, 0]
    assert frame["seed"][4] == 2**32 - 1 and frame["run_id"][3] == "run 3"
    assert frame["started"][0] == pd.Timestamp("2023-11-14T22:13:20Z") and pd.isna(frame["ended"][7])


def test_types_are_those_that_are_documented(table: TrialTable) -> None:
    types = {name: str(kind) for name, kind in table.frame.dtypes.items()}
    assert {name: types[name] for name in FACTS} == {name: fact.dtype for name, fact in FACTS.items()}
    assert types["units"] == "Int64" and types["mode"] == "boolean" and types["score"] == "float64"
    assert types["layers"] == "object" and types["param_state"] == "str" and types["param_lr"] == "float64"


def test_the_documentation_has_the_columns() -> None:
    text = (Path(__file__).parents[2] / "docs" / "decision.md").read_text()
    rows = [f"| `{name}` | {fact.dtype} | {fact.meaning} |" for name, fact in FACTS.items()]
    assert [row for row in rows if row not in text] == []


def test_names_that_collide(table: TrialTable) -> None:
    assert list(table.frame["param_state"])[:2] == ["größe, 大", "b"]
    assert table.frame["metric_lr"][0] == 7.0 and table.frame["param_lr"][2] == 0.2 and "lr" not in table.frame
    names = ["lr", "best_lr", "param_lr", "metric_lr", "state", "param_state", "best_metric_lr", "number"]
    goals = goals_of(names, "lr", "minimize") | {"best_lr": "maximize"}
    columns = columns_of(names, names, goals)  # type: ignore[arg-type]
    assert len({column.name for column in columns}) == len(columns)
    assert len(columns) == len(FACTS) + 2 * len(names) + 2
    assert [column.name for column in columns if column.kind == "fact"][:3] == ["number", "state", "value"]
    named = {(column.kind, column.of): column.name for column in columns_of(["lr", "param_lr"], ["lr"], {})}
    assert named["parameter", "lr"] == "param_param_lr" and named["parameter", "param_lr"] == "param_lr"


def test_the_best_come_first(table: TrialTable) -> None:
    assert list(chosen(table)["number"]) == [2, 0, 6, 1, 3, 7, 4, 5]
    assert list(chosen(table, top=2)["number"]) == [2, 0]


def test_smaller_is_better(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}, goal="minimize")
    trials = [Trial({"x": 0.1 * n}, Outcome("complete", value=v), {"score": [0.0, v]}) for n, v in enumerate((3, 1, 2))]
    table = table_of(read_study(recorded(Home(tmp_path / "home"), sweep, trials), "small"))
    assert list(chosen(table)["value"]) == [1, 2, 3] and list(table.frame["best_score"]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("sort", "numbers"),
    [
        ("-duration", [1, 2, 0, 6, 3, 4, 5, 7]),  # of equal ones the better first, missing ones last
        ("duration", [0, 6, 3, 4, 5, 2, 1, 7]),
        ("-number", [7, 6, 5, 4, 3, 2, 1, 0]),
        ("layers", [1, 5, 2, 6, 0, 4, 7, 3]),  # numbers, texts, then the rest as JSON
    ],
)
def test_sorting(table: TrialTable, sort: str, numbers: list[int]) -> None:
    found = list(chosen(table, sort=sort)["number"])
    if sort == "layers":  # two trials a choice
        found, numbers = ([number % 4 for number in each] for each in (found, numbers))
    assert found == numbers


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("state == 'complete' and param_lr < 0.1", [0]),
        ("units > 16", [2, 6]),
        ("units != 16", [1, 2, 3, 5, 6, 7]),  # what is missing is no 16
        ("mode", [0, 2, 4, 6]),
        ("`learning rate` == 1 and layers == '[64, 32]'", [0, 4]),
        ("layers == 3 or layers == 'wide'", [1, 2, 5, 6]),
        ("reason.str.contains('ValueError', na=False)", [4]),
        ("started > '2000-01-01' and ended < '2000-01-01'", []),
        ("param_state == 'größe, 大' and seed in [7]", [0, 2, 6]),
    ],
)
def test_conditions(table: TrialTable, where: str, numbers: list[int]) -> None:
    assert sorted(chosen(table, where)["number"]) == numbers


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("scor > 1", "no column 'scor' (did you mean 'score'?)"),
        ("state == complete", "text stands in quotes: state == 'complete'"),
        ("`learning rat` == 1", "no column of the name between the backticks (columns: number, state"),
        ("score >", "invalid syntax (columns: number"),
        ("score = 1", "is no condition on columns (two signs, ==, compare)"),
        ("score + 1", "is no condition on columns (such as"),
        ("", "expr cannot be an empty string"),
        ("layers > 1", "not supported between instances"),
        ("@table == 1", "'table' is not defined"),
        ("__import__('os').getpid() > 0", "not a supported function"),
    ],
)
def test_no_conditions(table: TrialTable, where: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        chosen(table, where)
    assert said in str(refused.value) and str(refused.value).startswith("--where")


def test_unknown_columns(table: TrialTable) -> None:
    with pytest.raises(UserError, match=r"--sort: there is no column 'durations' \(did you mean 'duration'\?\)"):
        chosen(table, sort="-durations")
    wrong = {"nmber": "did you mean 'number'", "a,,b": "with commas", "": "with commas", "seed,seed": "more than once"}
    for text, said in wrong.items():
        with pytest.raises(UserError, match=said):
            chosen_columns(table.frame.columns, text)
    assert chosen_columns(["a", "b,c", "d e"], 'd e, "b,c",a') == ["d e", "b,c", "a"]


def test_csv(table: TrialTable) -> None:
    text = bytes_of("csv", table, table.frame).decode()
    read = pd.read_csv(io.StringIO(text), parse_dates=["started"])
    assert list(read.columns) == list(table.frame.columns) and len(read) == 8
    assert list(read["layers"])[:4] == ["[64, 32]", "3", "wide", '{"a": 1}']
    assert list(read["param_state"])[:2] == ["größe, 大", "b"] and read["score"].equals(table.frame["score"])
    assert (read["started"] == table.frame["started"]).all()
    assert text.startswith("number,state,value,param_lr,layers,")


def test_json(table: TrialTable) -> None:
    read = json.loads(bytes_of("json", table, table.frame))
    assert [record["layers"] for record in read][:4] == MIXED
    assert read[1]["units"] is None and read[0]["mode"] is True and read[0]["started"] == "2023-11-14T22:13:20+00:00"
    assert all(list(record) == list(table.frame.columns) for record in read)


def test_parquet(table: TrialTable) -> None:
    read = pd.read_parquet(io.BytesIO(bytes_of("parquet", table, table.frame)))
    assert list(read["layers"])[:4] == ["[64, 32]", "3", "wide", '{"a": 1}']
    assert str(read["units"].dtype) == "Int64" and str(read["started"].dtype) == "datetime64[us, UTC]"
    assert list(read.columns) == list(table.frame.columns)


def test_choices_that_look_the_same_are_json(tmp_path: Path) -> None:
    values = [1, "1", True, "true"]
    sweep = sweep_of(tmp_path, {"v": {"values": values}})
    home = recorded(Home(tmp_path / "home"), sweep, [complete(0.5, v=value) for value in values])
    table = table_of(read_study(home, "small"))
    read = pd.read_csv(io.BytesIO(bytes_of("csv", table, table.frame)), dtype=str)
    assert list(read["v"]) == ["1", '"1"', "true", '"true"']


def test_a_table_for_people(table: TrialTable) -> None:
    text = bytes_of("table", table, table.frame).decode()
    head, *lines = text.splitlines()
    assert head.split()[:5] == ["number", "state", "value", "param_lr", "layers"] and len(lines) == 8
    assert r"no\x1b[31m luck" in text and "\x1b" not in text
    assert "größe, 大" in lines[0] and len({cell_len(line[: line.index("run ")]) for line in lines[:7]}) == 1


@pytest.mark.parametrize("width", [40, 80, 200])
def test_what_fits_a_terminal(table: TrialTable, width: int) -> None:
    text, left_out = fitted_table(table, chosen(table), width)
    assert max(map(cell_len, text.splitlines())) <= width
    head = text.splitlines()[0].split("  ")
    assert head[0] == "number" and "state" in text and "run_id" in (*left_out, *text.split())
    if width == 80:
        assert "score" in text and "reason" in text  # something failed: it is told why


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
@pytest.mark.parametrize("trials", [[], [Trial(params(0), None)], [Trial(params(1), Outcome("failed", error="E: no"))]])
def test_studies_without_a_result(tmp_path: Path, form: Any, trials: list[Trial]) -> None:
    home = recorded(Home(tmp_path / "home"), sweep_of(tmp_path, PARAMETERS), trials)
    table = table_of(read_study(home, "small"))
    assert len(table.frame) == len(trials) == len(chosen(table, "number >= 0", "-value"))
    assert bytes_of(form, table, chosen(table)) and fitted_table(table, chosen(table), 80)[0].startswith("number")


def test_ten_thousand_trials(tmp_path: Path) -> None:
    curves = {f"val_m{index}": [0.1 * step for step in range(5)] for index in range(3)}
    trials = (Trial({"x": 0.5}, Outcome("complete", value=number / 1e4), curves) for number in range(10_000))
    home = recorded(Home(tmp_path / "home"), sweep_of(tmp_path, {"x": {"min": 0.0, "max": 1.0}}), trials)
    table = table_of(read_study(home, "small"))
    assert len(bytes_of("table", table, chosen(table)).splitlines()) == 10_001
    assert list(chosen(table, top=2)["number"]) == [9_999, 9_998]


def test_an_old_study_that_lacks_facts(tmp_path: Path) -> None:
    """Records of trials may lack whatever came later: the worker, the seed of a study that Optuna's own writer made."""
    home = recorded(Home(tmp_path / "home"), sweep_of(tmp_path, PARAMETERS), [complete(0.5, **params(0))])
    study = read_study(home, "small")
    del study.trials[0].user_attrs["history"]
    frame = table_of(study).frame
    assert frame["score"][0] == 0.5 and pd.isna(frame["epochs_trained"][0]) and pd.isna(frame["worker"][0])
