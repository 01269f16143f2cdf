"""The plots of a result: the right trials, names and direction, and nothing left behind."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import optuna
import pytest
from review.recorded import Trial, recorded, sweep_of

import hpo
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.home import Home, open_storage
from hpo.ledger.study.records import Outcome
from hpo.scripting import plots

SPACE = {
    "rate": {"min": 0.001, "max": 1.0, "distribution": "log_uniform_values"},
    "layers": {"values": [[8], [8, 8], "none"]},
    "depth": {"min": 1, "max": 4},
    "fixed": {"value": 1},
}
PRUNED = Trial({"rate": 0.5, "layers": [8], "depth": 1, "fixed": 1}, Outcome("pruned"), {"score": [0.25, 0.125]})


def complete(value: float, rate: float, layers: Any, depth: int) -> Trial:
    params = {"rate": rate, "layers": layers, "depth": depth, "fixed": 1}
    return Trial(params, Outcome("complete", value=value), {"score": [value / 2, value], "time": [3.0, 2.0]})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("plots")
    trials = [
        complete(0.5, 0.01, [8], 1), PRUNED, complete(0.875, 0.1, [8, 8], 2),
        Trial(PRUNED.params, Outcome("failed", error="ValueError: no")), complete(0.75, 0.2, "none", 3),
        complete(0.625, 0.3, [8], 4), Trial(PRUNED.params, series={"score": [0.25]}),
    ]  # fmt: skip
    return recorded(Home(folder / "home"), sweep_of(folder, SPACE), trials)


@pytest.fixture
def result(home: Home) -> hpo.Result:
    return hpo.load("small", home.path)


def words(figure: Any) -> str:
    """Return all texts of a figure of Matplotlib's."""
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


KINDS: dict[str, Callable[..., Any]] = {
    "history": hpo.Result.plot_history,
    "curves": hpo.Result.plot_curves,
    "importances": hpo.Result.plot_importances,
    "parallel_coordinates": hpo.Result.plot_parallel_coordinates,
    "slices": hpo.Result.plot_slices,
    "contour": hpo.Result.plot_contour,
    "timeline": hpo.Result.plot_timeline,
}
NAMED = [kind for kind in KINDS if kind != "timeline"]  # which has no metric


@pytest.mark.parametrize("kind", KINDS)
def test_by_matplotlib(result: hpo.Result, kind: str, tmp_path: Path) -> None:
    style, levels = dict(mpl.rcParams), optuna.logging.get_verbosity()
    with warnings.catch_warnings(record=True) as said:
        figure = KINDS[kind](result, backend="matplotlib")
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert ("score" in words(figure)) == (kind in NAMED)
    assert not plt.get_fignums() and dict(mpl.rcParams) == style and optuna.logging.get_verbosity() == levels
    assert [str(one.message) for one in said if "xperimental" in str(one.message)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_by_plotly(result: hpo.Result, kind: str) -> None:
    pytest.importorskip("plotly")
    figure = KINDS[kind](result)
    assert type(figure).__module__.startswith("plotly.")
    text = figure.to_json()
    assert ("score" in text) == (kind in NAMED) and "user_attrs" not in text and "Objective Value" not in text


def test_the_history_has_complete_trials_under_their_numbers_and_goes_up(result: hpo.Result) -> None:
    axes = result.plot_history(backend="matplotlib").axes[0]
    points = {tuple(point) for path in axes.collections for point in path.get_offsets().tolist()}
    assert points == {(0.0, 0.5), (2.0, 0.875), (4.0, 0.75), (5.0, 0.625)}
    (best,) = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert list(best.get_ydata())[-1] == 0.875


def test_the_history_has_stopped_trials_that_may_be_the_best(tmp_path: Path) -> None:
    """And is drawn where all were stopped. One that diverged has no value, and is not drawn."""
    values = [0.25, 0.75, 0.5]
    stopped = [Trial(PRUNED.params, Outcome("pruned", value=value), {"score": [9.0, value]}) for value in values]
    gone = Trial(PRUNED.params, Outcome("pruned", diverged=2), {"score": [8.0]})
    recorded(Home(tmp_path / "home"), sweep_of(tmp_path, SPACE), [gone, *stopped])
    (axes,) = hpo.load("small", tmp_path / "home").plot_history(backend="matplotlib").axes
    points = axes.collections[0].get_offsets().tolist()
    assert points == [[number, value] for number, value in enumerate(values, start=1)]
    assert list(axes.lines[0].get_ydata())[1:] == [0.25, 0.75, 0.75]


def test_the_direction_is_the_sweeps(tmp_path: Path) -> None:
    trials = [complete(0.5, 0.01, [8], 1), complete(0.25, 0.1, [8], 2), complete(0.75, 0.2, [8], 3)]
    home = recorded(Home(tmp_path / "home"), sweep_of(tmp_path, SPACE, goal="minimize"), trials)
    axes = hpo.load("small", home.path).plot_history(backend="matplotlib").axes[0]
    (best,) = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert list(best.get_ydata()) == [0.5, 0.25, 0.25]


def test_curves_of_any_metric_and_of_pruned_and_running_trials(result: hpo.Result) -> None:
    axes = result.plot_curves(backend="matplotlib").axes[0]
    assert sorted(list(line.get_ydata()) for line in axes.lines) == [
        [0.25], [0.25, 0.125], [0.25, 0.5], [0.3125, 0.625], [0.375, 0.75], [0.4375, 0.875],
    ]  # fmt: skip
    times = result.plot_curves("time", backend="matplotlib").axes[0]
    assert [list(line.get_ydata()) for line in times.lines] == [[3.0, 2.0]] * 4
    assert times.get_ylabel() == times.get_title() == "time"


def test_a_contour_has_the_two_most_important_parameters(result: hpo.Result) -> None:
    assert len(result.plot_contour(backend="matplotlib").axes) == 2  # the plot, and its colours
    text = words(result.plot_contour(["rate", "depth"], backend="matplotlib"))
    assert "rate" in text and "depth" in text and "layers" not in text


def test_more_than_two_parameters_are_drawn_in_pairs(result: hpo.Result, tmp_path: Path) -> None:
    figure = result.plot_contour(["rate", "depth", "layers"], backend="matplotlib")
    figure.savefig(tmp_path / "plot.png")
    assert len(figure.axes) == 10  # 3 x 3, and the colours


def test_withdrawn_trials_keep_their_numbers_and_are_not_drawn(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, SPACE)
    home = recorded(Home(tmp_path / "home"), sweep, [complete(0.5, 0.01, [8], 1), PRUNED, complete(0.75, 0.1, [8], 2)])
    book = StudyBook(sweep, home)
    surplus = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL, user_attrs={"surplus": "spent"})
    book.add(surplus)
    study = optuna.load_study(study_name="small", storage=open_storage(home))
    study.add_trial(study.trials[0])
    result = hpo.load("small", home.path)
    axes = result.plot_history(backend="matplotlib").axes[0]
    assert {point[0] for path in axes.collections for point in path.get_offsets().tolist()} == {0.0, 2.0, 4.0}
    figure = result.plot_timeline(backend="matplotlib")
    assert sum(bar.get_width() > 0 for bar in figure.axes[0].patches) == 4


def test_what_can_not_be_drawn(tmp_path: Path, result: hpo.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    one = recorded(Home(tmp_path / "one"), sweep_of(tmp_path, SPACE), [complete(0.5, 0.01, [8], 1)])
    none = recorded(Home(tmp_path / "none"), sweep_of(tmp_path, SPACE), [])
    single, empty = hpo.load("small", one.path), hpo.load("small", none.path)
    for plot, said in (
        (empty.plot_history, "the study 'small' has no trial with a value yet"),
        (empty.plot_slices, "needs a complete trial"),
        (empty.plot_curves, "no trial of study 'small' has reported 'score' at any step"),
        (empty.plot_timeline, "has no trial yet"),
        (single.plot_importances, "needs 2 complete trials, but the study 'small' has 1"),
        (single.plot_contour, "needs 2 complete trials"),
        (lambda: result.plot_curves("tim"), "reported 'tim' (did you mean 'time'?)"),
        (lambda: result.plot_slices(["rat"]), "no searched parameter 'rat' (did you mean 'rate'?)"),
        (lambda: result.plot_slices(["fixed"]), "its value is the same in all trials"),
        (lambda: result.plot_slices("rate"), "write ['rate']"),
        (lambda: result.plot_slices([5]), "params is a list of names, but got 5 in it"),  # type: ignore[list-item]
        (lambda: result.plot_contour(["rate"]), "a contour has two parameters, but got rate"),
        (lambda: result.plot_history(backend="bokeh"), "backend must be one of plotly, matplotlib"),  # type: ignore[arg-type]
    ):
        with pytest.raises(hpo.UserError) as caught:
            plot()
        assert said in str(caught.value)
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(hpo.UserError, match=r"plots need plotly or matplotlib.*pip install 'hpo-sweep\[plots\]'"):
        result.plot_history()
    with pytest.raises(hpo.UserError, match=r"plots need plotly, which is not installed"):
        result.plot_history(backend="plotly")


def test_without_plotly_it_is_matplotlib(result: hpo.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None if name == "plotly" else found(name))
    assert type(result.plot_history()).__module__ == "matplotlib.figure"
