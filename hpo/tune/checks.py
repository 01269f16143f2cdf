"""What of an experiment would be recorded wrongly is refused before anything runs."""

from __future__ import annotations

from ray.tune.result import DEFAULT_METRIC
from ray.tune.schedulers import PopulationBasedTraining, PopulationBasedTrainingReplay, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Repeater

from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep
from hpo.tune.compat import TuneController, chain, metric_of, mode_of, searchers
from hpo.tune.sweep import check_goal


class StudyRule(TrialScheduler):
    """Marks the scheduler that stops by the study's own rule."""


def check_experiment(controller: TuneController, scheduler: TrialScheduler, sweep: Sweep) -> None:
    """Raise UserError for what would be recorded wrongly."""
    for found in searchers(controller.search_alg):
        if isinstance(found, Repeater):
            raise UserError(
                "Repeater hides from the study which trials it repeats, and their reports (say duplicates='replicate' "
                "and list the configuration in baselines, or repeat inside of the trainable)"
            )
        if isinstance(found, ConcurrencyLimiter) and found.batch:
            raise UserError("ConcurrencyLimiter(batch=True) holds back ends of trials (leave out batch)")
    check_goal(sweep, metric_of(controller), None)
    schedulers = list(chain(scheduler))
    for each in schedulers:
        if isinstance(each, PopulationBasedTraining | PopulationBasedTrainingReplay):
            raise UserError(
                f"{type(each).__name__} changes the configurations of trials under way, and takes them over from one "
                "another: a trial of a study has one configuration (and Tune allows it no search algorithm; use "
                "StudyScheduler, ASHAScheduler, HyperBandScheduler or MedianStoppingRule, or leave out search_alg)"
            )
        if not isinstance(each, StudyRule):
            check_goal(sweep, None if each.metric == DEFAULT_METRIC else each.metric, mode_of(each))
    if sweep.early_terminate.type != "none" and not any(isinstance(each, StudyRule) for each in schedulers):
        raise UserError(
            f"the study's early_terminate ({sweep.early_terminate.type}) has no effect: add "
            "scheduler=hpo.tune.StudyScheduler() to TuneConfig, or leave out early_terminate"
        )
