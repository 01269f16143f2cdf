"""Rules between sections, and between the file and its objective's contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from grids import grid_of

from hpo.spec.contract import Interval, Known, KnownMetric
from hpo.spec.sweep import Sweep

from .toy import TOY

Load = Callable[..., Sweep]
Faults = Callable[..., list[str]]
METRIC = "metric: {name: val_accuracy}\n"


def entry_faults(faults: Faults, *entries: str) -> list[str]:
    """The faults of a `parameters` section with these entries, from line 3 on, without `parameters.`."""
    text = METRIC + "parameters:\n" + "".join(f"  {entry}\n" for entry in entries)
    return [fault.replace(" parameters.", " ") for fault in faults(text, contract=TOY)]


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (
            "leraning_rate: {value: 1}",
            "3: leraning_rate: the objective knows no hyperparameter 'leraning_rate' (did you",
        ),
        ("zzz: {value: 1}", "3: zzz: the objective knows no hyperparameter 'zzz' (one of: activation, batch_size"),
        (
            "optimizer: {values: [adam, sdg]}",
            "3: optimizer.values[1]: optimizer must be one of sgd, adam, rmsprop, adag",
        ),
        ("optimizer: {value: sdg}", "3: optimizer.value: optimizer must be one of"),
        (
            "optimizer: {min: 0, max: 1}",
            "3: optimizer: optimizer is no number (use values: [sgd, adam, rmsprop, adagra",
        ),
        (
            "learning_rate: {values: [0.1, 0]}",
            "3: learning_rate.values[1]: learning_rate must be a number in (0, inf),",
        ),
        ("learning_rate: {min: 0.0, max: 1}", "3: learning_rate.min: learning_rate must be a number in (0, inf), but "),
        (
            "learning_rate: {value: '1e-3'}",
            "3: learning_rate.value: learning_rate must be a number in (0, inf), but got",
        ),
        ("learning_rate: {value: null}", "3: learning_rate.value: learning_rate must be a number"),
        ("batch_size: {min: 16.0, max: 64.0}", "3: batch_size: batch_size takes whole numbers only (add distribution:"),
        ("batch_size: {values: [16, 0]}", "3: batch_size.values[1]: batch_size must be a whole number in [1, inf), bu"),
        ("batch_size: {values: [16, true]}", "3: batch_size.values[1]: batch_size must be a whole number"),
        ("batch_size: {values: [16.5]}", "3: batch_size.values[0]: batch_size must be a whole number"),
        (
            "hidden_layers: {values: [[64], [0]]}",
            "3: hidden_layers.values[1]: hidden_layers must be a list of layer wid",
        ),
        ("hidden_layers: {values: [64x32]}", "3: hidden_layers.values[0]: hidden_layers must be a list of layer width"),
        (
            "momentum: {value: 0.9}",
            "3: momentum: momentum means nothing while optimizer is adam (its default is adam) (it",
        ),
    ],
)
def test_values_that_the_objective_does_not_accept(faults: Faults, entry: str, fault: str) -> None:
    [found] = entry_faults(faults, entry)
    assert found.startswith(fault)


def test_suggestions_for_choices(faults: Faults) -> None:
    assert "(did you mean 'sgd'?)" in entry_faults(faults, "optimizer: {values: [sdg]}")[0]
    assert "(did you mean 'swish'?)" in entry_faults(faults, "activation: {values: [swich]}")[0]
    assert "did you mean" not in entry_faults(faults, "optimizer: {values: [zzzz]}")[0]


def test_values_that_it_accepts(load: Load) -> None:
    sweep = load(
        METRIC + "parameters:\n"
        "  optimizer: {value: sgd}\n"
        "  learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1}\n"
        "  momentum: {min: 0.0, max: 0.99}\n"
        "  nesterov: {values: [true, false]}\n"
        "  activation: {values: [relu, swish]}\n"
        "  batch_size: {min: 16, max: 256}\n"
        "  hidden_layers: {values: [[64], [], 2]}\n"
        "  grad_clip: {values: [null, 1.0, 5]}\n",
        contract=TOY,
    )
    named = [
        "optimizer",
        "learning_rate",
        "momentum",
        "nesterov",
        "activation",
        "batch_size",
        "hidden_layers",
        "grad_clip",
    ]
    assert {parameter.name for parameter in sweep.space.parameters} >= set(named)
    for batch_size in ("distribution: int_uniform, min: 1, max: 9", "distribution: q_uniform, min: 16, max: 64, q: 16"):
        sweep = load(f"{METRIC}parameters: {{batch_size: {{{batch_size}}}}}", contract=TOY)
        assert "batch_size" in {parameter.name for parameter in sweep.space.parameters}


@pytest.mark.parametrize(
    ("when", "useless"),
    [
        ("", "adagrad"),
        ("when: {optimizer: [sgd, rmsprop, adagrad]}", "adagrad"),
        ("when: {optimizer: adagrad}", "adagrad"),
        ("when: {optimizer: {'!=': sgd}}", "adagrad"),
        ("when: {optimizer: {in: [adagrad, sgd]}}", "adagrad"),
        ("when: {optimizer: [sgd, rmsprop]}", ""),
        ("when: {optimizer: sgd}", ""),
        ("when: {optimizer: {not_in: [adagrad]}}", ""),
        ("when: {nesterov: true}", ""),  # which is active for sgd only
    ],
)
def test_momentum_only_where_the_optimizer_has_one(load: Load, faults: Faults, when: str, useless: str) -> None:
    entries = (
        "optimizer: {values: [sgd, rmsprop, adagrad]}",
        "nesterov: {values: [true, false], when: {optimizer: sgd}}",
        f"momentum: {{min: 0.0, max: 0.9, {when}}}",
    )
    if not useless:
        load(METRIC + "parameters:\n" + "".join(f"  {entry}\n" for entry in entries), contract=TOY)
        return
    [fault] = entry_faults(faults, *entries)
    assert fault.startswith(f"5: momentum: momentum means nothing while optimizer is {useless}")
    remedy = "it belongs to optimizer: sgd, rmsprop" if when.endswith(": adagrad}") else "add when: {optimizer: ["
    assert remedy in fault


def test_what_a_condition_depends_on_may_be_inactive_itself(faults: Faults) -> None:
    """While `loss` is inactive it has its default, for which gamma means nothing."""
    [fault] = entry_faults(
        faults,
        "activation: {values: [relu, silu]}",
        "loss: {values: [focal], when: {activation: relu}}",
        "focal_gamma: {min: 1.0, max: 2.0}",
    )
    assert "focal_gamma means nothing while loss is bce" in fault


NORM = "norm can't be true while batch_size is 1: it needs two rows (forbid: [{norm: true, batch_size: 1}], or leave"


@pytest.mark.parametrize(
    ("norm", "size", "forbid", "refused"),
    [
        ("value: true", "value: 1", "[]", True),
        ("values: [true, false]", "values: [1, 8]", "[]", True),
        ("values: [false, true]", "min: 1, max: 64", "[]", True),
        ("value: true", "min: 1, max: 64, q: 2", "[]", True),
        ("values: [true, false]", "values: [1.0, 8]", "[{norm: true, optimizer: sgd}]", True),
        ("values: [true, false]", "values: [1, 8]", "[{norm: true, batch_size: 1, optimizer: sgd}]", True),
        ("values: [true, false]", "values: [1, 8]", "[{norm: true, batch_size: 1}]", False),
        ("values: [true, false]", "min: 1, max: 64", "[{norm: true, batch_size: {'<': 4}}]", False),
        ("values: [true, false]", "values: [1, 8]", "[{norm: true, batch_size: 1, loss: bce}]", False),  # the constant
        ("value: true, when: {batch_size: {'>': 1}}", "values: [1, 8]", "[]", False),
        ("value: true, when: {batch_size: 1}", "values: [1, 8]", "[]", True),
        ("value: true, when: {optimizer: sgd}", "value: 1, when: {optimizer: adam}", "[]", False),
        ("value: true, when: {optimizer: sgd}", "value: 1, when: {optimizer: [adam, sgd]}", "[]", True),
        ("value: false", "value: 1", "[]", False),
        ("values: [true, false]", "min: 2, max: 64", "[]", False),
    ],
)
def test_a_value_that_excludes_another_ones(faults: Faults, norm: str, size: str, forbid: str, refused: bool) -> None:
    found = faults(
        f"{METRIC}parameters:\n  norm: {{{norm}}}\n  batch_size: {{{size}}}\n  loss: {{value: bce}}\n"
        f"  optimizer: {{values: [sgd, adam]}}\n  broken: {{value: 1}}\nforbid: {forbid}\n",
        contract=TOY,
    )
    about = [fault for fault in found if "can't be true" in fault]
    assert len(about) == refused and all(fault.startswith(f"3: parameters.norm: {NORM}") for fault in about)


def test_a_misspelt_name_is_one_fault(faults: Faults) -> None:
    found = entry_faults(
        faults,
        "optimiser: {values: [sgd, adam]}",
        "momentum: {min: 0.0, max: 0.9, when: {optimizer: sgd}}",
        "loss: {values: [bce, focal]}",
    )
    assert len(found) == 1
    assert found[0].endswith("knows no hyperparameter 'optimiser' (did you mean 'optimizer'?)")


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        (
            "{name: val_acuracy}",
            "1: metric.name: the objective reports no metric 'val_acuracy' (did you mean 'val_accur",
        ),
        (
            "{name: val_accuracy, goal: minimize}",
            "1: metric.goal: val_accuracy is better when higher, but goal is mini",
        ),
        ("{name: val_loss, goal: maximize}", "1: metric.goal: val_loss is better when lower, but goal is maximize"),
        ("{goal: maximize}", "1: metric: the key 'name' is missing (add 'name: ...')"),
        ("{name: ''}", "1: metric.name: must not be empty, but got ''"),
        ("{name: val_accuracy, gaol: maximize}", "1: metric.gaol: unknown key 'gaol' (did you mean 'goal'?)"),
        ("{name: val_accuracy, goal: max}", "1: metric.goal: must be one of minimize, maximize, but got 'max'"),
        ("{name: val_accuracy, target: high}", "1: metric.target: must be a number, but got 'high'"),
        ("val_accuracy", "1: metric: must be a mapping, but got 'val_accuracy'"),
    ],
)
def test_metrics_that_are_refused(faults: Faults, metric: str, fault: str) -> None:
    [found] = faults(f"metric: {metric}\nparameters: {{batch_size: {{values: [1, 2]}}}}", contract=TOY)
    assert found.startswith(fault)


def test_a_loss_is_no_metric_while_losses_are_searched(load: Load, faults: Faults) -> None:
    text = "metric: {name: val_loss}\nparameters: {loss: {values: [bce, focal]}}\n"
    [fault] = faults(text, contract=TOY)
    assert fault == (
        "1: metric.name: val_loss can't be compared across trials: its scale changes with what is searched (loss) "
        "(use one of val_accuracy, val_log_loss)"
    )
    assert load(text, "parameters.loss={value: focal}", contract=TOY).metric.name == "val_loss"


@pytest.mark.parametrize("loss", ["values: [focal, bce]", "value: bce"])
def test_a_loss_without_a_scale_is_no_metric(load: Load, faults: Faults, loss: str) -> None:
    """What only makes weights smaller would win."""
    metrics = dict(TOY.metrics) | {"val_loss": KnownMetric("minimize", without_scale={"loss": ("bce",)})}
    contract = replace(TOY, metrics=metrics)
    text = f"metric: {{name: val_loss}}\nparameters: {{loss: {{{loss}}}, batch_size: {{values: [1, 2]}}}}\n"
    [fault] = faults(text, contract=contract)
    assert fault.startswith("1: metric.name: val_loss says nothing of how good a trial is with loss: bce")
    [fault] = faults("metric: {name: val_loss}\nparameters: {batch_size: {values: [1, 2]}}\n", contract=contract)
    assert "with loss: bce" in fault  # the default
    assert load(text.replace(loss, "value: focal"), contract=contract).metric.name == "val_loss"


@pytest.mark.parametrize("loss", ["values: [focal, bce]", "value: bce"])
def test_a_metric_that_is_not_reported_by_all_trials_is_no_metric(load: Load, faults: Faults, loss: str) -> None:
    absent = KnownMetric("minimize", absent_with={"loss": {"bce": "a reason"}, "not there": {"x": "y"}})
    contract = replace(TOY, metrics=dict(TOY.metrics) | {"val_brier": absent})
    text = f"metric: {{name: val_brier}}\nparameters: {{loss: {{{loss}}}, batch_size: {{values: [1, 2]}}}}\n"
    expected = (
        "1: metric.name: val_brier is not reported with loss: bce: a reason (use one of val_accuracy, val_log_loss)"
    )
    assert faults(text, contract=contract) == [expected]
    assert faults("metric: {name: val_brier}\nparameters: {batch_size: {values: [1, 2]}}\n", contract=contract)
    assert load(text.replace(loss, "value: focal"), contract=contract).metric.goal == "minimize"


def test_goals_by_default(load: Load) -> None:
    parameters = "parameters: {batch_size: {values: [1, 2]}}"
    assert load(f"metric: {{name: val_accuracy}}\n{parameters}", contract=TOY).metric.goal == "maximize"
    assert load(f"metric: {{name: val_log_loss}}\n{parameters}", contract=TOY).metric.goal == "minimize"


def test_targets(load: Load) -> None:
    for goal, reached, missed in (("maximize", (0.9, 1.0), 0.8), ("minimize", (0.9, 0.1), 1.0)):
        metric = load(f"metric: {{name: x, goal: {goal}, target: 0.9}}").metric
        assert all(metric.reached(value) for value in reached) and not metric.reached(missed)
        assert metric.better(*sorted(reached, reverse=goal == "maximize"))
    assert not load("metric: {name: x, goal: maximize}").metric.reached(9.0)


@pytest.mark.parametrize(
    ("clauses", "fault"),
    [
        ("[{a: 1}, {b: x, zz: 1}]", "4: forbid[1].zz: unknown parameter 'zz'"),
        ("[{aa: 1}]", "4: forbid[0].aa: unknown parameter 'aa' (did you mean 'a'?)"),
        ("[{a: 9}]", "4: forbid[0].a: the condition can never hold: 'a' never is 9 (a is: 1, 2)"),
        ("[{a: {'>': 5}}]", "4: forbid[0].a: the condition can never hold"),
        ("[{}]", "4: forbid[0]: an empty clause forbids everything"),
        ("[{a: 1}, {a: 2}]", "4: forbid: no configuration is left: 'forbid' excludes them all (loosen a clause"),
        ("[{r: {'>=': 0}}]", "4: forbid: no configuration is left"),
        ("{a: 1}", "4: forbid: must be a list, but got {'a': 1}"),
        ("[a]", "4: forbid[0]: must be a mapping, but got 'a'"),
    ],
)
def test_forbid_refused(faults: Faults, clauses: str, fault: str) -> None:
    b = "r: {min: 0.0, max: 1.0}" if "r:" in clauses else "b: {values: [x], when: {a: 1}}"
    [found] = faults(f"parameters:\n  a: {{values: [1, 2]}}\n  {b}\nforbid: {clauses}\n")
    assert found.startswith(fault)


def test_forbid(load: Load) -> None:
    space = load(
        """
        parameters:
          a: {values: [1, 2]}
          b: {values: [x, y], when: {a: 1}}
        forbid: [{a: 1, b: x}, {b: {"==": z}, a: 2}]
    """.replace(', {b: {"==": z}, a: 2}', "")
    ).space
    assert grid_of(space) == [{"a": 1, "b": "y"}, {"a": 2}]
    assert space.allowed({"a": 2, "b": "x"}) and not space.allowed({"a": 1, "b": "x"})


BASELINES = """
    metric: {name: val_accuracy}
    parameters:
      optimizer: {values: [sgd, adam]}
      momentum: {min: 0.5, max: 0.9, when: {optimizer: sgd}}
      learning_rate: {distribution: log_uniform_values, min: 1e-5, max: 1e-1}
      batch_size: {values: [16, 64]}
      epochs: {value: 5}
    forbid: [{optimizer: adam, batch_size: 64}]
"""


def test_baselines_are_completed(load: Load) -> None:
    """Left out: constants, and what the objective's default fills in if the space has it."""
    baselines = load(
        BASELINES,
        "baselines=[{batch_size: 16}, {optimizer: sgd, momentum: 0.6, learning_rate: 0.1, batch_size: 64, epochs: 5}]",
        contract=TOY,
    ).baselines
    assert baselines == (
        {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 16, "epochs": 5},
        {"optimizer": "sgd", "momentum": 0.6, "learning_rate": 0.1, "batch_size": 64, "epochs": 5},
    )


@pytest.mark.parametrize(
    ("optimizer", "baseline", "expected"),
    [
        ("{values: [adam, sgd]}", "{optimizer: sgd}", 0.01),
        ("{values: [adam, sgd]}", "{optimizer: adam}", 1e-3),
        ("{values: [adam, descent]}", "{optimizer: descent}", 0.01),
        ("{value: sgd}", "{}", 0.01),
        ("{values: [adam, sgd]}", "{}", 1e-3),  # adam is the default
        (None, "{}", 1e-3),
    ],
)
def test_a_baseline_is_completed_by_its_own_optimizers_defaults(
    load: Load, optimizer: str | None, baseline: str, expected: float
) -> None:
    rate = replace(TOY.parameters["learning_rate"], default_where={"optimizer": {"sgd": 0.01}})
    contract = replace(
        TOY,
        parameters={**TOY.parameters, "learning_rate": rate},
        aliases={**TOY.aliases, "optimizer": {"descent": "sgd"}},
    )
    entry = "" if optimizer is None else f"  optimizer: {optimizer}\n"
    text = f"{METRIC}parameters:\n  learning_rate: {{min: 1.0e-5, max: 0.1}}\n{entry}"
    (completed,) = load(text, f"baselines=[{baseline}]", contract=contract).baselines
    assert completed["learning_rate"] == expected


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("{}", "baselines[0]: batch_size is active here and has no value (add batch_size: ...)"),
        ("{batch_size: 16, optimizer: sgd}", "momentum is active here and has no value"),
        (
            "{batch_size: 16, momentum: 0.6}",
            "baselines[0].momentum: momentum is inactive here: it needs {'optimizer': 's",
        ),
        (
            "{batch_size: 32}",
            "baselines[0].batch_size: batch_size must be one of the space's values (16, 64), but got 32",
        ),
        (
            "{batch_size: 16, learning_rate: 1}",
            "must be one of the space's values (1e-05 to 0.1, log scale), but got 1",
        ),
        ("{batch_size: 16, epochs: 6}", "epochs must be one of the space's values (5), but got 6"),
        (
            "{batch_size: 16, learning_rat: 1}",
            "baselines[0].learning_rat: unknown parameter 'learning_rat' (did you me",
        ),
        ("{batch_size: 64}", "baselines[0]: this configuration is forbidden by 'forbid'"),
    ],
)
def test_baselines_refused(faults: Faults, baseline: str, message: str) -> None:
    [found] = faults(BASELINES, f"baselines=[{baseline}]", contract=TOY)
    assert message in found


def test_a_baseline_is_written_as_the_space_has_it(load: Load) -> None:
    """What the objective gets does not depend on how a number is written there."""
    sweep = load("""
        parameters:
          a: {values: [1, 32]}
          b: {values: [[64], '[64]']}
          c: {min: 1, max: 9}
          d: {min: 0.0, max: 9.0}
          e: {value: 3}
        baselines: [{a: 32.0, b: [64.0], c: 4.0, d: 4, e: 3.0}]
    """)
    [baseline] = sweep.baselines
    assert repr(baseline) == "{'a': 32, 'b': [64], 'c': 4, 'd': 4.0, 'e': 3}"


def test_without_a_contract_baselines_name_all(faults: Faults) -> None:
    [fault] = faults("parameters: {a: {min: 0, max: 3}}\nbaselines: [{}]")
    assert fault == "2: baselines[0]: a is active here and has no value (add a: ...)"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.5], [1, -0.1]),
        ("(0, inf)", [1e-9, 1e9], [0, -1]),
        ("(-inf, inf)", [-1e9, 0], [float("nan")]),
        ("[1, 1]", [1], [0, 2]),
    ],
)
def test_intervals(text: str, inside: list[float], outside: list[float]) -> None:
    assert all(number in Interval(text) for number in inside)
    assert not any(number in Interval(text) for number in outside)


def test_an_interval_that_is_none() -> None:
    with pytest.raises(ValueError, match="is written like"):
        assert 1 in Interval("0 to 1")


def test_null_is_a_value_only_where_it_means_off() -> None:
    assert Known("float", None, nullable=True).objection(None) == ""
    assert Known("float", 1.0).objection(None) == "must be a number in (-inf, inf), but got None"


@pytest.mark.parametrize("odd", ["[sgd]", "{a: 1}", "[[sgd]]"])
def test_a_list_or_a_mapping_where_a_word_belongs(faults: Faults, odd: str) -> None:
    """Also where defaults depend on it: it is a fault, whatever looks at it."""
    parameters = TOY.parameters | {
        "decay": Known("float", 0.0, default_where={"optimizer": {"sgd": 0.5}}),
        "optimizer": Known("choice", "adam", choices=("sgd", "adam")),
    }
    found = faults(
        f"{METRIC}parameters:\n  optimizer: {{values: [sgd, {odd}]}}\n  decay: {{values: [0.0, 0.5]}}\n"
        f"  momentum: {{min: 0.0, max: 0.9}}\nbaselines: [{{optimizer: {odd}}}]\n",
        contract=replace(TOY, parameters=parameters),
    )
    assert any("optimizer must be one of sgd, adam, but got" in fault for fault in found)


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
    assert "3: keep.files: the files that are kept are those in trial.folder, which functions have" in fault
    (fault,) = faults(text + "{files: some}\n")
    assert "keep.files: must be one of best, all, none, but got 'some'" in fault.replace(" or ", ", ")


def test_words_that_people_try_have_their_remedies(faults: Faults) -> None:
    parameters = {
        **TOY.parameters,
        "steps": Known("int", 1, also=("depth",)),
        "made": Known("choice", "default", choices=("default", "linear"), hints={"softmax": "there is one output"}),
    }
    found = faults(
        f"{METRIC}parameters:\n  depth: {{values: [1, 2.5]}}\n  made: {{values: [linear, softmax, linaer]}}\n",
        contract=replace(TOY, parameters=parameters),
    )
    said = "\n".join(found)
    assert "no hyperparameter 'depth' (it is called 'steps' here)" in said
    assert "steps must be a whole number in (-inf, inf), but got 2.5" in said  # from there on it goes by that name
    assert "made must be one of default, linear, but got 'softmax' (there is one output)" in said
    assert "but got 'linaer' (did you mean 'linear'?)" in said
