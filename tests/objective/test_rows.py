"""The rows of a task as trials have them: folds, and splits of their own; references on the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import hpo
from hpo.events import Assignment, Finished, Reported, TrialSpec
from hpo.objective.rows import TaskRows, check_rows
from hpo.objective.torch_task import TorchObjective
from hpo.training.data.splitting import split_indices
from hpo.training.loop import train
from hpo.training.members import Member, of_member
from hpo.training.task import Splits, TorchTask
from objective.test_torch_task import Recorder

PARAMS: dict[str, Any] = {"hidden_layers": [6], "batch_size": 16, "epochs": 2}


class Table(hpo.TableTask):
    kind = "regression"
    options: ClassVar = {"source": hpo.Known("choice", "here", choices=("here",))}

    def load_source(self, options: Mapping[str, Any]) -> tuple[Any, Any]:
        x = np.random.default_rng(0).normal(size=(97, 4)) * [1, 10, 100, 1000]
        return x, x[:, 0] * 50 + x[:, 1] + 1000

    def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> torch.nn.Module:
        return hpo.mlp(params, features, outputs)


class OwnSplits(Table):
    def splits(self, data: Mapping[str, Any]) -> Splits:  # type: ignore[override]
        return super().splits(data)


def run(bound: TorchObjective, seeds: list[int], **keys: Any) -> Recorder:
    channel = Recorder()
    trials = tuple(TrialSpec(number, PARAMS, seed, 2) for number, seed in enumerate(seeds))
    bound.run(replace(Assignment(0, trials, measured=False), **keys), channel)
    return channel


def reports(channel: Recorder, number: int) -> list[Mapping[str, float]]:
    return [event.metrics for event in channel.events if isinstance(event, Reported) and event.number == number]


@pytest.mark.parametrize("repeats", [1, 2])
def test_each_member_has_its_fold(repeats: int) -> None:
    bound = TorchObjective(Table(), {"resample": "kfold", "folds": 3}, repeats)
    channel = run(bound, [5, 6])
    assert bound.folds == 3 and bound.beginning.members == 3 * repeats
    for number, seed in ((0, 5), (1, 6)):
        for index in range(3 * repeats):
            member = Member(index, 3 * repeats)
            rows = Table().splits({}, cut=hpo.Fold(index % 3, 3))
            (*alone, _) = train(Table(), rows, TrialSpec(0, PARAMS, member.seed(seed), 2), torch.device("cpu"))
            for found, event in zip(reports(channel, number), alone, strict=True):
                assert of_member(found, member) == pytest.approx(event.metrics, rel=2e-4, abs=2e-4)
    (first, _) = [event for event in channel.events if isinstance(event, Finished)]
    assert first.info["members"] == 3 * repeats and first.info["validation_rows"] == 97 - 19
    assert first.info["cohort"] == 2


def test_folds_with_other_columns_train_in_lock_step(tmp_path: Path) -> None:
    """A category of one fold's rows is unknown to the models that don't train on it, so they are smaller: they are a
    stack of their own, beside the others'."""

    class Words(hpo.TableTask):
        kind = "binary"

        def model(self, params: Mapping[str, Any], features: torch.Size, outputs: int) -> torch.nn.Module:
            return hpo.mlp(params, features, outputs)

    _, rare, _ = split_indices(np.arange(60) % 2, "binary", cut=hpo.Fold(1, 3))
    words = ["rare" if row in rare[:4] else ["usual", "other"][row % 3 % 2] for row in range(60)]
    lines = [f"{row * 0.5},{word},{row % 2}" for row, word in enumerate(words)]
    (tmp_path / "t.csv").write_text("\n".join(["a,word,y", *lines]))
    data = {"csv": str(tmp_path / "t.csv"), "target": "y", "resample": "kfold", "folds": 3}
    bound = TorchObjective(Words(), data)
    stacked = run(bound, [5, 6])
    assert {rows.train.x.shape[1] for rows in bound.rows.each()} == {3, 4}
    assert [event.info["stack"] for event in stacked.events if isinstance(event, Finished)] == [[0, 1], [0, 1]]
    for number, seed in ((0, 5), (1, 6)):
        alone = run(bound, [seed], stack=False)
        for found, expected in zip(reports(stacked, number), reports(alone, 0), strict=True):
            assert found == pytest.approx(expected, rel=2e-4, abs=2e-4)


def test_a_reshuffled_trial_has_the_split_of_its_seed() -> None:
    bound = TorchObjective(Table(), {"resample": "reshuffle"})
    rows = bound.rows
    one, same, other = (rows.of(TrialSpec(0, {}, seed), Member()).validation.y for seed in (5, 5, 6))
    assert torch.equal(one, same) and not torch.equal(one, other)
    both = [rows.of(TrialSpec(0, {}, 5), Member(index, 2)).validation.y for index in range(2)]
    assert torch.equal(both[0], one) and not torch.equal(both[1], one)  # with repeats each has its own
    stacked, alone = run(bound, [5, 6]), run(bound, [6])
    assert [event.info.get("cohort") for event in stacked.events if isinstance(event, Finished)] == [2, 2]
    for found, expected in zip(reports(stacked, 1), reports(alone, 0), strict=True):
        assert found == pytest.approx(expected, rel=2e-4, abs=2e-4)
    assert "each trial has a split of its own" in bound.prepare()[-1]


def test_a_task_that_takes_no_cut_is_refused_with_what_to_do() -> None:
    (fault,) = check_rows(OwnSplits(), {"resample": "kfold", "folds": 3})
    assert fault.path == ("resample",) and "OwnSplits.splits takes no 'cut'" in fault.message
    assert "def splits(self, data, cut=None)" in fault.remedy
    assert check_rows(Table(), {"resample": "kfold", "folds": 3}) == []

    class Audio(TorchTask):
        kind = "binary"

    assert check_rows(Audio(), {"resample": 16000}) == []  # a key of its own
    assert TaskRows(Audio(), {"resample": 16000}).folds == 1
    (fault,) = TorchObjective(Table(), {"resample": "kfold", "folds": "five"}).check_data()
    assert "must be a whole number in [2, 100], but got 'five'" in fault.message


def test_references_are_the_means_over_the_folds() -> None:
    from hpo.events import ReferenceOrder

    measured = []

    class Line(Recorder):
        def refer(self, found: Any) -> None:
            measured.append(found)

    def measure(data: Mapping[str, Any]) -> Any:
        line = Line()
        TorchObjective(Table(), data).run(Assignment(-1, (), references=ReferenceOrder(("constant",))), line)
        return measured.pop()

    found = measure({"resample": "kfold", "folds": 3})
    folds = [Table().splits({}, cut=hpo.Fold(index, 3)) for index in range(3)]
    errors = [float((rows.validation.y - rows.train.y.mean()).abs().mean()) for rows in folds]
    assert found.metrics["val_mae"] == pytest.approx(sum(errors) / 3, rel=1e-5)
    assert found.data != measure({}).data == measure({"resample": "holdout"}).data
