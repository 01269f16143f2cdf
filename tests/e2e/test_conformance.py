"""One list of odd reports, returns and surroundings, and the same outcome everywhere: functions and programs, in worker
processes, in the driver's own process and on Ray; Torch tasks where it makes sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from e2e.support import Place, assert_records_agree

pytestmark = pytest.mark.slow

# The same code is the objective function and, run as a script, the program: its `report` prints.
ODD = '''
import gc, json, locale, os, random, signal, subprocess, sys, warnings
from decimal import getcontext
import hpo

if __name__ != "__main__":  # a program is a new process for each case, and loads it where a case needs it
    import numpy as np


class Printing:
    def __init__(self, case):
        self.params = {"case": case}
        self.data = json.loads(os.environ["HPO_DATA_JSON"])
        seed = int(os.environ["HPO_SEED"])
        random.seed(seed)
        if case in ("numpy", "random", "draws"):
            global np
            import numpy as np
            np.random.seed(seed)

    def report(self, step, metrics=None, **named):
        print(json.dumps({"epoch": step, **(metrics or {}), **named}), flush=True)


def steps(trial, *rows):
    for step, metrics in rows:
        trial.report(step, metrics)


def scores(trial, *pairs):
    steps(trial, *((step, {"score": score}) for step, score in pairs))


def changing(change):
    def case(trial):
        change(trial)
        scores(trial, (1, 0.5))
    return case


def pops(trial):
    assert trial.data.pop("rows") == [1, 2, 3]
    trial.data["other"] = 1


def child(trial):
    code = "import signal; raise SystemExit(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    subprocess.run([sys.executable, "-c", code], check=True)


def arm(trial):
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    except ValueError:
        return  # of a thread: it can't leave one
    signal.alarm(2)


def draw(trial):
    trial.report(0, drawn=random.random() + np.random.random())


def fail(error):
    raise error


def prune_like_optuna(*words):
    import optuna

    raise optuna.TrialPruned(*words)


CASES = {
    "plain": lambda t: scores(t, (1, 0.1), (2, 0.2), (3, 0.3)),
    "from zero": lambda t: scores(t, (0, 0.1), (1, 0.2)),
    "gaps": lambda t: scores(t, (10, 0.1), (200, 0.2)),
    "a second line with another metric": lambda t: steps(
        t, *((n, m) for n in (1, 2, 3) for m in ({"score": n / 10}, {"lr": 1.0}))),
    "the metric second": lambda t: steps(t, *((n, m) for n in (1, 2, 3) for m in ({"lr": 1.0}, {"score": n / 10}))),
    "twice": lambda t: scores(t, (1, 0.1), (2, 0.2), (2, 0.7)),
    "twice at every step": lambda t: scores(t, (1, 0.9), (1, 0.1), (2, 0.8), (2, 0.3)),
    "folds": lambda t: scores(t, *((n, n / 10) for _ in range(3) for n in range(2))),
    "folds with two lines": lambda t: steps(
        t, *((n, m) for f in (1, 2) for n in (0, 1) for m in ({"loss": 1.0}, {"score": f / 10}))),
    "late": lambda t: steps(t, (1, {"loss": 1}), (2, {"loss": 1}), (1, {"score": 0.1}), (2, {"score": 0.2})),
    "backwards": lambda t: scores(t, (9, 0.9), (4, 0.4), (5, 0.5)),
    "nan": lambda t: scores(t, (1, 0.1), (2, float("nan"))),
    "inf": lambda t: scores(t, (1, float("-inf"))),
    "beyond any float": lambda t: scores(t, (1, 0.1), (2, -10**400)),
    "nan elsewhere": lambda t: steps(t, (1, {"score": 0.1, "loss": float("nan")}), (2, {"score": 0.2})),
    "extreme": lambda t: scores(t, (1, 1e308), (2, -5e-324)),
    "whole": lambda t: scores(t, (1, 3)),
    "nothing": lambda t: None,
    "another metric": lambda t: steps(t, (1, {"loss": 0.5})),
    "text": lambda t: scores(t, (1, "0.5")),
    "truth": lambda t: scores(t, (1, True)),
    "none": lambda t: scores(t, (1, None)),
    "a list": lambda t: scores(t, (1, [0.5])),
    "raises": lambda t: (scores(t, (1, 0.1)), fail(KeyError("gone"))),
    "exits": lambda t: (scores(t, (1, 0.1)), sys.exit(3)),
    "prunes": lambda t: (scores(t, (1, 0.1)), fail(hpo.Pruned("enough"))),
    "prunes like Optuna": lambda t: (scores(t, (1, 0.1)), prune_like_optuna()),
    "prunes after a step twice": lambda t: (scores(t, (1, 0.1), (1, 0.9)), fail(hpo.Pruned())),
    "prunes before any report": lambda t: prune_like_optuna("too large"),
    "prints": lambda t: (print("é" * 10_000, {1: 2}, "\\r{}%|###\\x1b[0m"), scores(t, (1, 0.1))),
    "environment": changing(lambda t: os.environ.update(HPO_LEAK="1", TZ="Asia/Tokyo")),
    "folder": changing(lambda t: os.chdir("/")),
    "umask": changing(lambda t: os.umask(0)),
    "locale": changing(lambda t: locale.setlocale(locale.LC_ALL, "C")),
    "warnings": changing(lambda t: warnings.simplefilter("error")),
    "numpy": changing(lambda t: np.seterr(all="raise")),
    "decimals": changing(lambda t: setattr(getcontext(), "prec", 2)),
    "collector": changing(lambda t: gc.disable()),
    "recursion": changing(lambda t: sys.setrecursionlimit(5000)),
    "random": changing(lambda t: (random.seed(1), np.random.seed(1))),
    "data": changing(pops),
    "timer": changing(arm),
    "children hear Ctrl-C": changing(child),
    "draws": changing(draw),
}


def assert_clean(trial):
    """What the trials before have changed is not there."""
    assert trial.data == {"rows": [1, 2, 3]}, trial.data
    assert "HPO_LEAK" not in os.environ and os.environ.get("TZ") != "Asia/Tokyo"
    assert os.path.exists("odd.py") or "hpo" in os.getcwd(), os.getcwd()
    assert os.getcwd() != "/"
    mask = os.umask(0o22)
    os.umask(mask)
    assert mask == 0o22, oct(mask)
    assert ("error", None, Warning, None, 0) not in warnings.filters
    assert "numpy" not in sys.modules or np.geterr()["divide"] != "raise"
    assert getcontext().prec == 28
    assert gc.isenabled()
    assert sys.getrecursionlimit() != 5000
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def objective(trial):
    assert_clean(trial)
    CASES[trial.params["case"]](trial)


if __name__ == "__main__":
    objective(Printing(sys.argv[1].partition("=")[2]))
'''

Outcome = tuple[str, float | None, list[int] | None]
FAILED: Outcome = ("FAIL", None, None)
CHANGED: Outcome = ("COMPLETE", 0.5, [1])

OUTCOMES: dict[str, Outcome] = {  # state, value, steps
    "plain": ("COMPLETE", 0.3, [1, 2, 3]),
    "from zero": ("COMPLETE", 0.2, [0, 1]),
    "gaps": ("COMPLETE", 0.2, [10, 200]),
    "a second line with another metric": ("COMPLETE", 0.3, [1, 2, 3]),
    "the metric second": ("COMPLETE", 0.3, [1, 2, 3]),
    "twice": ("COMPLETE", 0.7, [1, 2]),
    "twice at every step": ("COMPLETE", 0.3, [1, 2]),
    "folds": ("COMPLETE", 0.1, [0, 1, 2, 3, 4, 5]),
    "folds with two lines": ("COMPLETE", 0.2, [0, 1, 2, 3]),
    "late": ("COMPLETE", 0.2, [1, 2]),
    "backwards": ("COMPLETE", 0.5, [9, 10, 11]),
    "nan": ("PRUNED", 0.1, [1]),
    "inf": ("PRUNED", None, []),
    "beyond any float": ("PRUNED", 0.1, [1]),
    "nan elsewhere": ("COMPLETE", 0.2, [1, 2]),
    "extreme": ("COMPLETE", -5e-324, [1, 2]),
    "whole": ("COMPLETE", 3.0, [1]),
    "nothing": FAILED,
    "another metric": FAILED,
    "text": FAILED,
    "truth": FAILED,
    "none": FAILED,
    "a list": FAILED,
    "raises": FAILED,
    "exits": FAILED,
    "prunes": ("PRUNED", 0.1, [1]),
    "prunes like Optuna": ("PRUNED", 0.1, [1]),
    "prunes before any report": ("PRUNED", None, []),
    "prunes after a step twice": ("PRUNED", 0.9, [1]),
    "prints": ("COMPLETE", 0.1, [1]),
    "environment": CHANGED,
    "folder": CHANGED,
    "umask": CHANGED,
    "locale": CHANGED,
    "warnings": CHANGED,
    "numpy": CHANGED,
    "decimals": CHANGED,
    "collector": CHANGED,
    "recursion": CHANGED,
    "random": CHANGED,
    "data": CHANGED,
    "timer": CHANGED,
    "children hear Ctrl-C": CHANGED,
    "draws": ("COMPLETE", 0.5, [0, 1]),
}
ENGINES: dict[str, dict[str, Any]] = {
    "workers": {"workers": 1},  # each trial has all the others before it in its process
    "this process": {"workers": 0},
    "ray": {"type": "ray", "address": "local", "workers": 1},
}
KINDS: dict[str, dict[str, Any]] = {
    "function": {"objective": "odd.py:objective"},
    "program": {"objective": None, "program": "odd.py"},
}


def _order() -> list[str]:
    """Return the cases, with those that fail between others: a sweep that only fails is stopped."""
    bad = [case for case, outcome in OUTCOMES.items() if outcome == FAILED]
    good = [case for case in OUTCOMES if case not in bad]
    return [case for pair in zip(good, bad, strict=False) for case in pair] + good[len(bad) :]


def _sweep(place: Place, file: str, text: str, **keys: Any) -> str:
    (place.folder / file).write_text(text)
    path = place.write("none", method="grid", data={"rows": [1, 2, 3]}, **keys)
    done = place.run("sweep", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_records_agree(place)
    return done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_outcome_everywhere(tmp_path: Path, engine: str, kind: str) -> None:
    place, order = Place(tmp_path), _order()
    said = _sweep(
        place, "odd.py", ODD, **KINDS[kind],
        engine=ENGINES[engine],
        budget={"trials": 1000, "failures": 1000, "trial_seconds": 120},
        parameters={"case": {"values": order}},
        baselines=[{"case": case} for case in order],
    )  # fmt: skip
    trials = {trial.params["case"]: trial for trial in place.trials()}
    found = {
        case: FAILED if trial.state.name == "FAIL" else (
            trial.state.name, trial.value, trial.user_attrs["history"]["steps"],
        )
        for case, trial in trials.items()
    }  # fmt: skip
    wrong = {
        case: (found[case], trials[case].user_attrs.get("error")) for case in found if found[case] != OUTCOMES[case]
    }
    assert wrong == {}
    assert found.keys() == OUTCOMES.keys()
    assert "as folds do" in said and "the last value counts" in said
    assert trials["nan"].user_attrs["diverged"] == 2 and "diverged" not in trials["prunes"].user_attrs
    assert trials["a second line with another metric"].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}
    assert trials["twice"].intermediate_values == {1: 0.1, 2: 0.2}  # what a stopping rule has judged by
    doctor = place.run("doctor", "small")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert trials["folds"].intermediate_values == {step: step % 2 / 10 for step in range(6)}


TASK = """
import os, random, warnings
import numpy as np, optuna, torch
import hpo

class Odd(hpo.TorchTask):
    kind = "binary"

    def splits(self, data):
        assert data.pop("rows") == [1, 2, 3]
        x = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
        return hpo.split_arrays(x, (x[:, 0] > 0).astype(int), self.kind)

    def model(self, params, features, outputs):
        assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()
        assert not torch.are_deterministic_algorithms_enabled() and "HPO_LEAK" not in os.environ
        rate = params["learning_rate"]
        if rate == 0.1:
            raise ValueError("no such model")
        if rate == 0.2:
            raise hpo.Pruned("not worth it")
        if rate == 0.3:
            raise optuna.TrialPruned()
        made = hpo.mlp(params, features, outputs)
        if rate == 0.4:
            torch.use_deterministic_algorithms(True)
            os.environ["HPO_LEAK"] = "1"
        if rate == 0.5:
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            raise ValueError("changed and failed")
        return made

    def batch(self, x, params, generator):
        if generator is not None and params["learning_rate"] == 0.6:
            raise optuna.TrialPruned("in the midst of it")
        return x.float()

odd = Odd()
"""


@pytest.mark.parametrize("cohort", ["off", 4])
@pytest.mark.parametrize("engine", ["workers", "this process"])
def test_torch_tasks(tmp_path: Path, engine: str, cohort: Any) -> None:
    # One where Torch is not loaded before the sweep uses it.
    place = Place(tmp_path, torch=(engine, cohort) != ("this process", "off"))
    rates = {0.01: "COMPLETE", 0.1: "FAIL", 0.2: "PRUNED", 0.3: "PRUNED", 0.4: "COMPLETE", 0.5: "FAIL", 0.6: "PRUNED"}
    rates |= {0.02: "COMPLETE", 0.03: "COMPLETE"}
    others = {"optimizer": "sgd", "hidden_layers": [8]}
    if cohort != "off":
        del rates[0.5]  # the members of a stack are made together: what one changes then, the others find
        del rates[0.4]
    _sweep(
        place, "task.py", TASK, objective="task.py:odd",
        metric={"name": "val_accuracy"},
        budget={"epochs": 2, "failures": 100},
        engine=ENGINES[engine] | {"cohort": cohort},
        parameters={"learning_rate": {"values": list(rates)}, **{name: {"value": v} for name, v in others.items()}},
        baselines=[{"learning_rate": rate, **others} for rate in rates],
    )  # fmt: skip
    states = {
        trial.params["learning_rate"]: (trial.state.name, trial.user_attrs.get("error")) for trial in place.trials()
    }
    assert {rate: state for rate, (state, _) in states.items()} == rates, states
