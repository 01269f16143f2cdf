"""Where each of the two UIs shows a study or a trial. `/hpo/open`, at either of them, leads there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import parse_qs, urlencode

from hpo.ledger.mirror.links import MACHINE_LEARNING, OPEN, Where, run_page, runs_page
from hpo.ledger.study.compat import FrozenStudy, study_id_of
from hpo.review.ui_web import ask_json

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@dataclass(frozen=True)
class LinkTarget:
    """What a link asks for: a page of a study's, or of a trial's."""

    where: str
    study: str
    trial: int | None = None


def asked_in(query: str) -> LinkTarget | None:
    """Return what the query of `/hpo/open` asks for; None if it is none that `link_to` makes."""
    fields = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
    where, study, trial = fields.get("in", ""), fields.get("study", ""), fields.get("trial", "")
    if where not in get_args(Where) or not study or not (trial == "" or (trial.isascii() and trial.isdecimal())):
        return None
    return LinkTarget(where, study, int(trial) if trial else None)


class Pages:
    """Finds pages. mlflow: the address of an MLflow server; "" if there is none. remote: it is not one of `hpo ui`, and
    may want a login, so that it can't be asked."""

    def __init__(self, storage: BaseStorage, mlflow: str, remote: bool) -> None:
        self._storage = storage
        self._remote = remote
        self._experiments: dict[str, str] = {}  # by the parent run
        self.mlflow = mlflow

    def find(self, asked: LinkTarget) -> tuple[str, str]:
        """Return an address and "", or "" and why there is no such page."""
        study = self._named(asked.study)
        if study is None:
            return "", f"There is no study {asked.study!r}; it may have been renamed or deleted."
        if asked.where == "dashboard":
            return dashboard_place(study, asked.trial), ""
        if not self.mlflow:
            return "", "MLflow's UI is left out (--no-mlflow)."
        parent = str(study.user_attrs.get("mlflow_run_id", ""))
        experiment = self._experiment(parent)
        run = parent if asked.trial is None else self._run_of(study, asked.trial, experiment)
        if experiment and asked.where in ("runs", "charts"):
            return f"{self.mlflow}/{runs_page(experiment, asked.where == 'charts')}", ""
        if run and experiment:
            return f"{self.mlflow}/{run_page(experiment, run)}", ""
        if run and self._remote:
            return f"{self.mlflow}/#/runs/{run}?{MACHINE_LEARNING}", ""
        what = "no runs of this study" if asked.trial is None else f"no run of trial {asked.trial}"
        return "", f"MLflow has {what} (yet). If no sweep runs, hpo doctor says what it lacks."

    def _named(self, name: str) -> FrozenStudy | None:
        """Return the study of a name, or the one that had it when it was swept and that was renamed in the dashboard:
        links in MLflow's descriptions have the name of that time."""
        studies = self._storage.get_all_studies()
        renamed = [study for study in studies if study.user_attrs.get("sweep", {}).get("name") == name]
        found = [study for study in studies if study.study_name == name] or (renamed if len(renamed) == 1 else [])
        return next(iter(found), None)

    def _experiment(self, parent: str) -> str:
        """Return the id of the experiment with a study's parent run, which somebody may have renamed."""
        if parent and parent not in self._experiments:
            path = f"/api/2.0/mlflow/runs/get?{urlencode({'run_id': parent})}"
            info: Mapping[str, Any] = ask_json(self.mlflow + path).get("run", {}).get("info", {})
            if info.get("experiment_id"):
                self._experiments[parent] = str(info["experiment_id"])
        return self._experiments.get(parent, "")

    def _run_of(self, study: FrozenStudy, trial: int, experiment: str) -> str:
        """Return the id of a trial's run: the one with the trial's tags, as a server that was rebuilt has it; where it
        can't be asked, the one that the study names. "": there is none."""
        trials = self._storage.get_all_trials(study_id_of(study), deepcopy=False)
        named = str(trials[trial].user_attrs.get("mlflow_run_id", "")) if trial < len(trials) else ""
        if not experiment:
            return named
        parent = study.user_attrs.get("mlflow_run_id", "")
        condition = f"tags.`mlflow.parentRunId` = '{parent}' AND tags.`hpo.trial` = '{trial}'"
        body = {"experiment_ids": [experiment], "filter": condition, "max_results": 5}
        runs = ask_json(f"{self.mlflow}/api/2.0/mlflow/runs/search", body).get("runs", [])
        found = [str(run["info"]["run_id"]) for run in runs]
        return named if named in found else next(iter(found), "")


def dashboard_place(study: FrozenStudy, trial: int | None = None) -> str:
    """Return where the dashboard shows a study or a trial, without a host."""
    page = f"/dashboard/studies/{study_id_of(study)}"
    return page if trial is None else f"{page}/trials?numbers={trial}"


def open_at(address: str, query: str) -> str:
    """Return the address of the same link at another server."""
    return f"{address}{OPEN}?{query}"
