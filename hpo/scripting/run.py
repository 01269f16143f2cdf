"""`hpo.run`: a sweep from a script or a notebook, as `hpo sweep` runs it."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

from hpo.objective.import_guard import refuse_while_imported
from hpo.review.display import make_display, states_text
from hpo.review.studies import read_study
from hpo.review.summary import outcome_lines
from hpo.scripting.checks import check_truth, check_whole, home_of
from hpo.scripting.definition import CALL, Given, define
from hpo.scripting.result import Result
from hpo.scripting.surroundings import folders_of, pass_on, process_kept
from hpo.spec.contract import Goal
from hpo.spec.faults import RecordsGone, UserError
from hpo.spec.plain import shown
from hpo.standing import Standing

if TYPE_CHECKING:
    from hpo.objective.function import Trial
    from hpo.training.task import TorchTask


class SweepFailed(UserError):
    """A sweep ended, and no trial has a value. result: what is recorded of the others."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def run(
    sweep: str | PathLike[str] | Mapping[str, Any] | None = None,
    /,
    *,
    objective: str | Callable[[Trial], Any] | type[TorchTask] | TorchTask | None = None,
    parameters: Mapping[str, Any] | None = None,
    metric: str | Mapping[str, Any] | None = None,
    goal: Goal | None = None,
    trials: int | None = None,
    name: str | None = None,
    workers: int | Literal["auto"] | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    extend: int | None = None,
    join: bool = False,
    changed: Literal["ok"] | None = None,
    home: str | PathLike[str] | None = None,
    storage: str | None = None,
    progress: bool = True,
    **keys: Any,
) -> Result:
    """Run a sweep to its end, or go on with its study up to the budget, as `hpo sweep` does; return its result.

        result = hpo.run("binary.yaml", trials=50)
        result = hpo.run(objective=my_function, parameters={"x": {"min": 0.0, "max": 1.0}}, metric="loss", trials=20)

    sweep: the path of a sweep file, or a mapping of the keys that one has (docs/sweep-files.md).
    objective, parameters, metric, name and all other keywords (budget, method, engine, seed, data, ...): keys of a
        sweep file, in place of those of `sweep`. The objective may also be a function `f(trial)` or a class derived
        from hpo.TorchTask, of a module, of the script that runs, or of a notebook. A metric by its name alone is
        {"name": ...}, an engine {"type": ...}.
    goal: metric.goal. trials: budget.trials. workers: engine.workers; 0 trains in this process.
    overrides: single keys by their paths, {"budget.epochs": 5} or ["budget.epochs=5"] (in YAML), over all these.
    name: the study's. Default: the file's stem, else the name of the function or class.
    extend: so many trials more than the study has. join: share the study with other drivers, in a database.
    changed: "ok": go on though the objective's code or the data have changed since the study's last trials.
    home: the folder where everything is kept, default `mlruns` in the working directory. storage: another Optuna
        storage, a database's URL or a journal's path.
    progress: show how it goes, on standard output: a panel in a notebook or on a terminal, else lines.

    May be called in any thread, several times at once for different studies, and inside of a running asyncio loop,
    which then waits. What it changes in the process is put back.

    Raises hpo.UserError for bad input, with the text that the command prints (hpo.SweepFailed, one of these, if no
    trial has a value); KeyboardInterrupt after Ctrl-C, once the running trials have ended or kept a checkpoint (at once
    after a second one): the same call goes on with the study. Only in the main thread can Ctrl-C be heard, and where
    the program doesn't ignore it. OSError, of a full disk, say: what is recorded is safe. Warns (RuntimeWarning) of a
    sweep that ended early by an error, if MLflow lacks some of it, and if the sweep's `confirm` or `report` came to
    nothing.
    """
    refuse_while_imported(CALL)
    check_truth(CALL, "join", join)
    check_truth(CALL, "progress", progress)
    check_whole(CALL, "extend", extend, 1)
    if changed not in (None, "ok"):
        raise UserError(f"{CALL}: changed must be 'ok' or None, but got {shown(changed)}")
    named = {"objective": objective, "parameters": parameters, "metric": metric, "name": name}
    keys = {**{key: value for key, value in named.items() if value is not None}, **keys}
    settings: list[tuple[str, str, Any]] = [("goal", "metric.goal", goal), ("trials", "budget.trials", trials)]
    settings += [("workers", "engine.workers", workers)]
    given = Given(sweep, keys, overrides, [setting for setting in settings if setting[2] is not None])
    with process_kept() as folders:
        checked = define(given).going_on(changed == "ok")
        where = home_of(CALL, home, storage)
        if checked.engine.workers == 0:
            folders += folders_of(checked)
        # The heavy part of the platform is imported only once the sweep is known to be sound.
        from hpo.driver.sweeping import opened
        from hpo.engines.early import early_server
        from hpo.engines.make import ready_server

        try:
            with (
                early_server() as begun,
                opened(checked, where, extend, join, ready_server(begun, checked)) as ready,
                make_display(sys.stdout, not progress) as display,
            ):
                standing = ready.run(display)
        except OSError as error:
            if not isinstance(error, RecordsGone):
                remedy = "make space" if error.errno == errno.ENOSPC else "mend that"
                error.add_note(f"what is recorded is safe: {remedy}, and the same call goes on")
            raise
        if progress:
            print("\n".join(outcome_lines(ready.sweep, standing, where)))
        if standing.interrupted:
            done = f"study {standing.study!r} has {standing.done} of {standing.trials} trials"
            text = f"{done}: the same call of {CALL} goes on with it, hpo.load has what there is"
            pass_on(standing.interrupted, text)
        result = Result(where, read_study(where, ready.sweep.name), _object(given))
    wants_report = ready.sweep.report.page and not join
    try:
        _judge(standing, result)
    except SweepFailed:
        if wants_report:
            _reported(result, progress)
        raise
    confirms = ready.sweep.confirm is not None and not standing.interrupted and not standing.error
    if join:
        _warn_of_drivers(result.name, confirms, ready.sweep.report.page)
    elif confirms:
        result = _confirmed(result, progress)
    if wants_report and not standing.interrupted:
        _reported(result, progress)
    return result


def _object(given: Given) -> Any:
    """Return the objective that was given as an object, None if there is none: it is known as long as it is kept."""
    inside = given.sweep.get("objective") if isinstance(given.sweep, Mapping) else None
    found = given.keys.get("objective", inside)
    return None if isinstance(found, str) else found


def _judge(standing: Standing, result: Result) -> None:
    """Raise SweepFailed if no trial has a value; warn of what else went wrong."""
    stopped = f"{standing.reason or 'the sweep stopped'}:\n{standing.error}" if standing.error else ""
    if standing.best is None:
        most = standing.counts.errors.most_common(1)
        why = stopped or (most[0][0] if most else standing.reason)
        text = f"no trial of study {standing.study!r} is complete ({states_text(standing)})"
        raise SweepFailed(f"{text}: {why}" if why else text, result)
    for text in filter(None, (stopped, standing.unmirrored)):
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def _warn_of_drivers(name: str, confirms: bool, reports: bool) -> None:
    """Warn of what the sweep asks for and one of several drivers does not do."""
    for wanted, lacks, call in (confirms, "is not confirmed", "confirm"), (reports, "has no report", "report"):
        if wanted:
            text = f"{name!r} {lacks}: it may have other drivers; call {call}() when all have ended"
            warnings.warn(text, RuntimeWarning, stacklevel=3)


def _reported(result: Result, progress: bool) -> None:
    """Write the page that the sweep asks for."""
    from hpo.report.report import why_there_is_none

    try:
        page = result.report()
    except Exception as error:  # the sweep itself is done, whatever its page meets
        text = f"{result.name!r} has no report: {why_there_is_none(error)}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
        return
    if progress:
        print(f"report    {page}")


def _confirmed(result: Result, progress: bool) -> Result:
    """Confirm the winner, as the sweep asks for; return the result with the verdict."""
    try:
        result.confirm(progress=progress)
    except UserError as error:  # the sweep itself is done
        warnings.warn(f"{result.name!r} is not confirmed: {error}", RuntimeWarning, stacklevel=3)
    return result.reload()
