"""What `hpo.run` and `hpo.load` return: a study in a script or a notebook.

result = hpo.load("binary")
result.trials.groupby("optimizer")["val_accuracy"].max()
result.plot_history()
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpo.ledger.study.home import Home
from hpo.ledger.study.urls import masked
from hpo.review.certainty import Certainty, certainty_of
from hpo.review.curves import curves_of
from hpo.review.studies import RecordedStudy, best_of, read_study
from hpo.review.trials import table_of
from hpo.scripting import plots
from hpo.scripting.checks import check_path, check_text, check_truth, check_whole, home_of
from hpo.scripting.plots import Backend
from hpo.spec.faults import UserError
from hpo.spec.plain import shown

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from hpo.model.loaded import LoadedModel
    from hpo.review.make_model import Rows
    from hpo.scripting.comparing import CompareResult
    from hpo.scripting.confirming import ConfirmResult


@dataclass(frozen=True)
class Best:
    """A study's best trial: the one with the best value by the sweep's rule, complete or stopped early; of equal ones
    the earlier. Optuna's own `best_trial` looks at complete ones only.

    best_step: the step that has the value, where `metric: {at: best}` has it so; else None.
    """

    number: int
    value: float
    params: Mapping[str, Any]  # the configuration: active parameters, constants included
    seed: int
    certainty: Certainty  # how many other trials lie within the noise of it
    best_step: int | None = None


class Result:
    """What is recorded of a study, as it was when it was loaded; `reload()` reads it again.

    Made by `hpo.run` and `hpo.load`. It writes nothing into the study, and holds no state but its own.

    Its plots are those of optuna.visualization, with the metric's name and without trials that were withdrawn. Each
    returns a figure: plotly's where it is installed, else Matplotlib's; `backend` chooses. Pruned, failed and running
    trials are in curves and timeline only. All raise hpo.UserError where there is nothing to draw, or nothing to draw
    with: pip install 'hpo-sweep[plots]'.
    """

    def __init__(self, home: Home, study: RecordedStudy, objective: Any = None) -> None:
        """objective: the object that was given as the sweep's objective, which is known as long as somebody keeps it;
        None: it was named."""
        self._home = home
        self._study = study
        self._objective = objective

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.name

    @property
    def path(self) -> Path:
        """The home: the folder with the records of the study, unless its storage is elsewhere."""
        return self._home.path

    @property
    def sweep(self) -> dict[str, Any]:
        """The resolved sweep, every default filled in, as plain values: what MLflow has as resolved.yaml."""
        return self._study.config

    @property
    def trials(self) -> pd.DataFrame:
        """A new DataFrame with a row a trial, by number: the columns of `hpo trials` (docs/decision.md). Lists and
        mappings among a parameter's choices are Python's own; what a trial has not is missing."""
        return table_of(self._study).frame

    @property
    def curves(self) -> pd.DataFrame:
        """A new DataFrame with a row for each trial and step: `number`, `step`, `seconds` (float64, since the trial's
        start), and a column for each metric that a trial reported, float64: the sweep's first, figures of health last.
        A metric called like one of these three is `metric_step`, say. What was not reported at a step is missing.

        Of a trial that has not ended the study has the sweep's metric only, and no seconds.
        """
        return curves_of(self._study)

    @property
    def best(self) -> Best | None:
        """The best trial; None while no trial has a value."""
        if not self._study.ranking:
            return None
        best = best_of(self._study)
        assert best.value is not None
        certainty = certainty_of(self._study)
        return Best(best.number, best.value, dict(best.params), best.seed, certainty, best.best_step)

    @property
    def optuna(self) -> optuna.Study:
        """The Optuna study itself, from the same storage, for Optuna's own functions; it is live.

        Lists, mappings and some booleans among choices are kept there as JSON text, constants are not parameters, and
        a study that several drivers share may hold withdrawn trials, failed ones with the attribute `surplus`. Read
        it; trials that are added to it by other means than a sweep are not in MLflow.
        """
        import optuna

        return optuna.load_study(study_name=self.name, storage=self._study.storage)

    def reload(self) -> Result:
        """Return the study as it is now."""
        return Result(self._home, read_study(self._home, self.name), self._objective)

    def model(
        self,
        trial: int | None = None,
        *,
        confirmed: bool = False,
        on: Rows = "train",
        output: str | Path | None = None,
        allow_different: bool = False,
    ) -> LoadedModel:
        """Return the model of a complete trial of a Torch task, which predicts: with the weights that the sweep has
        kept of it, else trained again, bit for bit.

        It is made in a process of its own, as `hpo model` does it, and written into a folder.

        trial: its number; None: the best. confirmed: the winner of the latest confirmation instead.
        on: `train+validation` trains on the rows of both. output: the folder; None: one in the home, which is replaced
        if it is there. allow_different: keep the model even if its metrics are not those of the study. `model.config`
        says how they compare.
        Raises hpo.UserError if there is no such trial, or if it leaves no model. Warns of what is not as in the trial.
        """
        from hpo.review.make_model import confirmed_trial
        from hpo.scripting.retrained import retrained

        check_whole("model", "trial", trial, 0)
        check_path("model", "output", output)
        check_truth("model", "confirmed", confirmed)
        check_truth("model", "allow_different", allow_different)
        if confirmed and trial is not None:
            raise UserError("confirmed=True says which trial: leave trial out")
        number = confirmed_trial(self._home, self.name) if confirmed else trial
        folder = Path(output).absolute() if output is not None else None
        options = {"number": number, "output": folder, "on": on, "allow_different": allow_different}
        return retrained(self._home, self._study, options)

    def confirm(
        self,
        *,
        top: int | None = None,
        seeds: int | None = None,
        against: int | None = None,
        workers: int | Literal["auto"] | None = None,
        progress: bool = True,
    ) -> ConfirmResult:
        """Train the best trials and the baseline again over fresh seeds, and judge the winner once on the untouched
        test rows, as `hpo confirm` does; what is recorded already is not done again.

        top: so many of the best compete; seeds: each with so many fresh seeds. None: as the sweep says, else 3 and 5.
        against: judge against this trial, not the first baseline. workers: engine.workers.
        Raises hpo.UserError if the study can't be confirmed, or if nothing can be said in the end; KeyboardInterrupt as
        hpo.run does.
        """
        from hpo.scripting.confirming import confirm_study

        return confirm_study(self._home, self.name, top, seeds, against, workers, progress)

    @property
    def confirmation(self) -> ConfirmResult | None:
        """The latest verdict that the study had when it was loaded; None if there is none."""
        from hpo.scripting.confirming import latest

        return latest(self._study)

    def report(self, output: str | Path | None = None) -> Path:
        """Write one page on the study as it is now, as `hpo report` does, and log it to the sweep's run in MLflow;
        return its path. One that is there is replaced.

        output: the page's file; None: one in the home. Its plots are PNG files in a folder beside it.
        Raises hpo.UserError if it can't be written; warns (RuntimeWarning) if MLflow does not have it.
        """
        from hpo.report.report import write_report

        check_path("report", "output", output)
        done = write_report(self._home, self.name, Path(output) if output is not None else None)
        for text in done.troubles():
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        return done.page

    def compare(
        self,
        *others: Result,
        by: str | None = None,
        target: float | None = None,
        bins: int | None = None,
        where: str | None = None,
    ) -> CompareResult:
        """Compare the choices of a parameter, or without `by` this study with others, as `hpo compare` does: what each
        came to, and which differences are larger than the noise.

        others: results of further studies with the same metric; their trials count with this one's where `by` is
        given. target: time is taken to this value of the metric; None: the sweep's target, else the first baseline's
        value, else the median. bins: parts of a range, 2 to 20; None: 4. where: only trials that meet this condition,
        such as "optimizer == 'sgd'".
        Raises hpo.UserError if there is nothing to compare.
        """
        from hpo.scripting.comparing import compared

        if wrong := [other for other in others if not isinstance(other, Result)]:
            raise UserError(f"compare: further studies are results (hpo.load(...)), but got {shown(wrong[0])}")
        return compared([self._study, *(other._study for other in others)], by, target, bins, where)

    def plot_history(self, *, backend: Backend | None = None) -> Any:
        """Draw the value of each trial that has one, complete or stopped, by its number, and the best so far."""
        return plots.history(self._study, backend)

    def plot_curves(self, metric: str | None = None, *, backend: Backend | None = None) -> Any:
        """Draw a metric of each trial by its steps. metric: any that a trial reported; None: the sweep's."""
        return plots.curves(self._study, metric, backend)

    def plot_importances(self, *, backend: Backend | None = None) -> Any:
        """Draw how much of the metric's variation each parameter explains, by PED-ANOVA (arXiv 2304.10255)."""
        return plots.importances(self._study, backend)

    def plot_parallel_coordinates(self, params: Sequence[str] | None = None, *, backend: Backend | None = None) -> Any:
        """Draw each complete trial as a line through its parameters. params: their names; None: all searched ones."""
        return plots.parallel_coordinates(self._study, params, backend)

    def plot_slices(self, params: Sequence[str] | None = None, *, backend: Backend | None = None) -> Any:
        """Draw the metric against each parameter. params: their names; None: all searched ones."""
        return plots.slices(self._study, params, backend)

    def plot_contour(self, params: Sequence[str] | None = None, *, backend: Backend | None = None) -> Any:
        """Draw the metric over two parameters; over each two, where more are named. None: the two most important."""
        return plots.contour(self._study, params, backend)

    def plot_timeline(self, *, backend: Backend | None = None) -> Any:
        """Draw when each trial ran, and how it ended."""
        return plots.timeline(self._study, backend)

    def __repr__(self) -> str:
        where = masked(self._home.storage_url)
        return f"<hpo.Result {self.name!r}, {len(self._study.trials):,} trials, in {where!r}>"


def load(study: str, home: str | Path | None = None, storage: str | None = None) -> Result:
    """Return what is recorded of a study.

    home: the folder where everything is kept, default `mlruns` in the working directory. storage: another Optuna
    storage in place of the journal there, a database's URL or a journal's path; as the options of the command line.

    Raises hpo.UserError if there is no such study (with its likely name), if it was not made by hpo, or if the storage
    can't be opened.
    """
    found = home_of("hpo.load", home, storage)
    check_text("hpo.load", "study", study)
    return Result(found, read_study(found, study))
