"""Keys that mean something for some objectives only."""

from __future__ import annotations

from dataclasses import replace

from hpo.spec.contract import Known

from .support import METRIC, Faults, Load
from .toy import TOY


def test_repeats_belong_to_torch_tasks_whose_seed_is_not_searched(load: Load, faults: Faults) -> None:
    seeded = replace(TOY, parameters={**TOY.parameters, "seed": Known("int", 0)})
    file = METRIC + "repeats: 3\nparameters:\n  optimizer: {values: [sgd, adam]}\n"
    sweep = load(file, contract=seeded)
    assert sweep.repeats == sweep.members == sweep.identity()["repeats"] == sweep.config()["repeats"] == 3
    once = load(file, "repeats=1", contract=seeded)  # as in studies that know no repeats
    assert "repeats" not in once.identity() and once.members == 1
    (fault,) = faults(file + "  seed: {values: [1, 2]}\n", contract=seeded)
    assert "2: repeats: 'repeats' trains each trial with 3 seeds, but the hyperparameter 'seed' gives it one" in fault
    (fault,) = faults(file)
    assert "2: repeats: 'repeats' needs a Torch task" in fault and "report their mean" in fault
    (fault,) = faults(METRIC + "repeats: 0\nparameters:\n  optimizer: {values: [sgd, adam]}\n", contract=seeded)
    assert "repeats: must be at least 1, but got 0" in fault


def test_weights_are_kept_where_a_trial_has_one_model(faults: Faults, load: Load) -> None:
    text = "metric: {name: val_accuracy}\nparameters: {batch_size: {value: 8}}\nkeep: {models: 2}\n"
    sweep = load(text, contract=TOY)
    assert sweep.keep is not None and sweep.keep.models == 2
    (fault,) = faults(text + "data: {resample: kfold}", contract=TOY)
    assert "keep: there are no weights to keep: a trial trains a model for each fold" in fault
    assert faults(text.replace("2", "0"), contract=TOY) == ["3: keep.models: must be greater than 0, but got 0"]


def test_files_are_kept_of_functions(faults: Faults, load: Load) -> None:
    text = "metric: {name: score, goal: maximize}\nparameters: {x: {values: [1, 2]}}\nkeep: "
    sweep = load(text + "{files: all}\n")
    assert sweep.keep is not None and sweep.keep.files == "all"
    assert load(text + "{models: 3, files: none}\n").keep  # as `hpo refine` writes it
    assert load(
        text.replace("score", "val_accuracy").replace("x: ", "batch_size: ") + "{models: 3, files: best}\n",
        contract=TOY,
    )
    for keep in ("{models: 3}", "{models: 2, files: all}"):
        (fault,) = faults(text + keep)
        assert "only the weights of a Torch task can be kept" in fault and "keep: {files: best}" in fault
    task = text.replace("score", "val_accuracy").replace("x: ", "batch_size: ")
    assert load(task + "{models: 3, files: best}\n", contract=TOY).keep
    (fault,) = faults(task + "{files: all}\n", contract=TOY)
    assert "3: keep.files: a trial of a Torch task has no folder" in fault and "keep: {models: 3} keeps" in fault
    (fault,) = faults(task + "{files: best}\n", contract=TOY)
    assert "a trial of a Torch task has no folder" in fault
    (fault,) = faults(text + "{files: some}\n")
    assert "keep.files: must be one of best, all, none, but got 'some'" in fault.replace(" or ", ", ")
