"""Which kind of task a target asks for, by its values; and what `objectives.table` makes of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo.ledger.study.space_change import differences
from hpo.objective.build import inspect, inspect_closely
from hpo.spec.faults import SpecError, render_fault
from hpo.spec.load import load_sweep
from hpo.spec.named import Inspection, Named
from hpo.training.contract import contract_of
from hpo.training.data.spelling import SpellingRules
from hpo.training.data.target_kind import kind_by_values, target_kind
from objectives.table import BinaryTable, RegressionTable, Table

Write = Callable[[Iterable[object]], dict[str, Any]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a table with these targets; return the `data` section that names it."""

    def table(targets: Iterable[object]) -> dict[str, Any]:
        draw = random.Random(0)
        lines = [f"{draw.random():.6f},{target}" for target in targets]
        (tmp_path / "own.csv").write_text("\n".join(["x,y", *lines]) + "\n")
        return {"csv": str(tmp_path / "own.csv"), "target": "y"}

    return table


def many(*values: object, times: int = 10) -> Counter[str]:
    return Counter({str(value): times for value in values})


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (many("yes", "no"), "binary", "target 'y' has 2 values: binary (data.kind says otherwise)"),
        (many(0, 1), "binary", "2 values"),
        (many("0", "1", "1.0"), "binary", "2 values"),  # as classes are told apart
        (many(0.5, 2.5), "binary", "2 values"),
        (many("setosa", "virginica", "versicolor"), "multiclass", "has 3 classes: multiclass (data.kind says"),
        (many("1st", "2nd", "3rd"), "multiclass", "3 classes"),
        (many("1", "2", "3", "fail"), "multiclass", "4 classes"),
        (many(*(f"species {n}" for n in range(300)), times=1), "multiclass", "300 classes"),
        (many(*range(10)), "multiclass", "has 10 whole numbers from 0 to 9: multiclass (if they count or measure: "),
        (many("1.0", "2.0", "3.0"), "multiclass", "3 whole numbers from 1 to 3"),
        (many(-1, 0, 1), "multiclass", "from -1 to 1"),
        (many(*range(21)), "regression", "21 whole numbers from 0 to 20, more than 20: regression (if they name"),
        (many(0, 1, 2) + Counter({"7": 2}), "regression", "7 in fewer than the 3 rows that a class needs"),
        (many(*range(18, 90), times=500), "regression", "72 whole numbers"),  # ages in a long table
        (many(0.5, 1, 1.5, 2), "regression", "4 numbers: regression (data.kind says otherwise)"),
        (many(*(n / 7 for n in range(50)), times=1), "regression", "50 numbers"),
        (many("1,5", "2,5", "3,5"), "regression", "3 numbers"),
        (many("$1,200", "$900", "$15"), "regression", "3 numbers"),
        (many(*(n / 7 for n in range(50)), "unknown", times=1), "regression", "51 numbers"),  # which check_csv refuses
        (many("1e3", "2e3", "5e3"), "multiclass", "3 whole numbers from 1000 to 5000"),
    ],
)
def test_the_rule(values: Counter[str], kind: str, said: str) -> None:
    found = kind_by_values("y", values, SpellingRules())
    assert found is not None and (found.kind, said in found.said) == (kind, True), found


@pytest.mark.parametrize("values", [{}, many("only"), many("2024-02-13", "2024-02-14", "2024-02-15")])
def test_values_that_say_nothing(values: Counter[str]) -> None:
    assert kind_by_values("y", values, SpellingRules()) is None


def test_the_file_says_otherwise(write: Write) -> None:
    data = write(n % 5 for n in range(60))
    assert target_kind(data).kind == "multiclass"
    assert target_kind({**data, "kind": "regression"}).kind == "regression"
    assert isinstance(Table().for_data({**data, "kind": "regression"}), RegressionTable)


def test_a_file_that_has_changed_is_read_again(write: Write) -> None:
    assert target_kind(write(n % 2 for n in range(60))).kind == "binary"
    assert target_kind(write(n % 3 for n in range(90))).kind == "multiclass"


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"kind": "classes"}, ("data", "kind"), "must be one of binary, multiclass, regression, but got 'classes'"),
        ({"kind": ["binary"]}, ("data", "kind"), "but got ['binary']"),
        ({"target": "z"}, ("data", "target"), "there is no column 'z'"),
        ({"target": 3}, ("data", "target"), "must be the name of a column, but got 3"),
        ({"csv": "nowhere.csv"}, ("data", "csv"), "does not exist"),
        ({"encoding": "utf-9"}, ("data", "encoding"), "an encoding that Python knows"),
        ({"encoding": "utf-16"}, ("data", "csv"), "must be text in utf-16"),
        ({"separator": ["a"]}, ("data", "separator"), "must be one of"),
    ],
)
def test_what_leaves_it_open_is_said(write: Write, change: dict[str, Any], path: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Table().for_data({**write(n % 2 for n in range(60)), **change})
    [fault] = caught.value.faults
    assert fault.path == path and message in fault.message


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["a"] * 30, "must vary"),
        ([""] * 30, "must have values"),
        ([f"2024-02-{n % 28 + 1:02}" for n in range(60)], "no task predicts dates"),
        ([], "has only a header"),
    ],
)
def test_a_target_that_none_can_learn(write: Write, targets: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Table().for_data(write(targets))


def looked_at(data: dict[str, Any], closely: bool = False) -> Inspection:
    named = Named("objectives.table", None, (), data, "", (), Path())
    return inspect_closely(named) if closely else inspect(named)


def test_the_kind_decides_the_contract_and_is_noted(write: Write) -> None:
    for targets, metric, notes in (
        ([n % 2 for n in range(60)], "val_accuracy", "2 values: binary"),
        (["abc"[n % 3] for n in range(60)], "val_accuracy", "3 classes: multiclass"),
        ([n * n for n in range(60)], "val_rmse", "60 whole numbers from 0 to 3481, more than 20: regression"),
    ):
        data = write(targets)
        found = looked_at(data, closely=True)
        assert found.faults == () and found.contract is not None and found.contract.default_metric == metric
        assert metric in found.contract.metrics and notes in found.notes[0]
        splits = Table().for_data(data).splits(data)  # type: ignore[attr-defined]
        assert notes in splits.notes[0]  # what a sweep tells and logs


SWEEP = """
objective: objectives.table
data: {csv: own.csv, target: y}
parameters: {learning_rate: {min: 0.001, max: 0.1}}
"""


def sweep_faults(tmp_path: Path, *overrides: str) -> list[str]:
    (tmp_path / "own.yaml").write_text(SWEEP)
    with pytest.raises(SpecError) as caught:
        load_sweep(tmp_path / "own.yaml", inspect, overrides)
    return [render_fault(fault) for fault in caught.value.faults]


def test_a_file_without_a_metric_has_the_tasks_own(write: Write, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SWEEP)
    write(n / 7 for n in range(60))
    sweep = load_sweep(tmp_path / "own.yaml", inspect)
    assert (sweep.metric.name, sweep.metric.goal) == ("val_rmse", "minimize")
    assert "the file names no metric: minimize val_rmse (metric.name says another)" in sweep.notes
    write("abc"[n % 3] for n in range(60))
    sweep = load_sweep(tmp_path / "own.yaml", inspect, ["metric.name=val_f1"])
    assert (sweep.metric.name, sweep.metric.goal) == ("val_f1", "maximize")
    assert not any("names no metric" in note for note in sweep.notes)


def test_what_another_kind_has_is_refused_with_the_reason(write: Write, tmp_path: Path) -> None:
    write(n * n for n in range(60))
    faults = sweep_faults(tmp_path, "metric.name=val_accuracy", "parameters.loss.value=bce", "data.positive=0")
    why = "target 'y' has 60 whole numbers from 0 to 3481, more than 20: regression"
    [metric] = [fault for fault in faults if "metric.name" in fault]
    assert f"the objective reports no metric 'val_accuracy': {why}" in metric
    assert "(metric: {name: val_rmse}, or leave metric out)" in metric
    assert any("loss must be one of mse" in fault and why in fault for fault in faults)
    assert any("data.positive" in fault and "means nothing for a regression task" in fault for fault in faults)


def test_without_a_file_the_metric_is_not_missed(tmp_path: Path) -> None:
    [fault] = sweep_faults(tmp_path)
    assert "must name a CSV file" in fault
    assert len(sweep_faults(tmp_path, "data={}")) == 1


@pytest.mark.parametrize(("task", "kind", "fault"), [("binary", "binary", ""), ("binary", "regression", "is a binary")])
def test_other_objectives_have_one_kind(write: Write, task: str, kind: str, fault: str) -> None:
    named = Named(f"objectives.{task}", None, (), {**write(n % 2 for n in range(60)), "kind": kind}, "", (), Path())
    faults = inspect(named).faults
    assert [each.path for each in faults] == ([("data", "kind")] if fault else [])
    assert all(fault in each.message and "objectives.table" in each.remedy for each in faults)


class Classes(hpo.TableTask):
    kinds = (BinaryTable,)


def test_a_task_of_your_own_may_have_some_kinds_only(write: Write) -> None:
    assert isinstance(Classes().for_data(write(n % 2 for n in range(60))), BinaryTable)
    with pytest.raises(SpecError, match="Classes has no regression task, but target 'y' has 60 numbers: regression"):
        Classes().for_data(write(n / 7 for n in range(60)))


def test_a_metric_that_its_kind_has_not_is_a_mistake_of_the_task(write: Write) -> None:
    class Wrong(BinaryTable):
        default_metric = "val_rmse"

    with pytest.raises(ValueError, match=r"Wrong\.default_metric is 'val_rmse'"):
        contract_of(Wrong())


def test_a_study_is_of_one_kind(write: Write, tmp_path: Path) -> None:
    """A row more may make numbers of classes: that is another study, whatever else is the same."""
    (tmp_path / "own.yaml").write_text(SWEEP)
    write(n % 5 for n in range(60))
    before = load_sweep(tmp_path / "own.yaml", inspect)
    assert before.identity()["data"]["kind"] == before.config()["data"]["kind"] == "multiclass"
    assert "kind" not in before.data  # workers find it, and say why
    assert load_sweep(tmp_path / "own.yaml", inspect, ["data.kind=multiclass"]).identity() == before.identity()
    write([*(n % 5 for n in range(60)), 9])
    after = load_sweep(tmp_path / "own.yaml", inspect, ["metric={name: val_loss}"])
    lines = list(differences(before.identity(), after.identity()))
    assert "data.kind: the study has multiclass, the file has regression" in lines
