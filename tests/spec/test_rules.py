"""Rules between sections, and between the file and its objective's contract."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grids import grid_of

from hpo.spec.contract import Known, KnownMetric

from .support import METRIC, Faults, Load, entry_faults
from .toy import TOY


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
