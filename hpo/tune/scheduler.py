"""StudyScheduler: a study's stopping rule as a scheduler of Ray Tune's."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from hpo.events import Decision
from hpo.spec.faults import UserError
from hpo.tune.checks import StudyRule
from hpo.tune.compat import TuneController, searchers
from hpo.tune.searcher import StudySearcher


class StudyScheduler(FIFOScheduler, StudyRule):
    """Stops trials by the `early_terminate` of the StudySearcher beside it. Works with that only.

    A trial is judged at each report of the metric; one whose metric is not finite ends. Baselines are never stopped.
    """

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        _searcher(tune_controller)

    def on_trial_result(self, tune_controller: TuneController, trial: Trial, result: dict[str, Any]) -> str:
        session = _searcher(tune_controller)._attached()
        decision = session.guard(lambda: session.result(trial, result))
        return str(TrialScheduler.STOP if decision is Decision.STOP else TrialScheduler.CONTINUE)

    def debug_string(self) -> str:
        return "Using the study's stopping rule."


def _searcher(controller: TuneController) -> StudySearcher:
    for found in searchers(controller.search_alg):
        if isinstance(found, StudySearcher):
            return found
    raise UserError("StudyScheduler decides for a study: use it with search_alg=hpo.tune.StudySearcher(...)")
