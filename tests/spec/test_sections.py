"""Every section but `parameters`: what is read, the defaults, what is refused; and how a Sweep sums it up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hpo.spec.grammar import Confirm, LocalEngineKeys
from hpo.spec.sweep import Sweep
from hpo.stopping.asha import AshaKeys
from hpo.stopping.hyperband import HyperbandKeys
from hpo.stopping.none import NoStopKeys
from hpo.stopping.patience import PatienceKeys
from hpo.stopping.percentile import MedianKeys, PercentileKeys
from hpo.stopping.several import SeveralKeys

from .toy import TOY

Load = Callable[..., Sweep]
Faults = Callable[..., list[str]]


def test_defaults(load: Load) -> None:
    sweep = load("parameters: {x: {values: [1, 2]}}")
    assert (sweep.name, sweep.method, sweep.seed, sweep.trial_seed) == ("sweep", "tpe", 0, None)
    assert sweep.early_terminate == NoStopKeys(type="none")
    assert (sweep.budget.trials, sweep.budget.epochs, sweep.budget.seconds, sweep.budget.failures) == (
        100,
        None,
        None,
        50,
    )
    assert sweep.engine == LocalEngineKeys()
    assert (sweep.confirm, sweep.data, sweep.baselines, sweep.description) == (None, {}, (), "")
    assert sweep.notes == (
        "no budget in the file: 100 trials (set budget.trials)",
        "the space has 2 configurations, fewer than budget.trials: the sweep ends with the last",
    )


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("name: My study 1.0_a+b-c", "name", "My study 1.0_a+b-c"),
        ("description: what for", "description", "what for"),
        ("seed: 7", "seed", 7),
        ("trial_seed: 7", "trial_seed", 7),
        ("data: {csv: a.csv, deep: {er: [1]}}", "data", {"csv": "a.csv", "deep": {"er": [1]}}),
        ("data: {since: 2024-01-01}", "data", {"since": "2024-01-01"}),
        ("method: bayes", "method", "tpe"),
        ("method: tpe", "method", "tpe"),
        ("method: random", "method", "random"),
        ("method: gp", "method", "gp"),
        ("method: nsga2", "method", "nsga2"),
        ("method: qmc", "method", "qmc"),
        ("early_terminate: null", "early_terminate", NoStopKeys(type="none")),
        ("early_terminate: none", "early_terminate", NoStopKeys(type="none")),
        ("early_terminate: {type: none}", "early_terminate", NoStopKeys(type="none")),
        ("early_terminate: asha", "early_terminate", AshaKeys(type="asha", min_iter=1, eta=3)),
        (
            "early_terminate: {type: asha, min_iter: 2, eta: 4}",
            "early_terminate",
            AshaKeys(type="asha", min_iter=2, eta=4),
        ),
        ("early_terminate: hyperband", "early_terminate", HyperbandKeys(type="hyperband")),
        (
            "early_terminate: {type: hyperband, s: 2, eta: 3, max_iter: 27}",
            "early_terminate",
            HyperbandKeys(type="hyperband", s=2, eta=3, max_iter=27),
        ),
        ("early_terminate: median", "early_terminate", MedianKeys(type="median", n_startup_trials=5)),
        (
            "early_terminate: {type: median, n_startup_trials: 1, n_warmup_steps: 2, interval_steps: 3}",
            "early_terminate",
            MedianKeys(type="median", n_startup_trials=1, n_warmup_steps=2, interval_steps=3),
        ),
        ("early_terminate: percentile", "early_terminate", PercentileKeys(type="percentile", percentile=25.0)),
        ("early_terminate: patience", "early_terminate", PatienceKeys(type="patience", patience=5, min_delta=0.0)),
        ("early_terminate: [asha]", "early_terminate", AshaKeys(type="asha")),
        (
            "early_terminate: [asha, {type: patience, patience: 3}]",
            "early_terminate",
            SeveralKeys(
                type="asha and patience", rules=(AshaKeys(type="asha"), PatienceKeys(type="patience", patience=3))
            ),
        ),
        ("engine: {}", "engine", LocalEngineKeys()),
        ("engine: {workers: 3}", "engine", LocalEngineKeys(workers=3)),
        ("engine: {type: local, workers: auto, cohort: auto}", "engine", LocalEngineKeys()),
        ("engine: {workers: 0, cohort: off}", "engine", LocalEngineKeys(workers=0, cohort="off")),
        ("engine: {cohort: 1}", "engine", LocalEngineKeys(cohort=1)),
        ("confirm: {}", "confirm", Confirm(top=3, seeds=5)),
        ("confirm: {top: 1, seeds: 2}", "confirm", Confirm(top=1, seeds=2)),
        ("confirm: null", "confirm", None),
    ],
)
def test_sections(load: Load, text: str, attribute: str, expected: Any) -> None:
    assert getattr(load(text), attribute) == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("bugdet: {trials: 3}", "bugdet: unknown key 'bugdet' (did you mean 'budget'?)"),
        ("x-anchors: 3", "x-anchors: unknown key 'x-anchors' (one of: baselines, budget,"),
        (
            "name: a/b",
            "name: must be letters, digits, spaces and . _ + - only, and begin with a letter or digit, but got",
        ),
        ("name: ../up", "name: must be letters"),
        ('name: "a\\n"', "name: must be letters"),
        ("name: ''", "name: must be letters"),
        ("name: 2024", "name: must be text, but got 2024"),
        (f"name: {'a' * 201}", "name: "),
        ("seed: 1.5", "seed: must be a whole number, but got 1.5"),
        ("seed: -1", "seed: must be at least 0, but got -1"),
        ("seed: true", "seed: must be a whole number, but got true"),
        ("seed: '5'", "seed: must be a whole number, but got '5'"),
        (
            "trial_seed: 9999999999999999999",
            "trial_seed: must be less than 9223372036854775808, but got 99999999999999999",
        ),
        ("data: [1]", "data: must be a mapping, but got [1]"),
        (
            "method: bayse",
            "method: must be one of random, grid, tpe, gp, cmaes, nsga2, qmc, bayes, but got 'bayse' (did you",
        ),
        ("method: 3", "method: must be one of"),
        ("method: cmaes", "method: cmaes searches numbers, but every parameter is a choice (use method: tpe)"),
        ("early_terminate: ahsa", "early_terminate.type: unknown type 'ahsa' (did you mean 'asha'?)"),
        ("early_terminate: {type: medain}", "early_terminate.type: unknown type 'medain' (did you mean 'median'?)"),
        ("early_terminate: {min_iter: 2}", "early_terminate: the key 'type' is missing (say which, e.g. {type: asha})"),
        ("early_terminate: []", "early_terminate: must be a list of at least 1, but got []"),
        ("early_terminate: [ahsa]", "early_terminate[0].type: unknown type 'ahsa' (did you mean 'asha'?)"),
        ("early_terminate: [asha, 3]", "early_terminate[1]: must be a mapping"),
        ("early_terminate: [asha, {min_iter: 2}]", "early_terminate[1]: the key 'type' is missing (say which, e.g."),
        ("early_terminate: [patience, {type: asha, eta: 1}]", "early_terminate[1].eta: must be at least 2, but got 1"),
        (
            "early_terminate: [asha, patience, median]",
            "early_terminate: at most one rule may compare trials, but asha and median do",
        ),
        (
            "early_terminate: [patience, {type: patience, patience: 9}]",
            "early_terminate: at most one rule may look at a trial by itself, but patience and patience do",
        ),
        ("early_terminate: [none, patience]", "early_terminate: 'none' stops no trial, so it stands alone"),
        (
            "early_terminate: {type: asha, mn_iter: 2}",
            "early_terminate.mn_iter: unknown key 'mn_iter' (did you mean 'min_it",
        ),
        (
            "early_terminate: {type: asha, patience: 2}",
            "early_terminate.patience: unknown key 'patience' (one of: eta, min",
        ),
        ("early_terminate: {type: asha, eta: 1}", "early_terminate.eta: must be at least 2, but got 1"),
        ("early_terminate: {type: asha, min_iter: 0}", "early_terminate.min_iter: must be greater than 0, but got 0"),
        (
            "early_terminate: {type: percentile, percentile: 101}",
            "early_terminate.percentile: must be at most 100, but got",
        ),
        ("budget: 5", "budget: must be a mapping, but got 5"),
        ("budget: {trials: 0}", "budget.trials: must be greater than 0, but got 0"),
        ("budget: {trials: 1e2}", "budget.trials: must be a whole number, but got 100"),
        ("budget: {seconds: -1}", "budget.seconds: must be greater than 0, but got -1"),
        ("budget: {trails: 3}", "budget.trails: unknown key 'trails' (did you mean 'trials'?)"),
        ("run_cap: many", "run_cap: must be a whole number, but got 'many'"),
        ("{budget: {trials: 3}, run_cap: 4}", "run_cap: run_cap is 4, but budget.trials is 3 (keep one)"),
        (
            "engine: {type: ray, address: 'head'}",
            "engine.address: must be auto, local or host:port (the port of `ray start --head`), but got 'head'",
        ),
        ("engine: {type: ray, workers: 0}", "engine.workers: must be auto or greater than 0, but got 0"),
        (
            "engine: {type: ray, gpus_per_worker: 1.5}",
            "engine.gpus_per_worker: must be a whole number where it is above 1, but got 1.5",
        ),
        ("engine: {type: loacl}", "engine.type: unknown type 'loacl' (did you mean 'local'?)"),
        ("engine: {wrkers: 3}", "engine.wrkers: unknown key 'wrkers' (did you mean 'workers'?)"),
        ("engine: {workers: -1}", "engine.workers: must be auto or at least 0, but got -1"),
        ("engine: {workers: many}", "engine.workers: must be auto or a whole number, but got 'many'"),
        (
            "engine: {cohort: 4}",
            "engine.cohort: a cohort of 4 needs a Torch task: functions and programs train one by one (cohort: auto)",
        ),
        ("confirm: {seeds: 1}", "confirm.seeds: must be at least 2, but got 1"),
        ("confirm: 5", "confirm: must be a mapping, but got 5"),
        ("baselines: {x: 1}", "baselines: must be a list, but got {'x': 1}"),
        ("{objective: a, program: b.py}", "a sweep names an 'objective' or a 'program', but both are here"),
        ("{objective: a, command: [b]}", "command: 'command' says how a 'program' is run, but there is no program"),
        ("objective: 3", "objective: must be text, but got 3"),
    ],
)
def test_refused(faults: Faults, text: str, fault: str) -> None:
    if text.startswith("{"):
        text = text[1:-1].replace(", run", "\nrun").replace(", program", "\nprogram").replace(", command", "\ncommand")
    [found] = faults(text)
    number, _, rest = found.partition(": ")
    assert rest.startswith(fault)
    assert int(number) <= 2


def test_required_keys(load: Load, tmp_path: Any) -> None:
    from hpo.spec.faults import SpecError
    from hpo.spec.load import load_sweep
    from hpo.spec.named import Inspection

    path = tmp_path / "a.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(SpecError) as caught:
        load_sweep(path, lambda named: Inspection())
    assert [fault.message for fault in caught.value.faults] == [
        "the key 'metric' is missing",
        "a sweep names an 'objective' or a 'program', but neither is here",
        "the key 'parameters' is missing",
    ]


def test_all_faults_at_once_by_line(faults: Faults) -> None:
    found = faults(
        """
        metric: {name: val_acuracy}
        methd: tpe
        parameters:
          optimizer: {values: [sgd, adagrad]}
          momentum: {min: 0.9, max: 0.0}
          lerning_rate: {value: 0.1}
          batch_size: {values: [0]}
        forbid: [{optimizer: adam}]
        budget: {trials: few}
        engine: {type: spark}
        """,
        "seed=x",
        contract=TOY,
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["1", "metric.name"],
        ["2", "methd"],
        ["5", "parameters.momentum.min"],
        ["6", "parameters.lerning_rate"],
        ["7", "parameters.batch_size.values[0]"],
        ["9", "budget.trials"],
        ["10", "engine.type"],
        ["-o seed=x", "seed"],
    ]


def test_budgets(load: Load) -> None:
    assert load("run_cap: 7").budget.trials == 7
    assert load("run_cap: 7\nbudget: {trials: 7, seconds: 2.5, failures: 0}").budget.failures == 0
    assert load("budget: {trials: 4}").budget.failures == 5
    assert load("budget: {trials: 40}").budget.failures == 20


def test_a_grid_is_its_own_budget(load: Load, faults: Faults) -> None:
    grid = "method: grid\nparameters: {a: {values: [1, 2, 3]}, b: {min: 0, max: 1}}\n"
    assert load(grid).budget.trials == 6 and load(grid).notes == ()
    assert load(grid, "budget.trials=50").budget.trials == 6
    less = load(grid, "budget.trials=4")
    assert less.budget.trials == 4
    assert less.notes == ("the grid has 6 configurations; the budget runs the first 4 of them",)
    assert load(grid, "forbid=[{a: 1}]").budget.trials == 4
    [fault] = faults(grid, "parameters.b.max=1.5")
    assert fault == (
        "1: method: a grid needs countable values, but b is a range of real numbers "
        "(give b 'values' or a step 'q', or use method: qmc)"
    )


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("metric: {{name: score, target: {}}}", "metric.target"),
        ("early_terminate: {{type: percentile, percentile: {}}}", "early_terminate.percentile"),
        ("early_terminate: {{type: patience, min_delta: {}}}", "early_terminate.min_delta"),
        ("budget: {{seconds: {}}}", "budget.seconds"),
    ],
)
def test_numbers_are_finite(faults: Faults, section: str, path: str, number: str) -> None:
    [fault] = faults(section.format(number))
    assert fault.startswith(f"1: {path}: must be finite, but got ")


@pytest.mark.parametrize("name", ["a//b", "/a", "..", "a/"])
def test_the_metric_has_a_name_that_can_be_recorded(faults: Faults, name: str) -> None:
    [fault] = faults(f"metric: {{name: {name}}}")
    assert fault.startswith("1: metric.name: a name must not begin or end with '/'") and repr(name) in fault


METRIC = "metric: {name: val_accuracy}\n"


def test_epochs(load: Load, faults: Faults) -> None:
    batches = METRIC + "parameters: {batch_size: {values: [1, 2]}}\n"
    assert load(batches, contract=TOY).max_epochs() == 20  # the contract's
    assert load(batches, "budget.epochs=7", contract=TOY).max_epochs() == 7
    assert load("seed: 1").max_epochs() is None  # only the function knows
    searched = METRIC + "parameters: {epochs: {values: [3, 9]}}\n"
    sweep = load(searched, contract=TOY)
    assert (sweep.max_epochs(), sweep.epochs_of({"epochs": 3}), sweep.budget.epochs) == (9, 3, None)
    assert load(searched, "budget.epochs=9", contract=TOY).max_epochs() == 9
    [fault] = faults(searched, "budget.epochs=5", contract=TOY)
    assert "budget.epochs >= epochs must hold, but got 5 and 9 (keep one)" in fault


@pytest.mark.parametrize(
    ("rule", "epochs", "expected"),
    [
        (AshaKeys(type="asha", min_iter=2, eta=3), 20, [2, 6, 18]),
        (AshaKeys(type="asha", min_iter=1, eta=3), 9, [1, 3]),
        (AshaKeys(type="asha", min_iter=5, eta=2), 5, []),
        (AshaKeys(type="asha", min_iter=5, eta=2), 6, [5]),
        (HyperbandKeys(type="hyperband"), 10, [1, 3, 9]),
        (HyperbandKeys(type="hyperband", max_iter=27, s=2, eta=3), 27, [3, 9]),
        (HyperbandKeys(type="hyperband", max_iter=27, s=5, eta=3), 27, [1, 3, 9]),
        (HyperbandKeys(type="hyperband", min_iter=4, max_iter=27, s=2, eta=3), 27, [4, 12]),
    ],
)
def test_rungs(rule: AshaKeys | HyperbandKeys, epochs: int, expected: list[int]) -> None:
    assert rule.rungs(epochs) == expected
    assert not expected or rule.first_rung == expected[0]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{type: asha, min_iter: 5}", True),
        ("{type: asha, min_iter: 4}", False),
        ("{type: hyperband, max_iter: 27, s: 1}", True),
        ("{type: hyperband, max_iter: 27, s: 2}", False),
        ("{type: patience, patience: 4}", True),  # at report 5 a trial is complete
        ("{type: patience, patience: 3}", False),
    ],
)
def test_a_rule_that_never_stops_a_trial_is_noted(load: Load, rule: str, told: bool) -> None:
    text = (
        METRIC + f"early_terminate: {rule}\nbudget: {{trials: 3, epochs: 5}}\nparameters: {{batch_size: {{value: 1}}}}"
    )
    assert any("never stops a trial" in note for note in load(text, contract=TOY).notes) is told
    assert not any("never stops a trial" in note for note in load(text).notes)  # a function counts steps as it likes


@pytest.mark.parametrize(
    ("keys", "told"),
    [("s: 2", True), ("s: 2, max_iter: 27, min_iter: 1", True), ("s: 2, max_iter: 27", False), ("max_iter: 27", False)],
)
def test_s_of_hyperband_goes_with_max_iter(load: Load, keys: str, told: bool) -> None:
    notes = load(f"early_terminate: {{type: hyperband, {keys}}}").notes
    assert ("early_terminate.s has an effect with max_iter and without min_iter only" in notes) is told


FULL = """
    description: all of it
    metric: {name: score, goal: maximize, target: 0.9}
    data: {csv: a.csv}
    early_terminate: asha
    budget: {trials: 9, epochs: 3}
    parameters:
      a: {values: [x, [1, 2], null]}
      b: {min: 1, max: 3, when: {a: [x]}}
      c: {distribution: log_uniform_values, min: 1e-5, max: 0.1}
    forbid: [{a: x, c: {">": 0.01}}]
    baselines: [{a: x, b: 1, c: 0.001}]
    confirm: {}
"""


def test_config_is_plain_json(load: Load) -> None:
    sweep = load(FULL)
    config = sweep.config()
    assert json.loads(json.dumps(config)) == config
    assert config["parameters"]["b"] == {
        "type": "range",
        "low": 1,
        "high": 3,
        "log": False,
        "integer": True,
        "when": {"a": ["x"]},
    }
    assert config["baselines"] == [{"a": "x", "b": 1, "c": 0.001}]
    assert config["budget"] == {"trials": 9, "epochs": 3, "failures": 5}


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("budget.trials=50", True),
        ("budget.seconds=50", True),
        ("method=random", True),
        ("early_terminate=none", True),
        ("seed=9", True),
        ("engine.workers=3", True),
        ("baselines=[]", True),
        ("name=other", True),
        ("objective=other", False),
        ("data.csv=b.csv", False),
        ("metric.name=other", False),
        ("metric.goal=minimize", False),
        ("budget.epochs=4", False),
        ("parameters.b.max=4", False),
        ("parameters.b.when={a: [null]}", False),
        ("parameters.d={value: 1}", False),
        ("forbid=[]", False),
    ],
)
def test_identity(load: Load, override: str, same: bool) -> None:
    """Two runs are of one study if their trials can be compared."""
    text = FULL.replace("baselines: [{a: x, b: 1, c: 0.001}]", "baselines: []")
    assert (load(text).identity() == load(text, override).identity()) is same
