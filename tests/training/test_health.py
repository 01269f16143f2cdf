"""The health of training: it changes no number, a stack measures what each member does alone, and networks that are
known to be ill are found to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.diagnosis import diagnoses_of
from hpo.diagnosis.figures import is_health
from hpo.events import Diverged, Reported, TrialSpec
from hpo.training import health
from hpo.training.epochs import Trainee, train_epochs
from hpo.training.health import SPAN, Examination
from hpo.training.loop import Loops
from hpo.training.members import Member
from hpo.training.run import Run, start
from hpo.training.stack.cohort import Cohort
from hpo.training.vocabulary.schedules import SCHEDULES
from objectives.binary import Binary

from .tiny import CPU, alone, splits_of, task_of, together, trials_of

MIXED = [
    {"activation": "relu", "optimizer": "adam", "dropout": 0.3},
    {"activation": "tanh", "optimizer": "sgd", "grad_clip_norm": 0.01},
    {"activation": "sigmoid", "optimizer": "adamw"},
    {"activation": "relu", "optimizer": "rmsprop", "schedule": "one_cycle"},
    {"activation": "gelu", "optimizer": "adam", "schedule": "reduce_on_plateau", "plateau_patience": 0},
    {"activation": "linear", "optimizer": "lion", "schedule": "exponential"},
    {"activation": "prelu", "optimizer": "adam"},
]
SHAPE = {"hidden_layers": [6, 4], "batch_size": 8}


class Own(nn.Module):
    """A model that no stack has slots for, with an activation that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.act = nn.Linear(4, 5), nn.Linear(5, 1), nn.ReLU()
        self.inner = nn.Sequential(nn.Linear(5, 5), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.act(self.inner(self.act(self.first(x))))).squeeze(-1)
        return out


class Calls(nn.Module):
    """A model whose activations are functions; one is a gate that has no rows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.block, self.last = nn.Linear(4, 5), Block(), nn.Linear(5, 1)
        self.gate = nn.Parameter(torch.zeros(3, 1))
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.block(self.act(self.first(x))))
        out: Tensor = (self.last(x) * torch.sigmoid(self.gate).mean()).squeeze(-1)
        return out


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.layer(x).relu_() - 1e3 * torch.ones(5)).add(x.tanh())


def pictures(self: Any, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    from hpo.training.layers import SqueezeLast

    return nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(12, 1), SqueezeLast()
    )


class Begins(nn.Module):
    """A module that begins with the activation of the layer before it, and ends with a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(nn.functional.leaky_relu(x, 0.3))
        return out


def parts(self: Any, params: Mapping[str, Any], features: torch.Size, outputs: int) -> nn.Module:
    """Layers whose activations are in other modules, which a stack looks into one by one; one is frozen."""
    from hpo.training.layers import SqueezeLast

    frozen = nn.Linear(5, 5).requires_grad_(False)
    layers = nn.Linear(4, 5), Begins(), nn.Hardswish(inplace=True), frozen, nn.ReLU6(), nn.Linear(5, 1)
    return nn.Sequential(*layers, SqueezeLast())


def figures(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if is_health(name)}


def reports(events: Sequence[Any]) -> list[Mapping[str, float]]:
    return [event.metrics for event in events if isinstance(event, Reported)]


def check(task: Any, splits: Any, trials: Sequence[TrialSpec], replay: bool | None = None) -> None:
    """Training with health gives the same numbers as without, alone and as a stack, and both measure the same."""
    examined = [replace(trial, health=True) for trial in trials]
    plain, stacked = together(task, splits, trials, replay=replay), together(task, splits, examined, replay=replay)
    for trial in examined:
        events, weights = stacked[trial.number]
        before, weights_before = plain[trial.number]
        own, own_weights = alone(task, splits, trial)
        own_before, own_weights_before = alone(task, splits, replace(trial, health=False))
        for with_it, without in ((events, before), (own, own_before)):
            told = [{k: v for k, v in each.items() if not is_health(k)} for each in reports(with_it)]
            assert told == reports(without)
        assert all(torch.equal(weights[name], weights_before[name]) for name in weights)
        assert all(torch.equal(own_weights[name], own_weights_before[name]) for name in own_weights)
        assert len(reports(own)) == trial.epochs
        for ours, theirs in zip(reports(events), reports(own), strict=True):
            assert list(figures(ours)) == list(figures(theirs))
            assert figures(ours) == pytest.approx(figures(theirs), rel=1e-3, abs=1e-7)
            assert figures(theirs)


@pytest.mark.parametrize("replay", [None, True])
def test_it_changes_no_number_and_is_the_same_in_a_stack(replay: bool | None) -> None:
    trials = trials_of([{**SHAPE, **each} for each in MIXED], [3, 4, 3, 2, 3, 3, 3])
    check(task_of("binary"), splits_of("binary", 130, 60), trials, replay)


def test_modules_of_ones_own_and_pictures() -> None:
    own = task_of("binary", model=lambda self, params, features, outputs: Own())
    check(own, splits_of("binary", 130, 60), trials_of([{"batch_size": 8}, {"batch_size": 8, "optimizer": "sgd"}]))
    convolution = task_of("binary", model=pictures)
    splits = splits_of("binary", 130, 60, shape=(1, 3, 3))
    check(convolution, splits, trials_of([{"batch_size": 8}, {"batch_size": 8, "optimizer": "sgd"}]))


@pytest.mark.parametrize(
    ("model", "params", "layers"),
    [
        (parts, [{}, {"optimizer": "sgd"}], ["0", "1.layer", "3", "5"]),
        (None, [{"activation": name, "residual": True, "hidden_layers": [4, 6]} for name in ("relu", "tanh")], "012"),
    ],
    ids=["parts", "residual"],
)
def test_layers_and_their_activations_in_a_stack(model: Any, params: list[dict[str, Any]], layers: list[str]) -> None:
    task, splits = task_of("binary", **({} if model is None else {"model": model})), splits_of("binary", 66, 60)
    trials = trials_of([{**each, "batch_size": 16} for each in params])
    check(task, splits, trials)
    events, _ = alone(task, splits, replace(trials[0], health=True))
    found = [name for name in reports(events)[0] if name.endswith("/activation_norm")]
    assert found == [f"health/{layer}/activation_norm" for layer in layers]


def test_activations_that_are_called_as_functions() -> None:
    """They are named by where they are called; each is seen once, modules under their own names only."""
    calls = task_of("binary", model=lambda self, params, features, outputs: Calls())
    splits, trials = splits_of("binary", 130, 60), trials_of([{"batch_size": 8}, {"batch_size": 8, "optimizer": "sgd"}])
    check(calls, splits, trials)
    events, _ = alone(calls, splits, replace(trials[0], health=True))
    found = figures(reports(events)[0])
    units = [name.removeprefix("health/") for name in found if name.endswith(("/dead", "/saturated"))]
    assert sorted(units) == [
        "F.sigmoid/saturated", "act/dead", "block.F.relu/dead", "block.F.relu_2/dead", "block.F.tanh/saturated"
    ]  # fmt: skip
    assert found["health/block.F.relu_2/dead"] == 1.0 and found["health/block.F.relu/dead"] < 1.0


def test_where_functions_can_t_be_looked_at_is_said() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0)
            self.last = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(torch.relu(self.encoder(x.unsqueeze(1)).squeeze(1))).squeeze(-1)
            return out

    attends = task_of("binary", model=lambda self, params, features, outputs: Attends())
    splits, trial = splits_of("binary", 130, 60), replace(trials_of([{"batch_size": 8}])[0], health=True)
    (plain, _), (events, _) = (alone(attends, splits, replace(trial, health=health)) for health in (False, True))
    own = [{name: value for name, value in each.items() if not is_health(name)} for each in reports(events)]
    assert own == reports(plain)  # attention takes another way where it is watched
    assert "TransformerEncoderLayer" in events[-1].info["notes"]["health"] and "notes" not in plain[-1].info


class Odd(nn.Module):
    """A model with activations of things that have no units: scalars, and sparse and complex numbers."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.first, self.last, self.act = nn.Linear(4, 5), nn.Linear(5, 1), nn.Tanh()
        self.alpha = nn.Parameter(torch.zeros(() if sparse else (1,)))
        self.sparse = sparse

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x)) * torch.sigmoid(self.alpha.sum())
        x = x + self.act(torch.complex(x, x)).real + torch.tanh(torch.complex(x, x)).imag
        if self.sparse:  # neither these nor scalars as weights have a way through a stack
            x = x + torch.relu(x.detach().to_sparse()).to_dense()
        out: Tensor = self.last(x).squeeze(-1)
        return out


@pytest.mark.parametrize("sparse", [False, True])
def test_what_has_no_units_is_passed_over(sparse: bool, capfd: pytest.CaptureFixture[str]) -> None:
    odd = task_of("binary", model=lambda self, params, features, outputs: Odd(sparse))
    splits, trials = splits_of("binary", 33, 33), trials_of([{"batch_size": 33}, {"batch_size": 33}], [2, 2])
    if not sparse:
        check(odd, splits, trials)
    events, _ = alone(odd, splits, replace(trials[0], health=True))
    units = [name for name in figures(reports(events)[0]) if name.endswith(("/dead", "/saturated"))]
    assert units == ["health/F.tanh/saturated"] and "measured" not in capfd.readouterr().err


def test_a_look_that_fails_ends_no_training(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It is said once, and what else was found stays."""

    def shares(path: str, *given: Any) -> health.Found:
        if path == "act":
            raise ValueError(f"no shares of {given[0].sum()}")  # never the same
        return original(path, *given)

    original = health.shares
    monkeypatch.setattr(health, "shares", shares)
    monkeypatch.setattr(health, "_told", set())
    own = task_of("binary", model=lambda self, params, features, outputs: Own())
    splits, trials = splits_of("binary", 33, 33), trials_of([{"batch_size": 33}, {"batch_size": 33}], [2, 2])
    check(own, splits, trials)
    events, _ = alone(own, splits, replace(trials[0], health=True))
    assert [name for name in figures(reports(events)[0]) if "saturated" in name or "dead" in name] == [
        "health/inner.1/saturated"
    ]
    assert capfd.readouterr().err.count("health: act can't be measured: ValueError: no shares") == 1


class Squashes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.act = nn.Linear(5, 5), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(torch.relu(self.layer(x)))
        return out


class Compiling(nn.Module):
    """A model of which some part is compiled, in one of the ways of torch.compile."""

    def __init__(self, part: str, backend: Any) -> None:
        super().__init__()
        self.first, self.act, self.block, self.last = nn.Linear(4, 5), nn.ReLU(), Squashes(), nn.Linear(5, 1)
        self.squash: Any = torch.sigmoid
        if part == "wrapped":
            self.block = torch.compile(self.block, backend=backend, fullgraph=True)  # type: ignore[assignment]
        elif part == "in place":
            self.block.compile(backend=backend, fullgraph=True)
        elif part == "whole":
            self.compile(backend=backend, fullgraph=True)
        elif part == "forward":
            self.block.forward = torch.compile(self.block.forward, backend=backend, fullgraph=True)  # type: ignore[method-assign]
        elif part == "function":
            self.squash = torch.compile(lambda x: torch.sigmoid(x), backend=backend, fullgraph=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.squash(self.block(self.act(self.first(x))))).squeeze(-1)
        return out


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # Torch's own, of what it compiles
@pytest.mark.parametrize(
    ("part", "named", "measured"),
    [
        ("wrapped", "compiled OptimizedModule", ["act/dead"]),
        ("in place", "compiled Squashes", ["act/dead"]),
        ("whole", "compiled Compiling", []),
        ("forward", "compiled Squashes", ["act/dead"]),
        ("function", "compiled function squash", ["act/dead", "block.act/saturated"]),
    ],
)
def test_compiled_code_is_not_compiled_anew(part: str, named: str, measured: list[str]) -> None:
    """It is as often as without health; what is outside of it is measured in each epoch."""
    graphs = [0]

    def backend(graph: Any, _example: Any) -> Any:
        graphs[0] += 1
        return graph.forward

    compiling = task_of("binary", model=lambda self, params, features, outputs: Compiling(part, backend))
    splits, trial = splits_of("binary", 32, 32), trials_of([{"batch_size": 32}], [4])[0]
    counts, found = [], []
    for examined in (False, True):
        torch.compiler.reset()
        graphs[0] = 0
        events, _ = alone(compiling, splits, replace(trial, health=examined))
        counts.append(graphs[0])
        found.append(events)
    assert counts[0] == counts[1] > 0
    assert named in found[1][-1].info["notes"]["health"]
    for metrics in (figures(each) for each in reports(found[1]) if "health/first/gradient_norm" in each):
        units = [name.removeprefix("health/") for name in metrics if name.endswith(("/dead", "/saturated"))]
        assert units == measured


def test_a_model_that_is_compiled_as_a_whole_gets_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Compiling("whole", lambda graph, example: graph.forward)
    monkeypatch.setattr(model, "register_forward_pre_hook", lambda hook: pytest.fail("it got one"))
    with health.watched(model, health.looked_at(model)) as seen:
        model(torch.zeros(3, 4))
    assert seen.found == {}


def test_what_the_figures_are() -> None:
    clipped = {"optimizer": "sgd", "learning_rate": 0.1, "grad_clip_norm": 1e-3}
    run = examined_run({**SHAPE, "activation": "relu", **clipped})
    first = run.model.get_submodule("0")
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.bias[:3] = -1e3
    size = float(first.weight.detach().norm())
    trainee = Loops([run])
    trainee.train_epoch()
    trainee.validate()
    (found,) = trainee.examined()
    measured = [f"health/{at}/{figure}" for figure in ("gradient_norm", "update_ratio") for at in (0, 3, 6)]
    rows = ["health/1/dead", "health/0/activation_norm", "health/4/dead"]
    rows += [f"health/{at}/activation_norm" for at in (3, 6)]
    assert list(found) == [*measured, *rows, "health/model/zero_weights", "health/model/learning_rate"]
    assert found["health/1/dead"] == 0.5
    total = sum(value**2 for name, value in found.items() if name.endswith("gradient_norm")) ** 0.5
    assert total > 1e-2, "it is not the clipped gradients that are looked at"
    # A step of plain gradient descent along gradients clipped to 0.001 moves all weights together by 0.1 * 0.001.
    assert 0 < found["health/0/update_ratio"] * size <= 1e-4 * 1.01


def examined_run(params: Mapping[str, Any], number: int = 0, epochs: int = 3, health: bool = True) -> Run:
    trial = TrialSpec(number, params, number, epochs, health=health)
    return start(task_of("binary"), splits_of("binary", 130, 60), trial, CPU)


def test_saturation_is_of_the_units_mean_derivative() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.Tanh())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[100.0], [0.1]]))  # type: ignore[union-attr]
        model[0].bias.zero_()  # type: ignore[union-attr]
    examination = Examination(model)
    examination.begin(True)
    examination.before()
    examination.gradients()
    examination.after()
    with examination.watching():
        model(torch.linspace(-1, 1, 200).unsqueeze(1))  # the first unit is flat at both ends, and steep at hardly a row
    found = examination.figures()
    assert found["health/1/saturated"] == 0.5
    assert found["health/0/gradient_norm"] == 0.0


@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_the_learning_rate_is_that_of_the_last_step(schedule: str) -> None:
    """Of each epoch, measured or not; in a stack whose members have different numbers of steps, too."""
    shared = {"optimizer": "sgd", "learning_rate": 9.0, "batch_size": 33, "schedule": schedule}

    def begun(rows: int) -> Run:
        trial = TrialSpec(rows, {**shared, **SMALL.get(schedule, {})}, 1, 6, health=True)
        return start(task_of("binary"), splits_of("binary", rows, 60), trial, CPU)

    stacked = [curves_of(Cohort([begun(130), begun(99)], replay=replay))[0] for replay in (False, True)]
    used: list[float] = []
    for run in (begun(130), begun(99)):
        used.clear()
        run.optimizer.register_step_post_hook(lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"]))
        name = "health/model/learning_rate"
        found = curves_of(Loops([run]))[0][run.trial.number][name]
        assert found == used[run.steps_per_epoch - 1 :: run.steps_per_epoch] and len(found) == 6
        assert (len(set(found)) > 1) == (schedule != "constant")
        assert [each[run.trial.number][name] for each in stacked] == [found, found]


SMALL = {"step": {"step_size": 2}, "reduce_on_plateau": {"plateau_patience": 0}, "cosine_warm_restarts": {"t_0": 2}}
SMALL["linear_warmup"] = {"warmup_epochs": 3}


def test_few_steps_are_not_measured_in_each_epoch() -> None:
    """An epoch of 4 steps is measured now and then, the first and the last always; one without `health` never."""
    for trainee in (Loops, Cohort):
        params = {**SHAPE, "batch_size": 33}
        on, off = [examined_run(params, number, 11) for number in (1, 2)], examined_run(params, 3, 11, health=False)
        told = curves_of(trainee([*on, off]))[0]
        lengths = {number: len(curves.get("health/0/update_ratio", [])) for number, curves in told.items()}
        assert SPAN == 16
        assert lengths == {1: 4, 2: 4, 3: 0}  # after 1, 4, 8 and 11 epochs
        rates = {number: len(curves.get("health/model/learning_rate", [])) for number, curves in told.items()}
        assert rates == {1: 11, 2: 11, 3: 0}


def curves_of(trainee: Trainee) -> tuple[dict[int, dict[str, list[float]]], dict[int, int]]:
    """Train to the end; return each trial's curves, and when those diverged that did."""
    curves: dict[int, dict[str, list[float]]] = {}
    diverged: dict[int, int] = {}
    for events in train_epochs(trainee, clock=lambda: 0.0):
        for event in events:
            found: Mapping[str, float] = event.metrics if isinstance(event, Reported) else {}
            if isinstance(event, Diverged):
                diverged[event.number] = event.epoch
                found = event.info["health"]
            for name, value in found.items():
                curves.setdefault(event.number, {}).setdefault(name, []).append(value)
    return curves, diverged


DEEP, BASELINE = [24] * 6, [64, 32]
Ill = tuple[str, dict[str, Any], float, float | None]  # its diagnosis, how it trains, factor of its weights, its biases
COHORTS: dict[str, tuple[list[int], int, list[Ill]]] = {
    "deep": (
        DEEP,
        14,
        [
            ("vanishing gradient", {"activation": "sigmoid"}, 0.5, None),
            ("exploding gradient", {"activation": "linear"}, 8.0, None),
            ("exploding gradient", {"activation": "linear", "optimizer": "sgd", "learning_rate": 0.1}, 8.0, None),
            ("dead units", {"activation": "relu"}, 1.0, -30.0),
            ("", {"activation": "relu", "initializer": "he_normal"}, 1.0, None),
        ],
    ),
    "baseline": (
        BASELINE,
        20,
        [
            ("", {"activation": "relu", "learning_rate": 0.001}, 1.0, None),
            ("", {"activation": "relu", "learning_rate": 0.01, "optimizer": "sgd", "momentum": 0.9}, 1.0, None),
            ("dead units", {"activation": "relu"}, 1.0, -30.0),
            ("saturated", {"activation": "tanh", "learning_rate": 0.001}, 40.0, None),
            ("learning rate too low", {"activation": "relu", "learning_rate": 1e-6}, 1.0, None),
        ],
    ),
}


def ill_runs(hidden: list[int], epochs: int, ill: Sequence[Ill]) -> list[Run]:
    task, splits = Binary(), Binary().splits({"source": "synthetic"}).without_test()
    runs = []
    for number, (_, params, scale, bias) in enumerate(ill):
        trial = TrialSpec(number, {"hidden_layers": hidden, **params}, number, epochs, health=True)
        runs.append(start(task, splits, trial, CPU))
        with torch.no_grad():
            for module in runs[-1].model.modules():
                if isinstance(module, nn.Linear):
                    module.weight.mul_(scale)
                    if bias is not None:
                        module.bias.fill_(bias)
    return runs


@pytest.mark.parametrize("cohort", COHORTS)
@pytest.mark.parametrize("trainee", [Loops, Cohort])
def test_ill_networks_are_diagnosed_also_in_one_mixed_cohort(trainee: type[Loops] | type[Cohort], cohort: str) -> None:
    """Six layers: sigmoids with small weights, a linear network with large ones, ReLUs with a large negative bias, and
    one as it should be. Two layers: what ships as baselines, among ill ones."""
    curves, diverged = curves_of(trainee(ill_runs(*COHORTS[cohort])))
    for number, (name, _, _, _) in enumerate(COHORTS[cohort][2]):
        end, complete = diverged.get(number), number not in diverged
        found = diagnoses_of(curves[number], metric="val_accuracy", goal="maximize", diverged=end, complete=complete)
        names = [each.name for each in found]
        if name:
            assert names[0] == name
            assert ("diverged" in names) == (number in diverged)
        else:
            assert names == []
    assert set(diverged) == ({2} if cohort == "deep" else set())


def test_a_trial_of_several_members_reports_their_mean() -> None:
    task, splits = task_of("binary"), splits_of("binary", 130, 60)
    trial = TrialSpec(5, {**SHAPE, "activation": "relu"}, 5, 2, health=True)
    runs = [start(task, splits, trial, CPU, member=Member(index, 2)) for index in range(2)]
    singles = [curves_of(Loops([start(task, splits, replace(trial, seed=run.seed), CPU)]))[0][5] for run in runs]
    curves = curves_of(Cohort(runs))[0][5]
    name = "health/0/gradient_norm"
    means = [(first + second) / 2 for first, second in zip(*(each[name] for each in singles), strict=True)]
    assert curves[name] == pytest.approx(means, rel=1e-4)
    assert not [each for each in curves if is_health(each.removesuffix("_sd")) and each.endswith("_sd")]
    assert not [each for each in curves if each.startswith(f"{name}.")]


def test_weights_that_were_0_have_no_ratio() -> None:
    """Not one of 3e38, in the plain loop or in a stack."""
    params = {"hidden_layers": [], "initializer": "xavier_uniform", "init_scale": 0.0, "batch_size": 8}
    trials = [replace(trial, health=True) for trial in trials_of([params, params])]
    task, splits = task_of("binary"), splits_of("binary")
    for events, _ in (*together(task, splits, trials).values(), alone(task, splits, trials[0])):
        first, second = (event.metrics for event in events if isinstance(event, Reported))
        assert not any(name.endswith("update_ratio") for name in first)
        assert all(value < 10 for name, value in second.items() if name.endswith("update_ratio"))
