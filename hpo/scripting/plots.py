"""Plots of a study: Optuna's own, of a copy of it that says what the axes are and has nothing of the platform's own."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from hpo.ledger.study.records import reported
from hpo.review.studies import RecordedStudy, best_of
from hpo.spec.faults import UserError, did_you_mean
from hpo.spec.plain import shown

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

Backend = Literal["plotly", "matplotlib"]
BACKENDS: tuple[Backend, ...] = ("plotly", "matplotlib")
_REMEDY = "pip install 'hpo-sweep[plots]'"
_FEWEST_FOR_IMPORTANCE = 2  # complete trials


def history(study: RecordedStudy, backend: Backend | None) -> Any:
    """Draw the value of each trial that has one, complete or stopped, and the best so far."""
    best_of(study)  # raises, if none has
    return _drawn("optimization_history", _copied(study, ranking=True), backend, target_name=study.sweep.metric.name)


def curves(study: RecordedStudy, metric: str | None, backend: Backend | None) -> Any:
    """Draw a metric of each trial by its steps."""
    name = metric or study.sweep.metric.name
    known = dict.fromkeys([study.sweep.metric.name, *(key for trial in study.trials for key in reported(trial)[1])])
    if name not in known:
        raise UserError(f"no trial of study {study.name!r} reported {name!r} ({did_you_mean(name, known)})")
    if not any(_values(trial, name, study) for trial in study.trials):
        raise UserError(f"no trial of study {study.name!r} has reported {name!r} at any step")
    figure = _drawn("intermediate_values", _copied(study, name), backend)
    if hasattr(figure, "update_layout"):
        figure.update_layout(title=name, yaxis_title=name)
    else:
        figure.axes[0].set_title(name)
        figure.axes[0].set_ylabel(name)
    return figure


def importances(study: RecordedStudy, backend: Backend | None) -> Any:
    """Draw how much of the metric's variation each parameter explains (PED-ANOVA, arXiv 2304.10255)."""
    _need_complete(study, _FEWEST_FOR_IMPORTANCE)
    return _drawn("param_importances", _copied(study), backend, target_name=study.sweep.metric.name)


def parallel_coordinates(study: RecordedStudy, params: Sequence[str] | None, backend: Backend | None) -> Any:
    """Draw each complete trial as a line through its parameters."""
    return _of_params("parallel_coordinate", study, _checked(study, params), backend)


def slices(study: RecordedStudy, params: Sequence[str] | None, backend: Backend | None) -> Any:
    """Draw the metric against each parameter."""
    return _of_params("slice", study, _checked(study, params), backend)


def contour(study: RecordedStudy, params: Sequence[str] | None, backend: Backend | None) -> Any:
    """Draw the metric over two parameters, by default over the two most important ones; over each two of more."""
    chosen = _checked(study, params)
    if params is None:
        chosen = _most_important(study, 2)
    if len(chosen) < 2:
        raise UserError(f"a contour has two parameters, but got {', '.join(chosen) or 'none'}")
    return _of_params("contour", study, chosen, backend)


def timeline(study: RecordedStudy, backend: Backend | None) -> Any:
    """Draw when each trial ran, and how it ended."""
    if not study.trials:
        raise UserError(f"the study {study.name!r} has no trial yet")
    return _drawn("timeline", _copied(study), backend)


def _of_params(kind: str, study: RecordedStudy, params: list[str], backend: Backend | None) -> Any:
    _need_complete(study, 1)
    return _drawn(kind, _copied(study), backend, params=params, target_name=study.sweep.metric.name)


def _need_complete(study: RecordedStudy, count: int) -> None:
    found = len(study.complete)
    if found < count:
        needs = f"{count} complete trials" if count > 1 else "a complete trial"
        raise UserError(f"this plot needs {needs}, but the study {study.name!r} has {found}")


def _checked(study: RecordedStudy, params: Sequence[str] | None) -> list[str]:
    """Return the parameters to draw, by default all that were searched. Raises UserError for one that was not."""
    searched = list(dict.fromkeys(name for trial in study.trials for name in trial.params))
    if params is None:
        return searched
    if isinstance(params, str):
        raise UserError(f"params is a list of names, but got {params!r} (write [{params!r}])")
    for name in params:
        if not isinstance(name, str):
            raise UserError(f"params is a list of names, but got {shown(name)} in it")
        if name not in searched:
            constant = name in study.sweep.space.names()
            why = "its value is the same in all trials" if constant else did_you_mean(name, searched)
            raise UserError(f"the study {study.name!r} has no searched parameter {name!r} ({why})")
    return list(dict.fromkeys(params))


def _most_important(study: RecordedStudy, count: int) -> list[str]:
    from optuna.importance import get_param_importances

    _need_complete(study, _FEWEST_FOR_IMPORTANCE)
    with _quiet():
        return list(get_param_importances(_copied(study)))[:count]


def _copied(study: RecordedStudy, metric: str | None = None, ranking: bool = False) -> optuna.Study:
    """Return the study in memory with its trials' numbers. A number that was withdrawn in a shared study is a failed
    trial of no duration. metric: whose values are the trials' intermediate ones; None: the sweep's.
    ranking: trials that were stopped and can be the best are complete ones in the copy; Optuna draws no others."""
    import optuna
    from optuna.trial import TrialState

    name = metric or study.sweep.metric.name
    found = {trial.number: trial for trial in study.trials}
    valued = {record.number: record.value for record in study.ranking} if ranking else {}
    with _quiet():
        copied = optuna.create_study(direction=study.sweep.metric.goal, study_name=study.name)
        for number in range(max(found, default=-1) + 1):
            trial = _light(found[number], name, study) if number in found else _withdrawn(study)
            if number in valued:
                trial.state, trial.value = TrialState.COMPLETE, valued[number]
            copied.add_trial(trial)
    return copied


def _light(trial: FrozenTrial, metric: str, study: RecordedStudy) -> FrozenTrial:
    """Return a trial without the platform's attributes, which Optuna would show."""
    light = copy.copy(trial)
    light.user_attrs = {}
    light.intermediate_values = _values(trial, metric, study)
    return light


def _withdrawn(study: RecordedStudy) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    trial = create_trial(state=TrialState.FAIL)
    trial.datetime_start = trial.datetime_complete = study.trials[0].datetime_start
    return trial


def _values(trial: FrozenTrial, metric: str, study: RecordedStudy) -> dict[int, float]:
    """Return a trial's values of a metric by step, of a running trial as far as the study has them."""
    if metric == study.sweep.metric.name:
        return dict(trial.intermediate_values)
    steps, columns = reported(trial)
    pairs = zip(steps, columns.get(metric, ()), strict=False)
    return {step: value for step, value in pairs if value is not None}


def _drawn(kind: str, study: optuna.Study, backend: Backend | None, **options: Any) -> Any:
    """Return Optuna's figure: plotly's `Figure`, or Matplotlib's, which pyplot knows nothing of."""
    chosen = _chosen(backend)
    if chosen == "plotly":
        with _quiet():
            return getattr(importlib.import_module("optuna.visualization"), f"plot_{kind}")(study, **options)
    import matplotlib
    import numpy as np

    draw = getattr(importlib.import_module("optuna.visualization.matplotlib"), f"plot_{kind}")
    with matplotlib.rc_context(), _quiet():  # it sets a style for all figures to come
        figure = np.ravel(draw(study, **options))[0].figure
        if kind not in ("slice", "contour"):  # whose axes are laid out already
            figure.set_layout_engine("tight")  # so that a file has the whole of long names
        importlib.import_module("matplotlib.pyplot").close(figure)
    return figure


def _chosen(backend: Backend | None) -> Backend:
    """Return the library to draw with. Raises UserError if it is not installed."""
    if backend is not None and backend not in BACKENDS:
        raise UserError(f"backend must be one of {', '.join(BACKENDS)}, but got {backend!r}")
    for name in [backend] if backend else BACKENDS:
        if importlib.util.find_spec(name) is not None:
            return name
    raise UserError(f"plots need {backend or 'plotly or matplotlib'}, which is not installed ({_REMEDY})")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Optuna says of its own: that it made a study, and that plots by Matplotlib are experimental."""
    from optuna.exceptions import ExperimentalWarning

    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        logger.setLevel(level)
