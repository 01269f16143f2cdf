"""How much each parameter has to do with being a good trial, by PED-ANOVA."""

from __future__ import annotations

import logging
import warnings

from hpo.decision.refine.evidence import FEWEST_WITH, TrialEvidence
from hpo.search.distributions import searched_params


def importances(evidence: TrialEvidence) -> dict[str, float]:
    """Return each searched parameter's share of the importance, by Optuna's conditional PED-ANOVA: it compares the
    good trials with all that have a result. Shares sum to 1; parameters that hardly any good trial has are left out.
    """
    import optuna

    logging.getLogger("optuna").setLevel(logging.WARNING)
    space = evidence.study.sweep.space
    study = optuna.create_study(direction="minimize")
    trials = []
    for value, records in ((0.0, evidence.good), (1.0, evidence.rest)):
        for record in records:
            params, distributions = searched_params(space, dict(record.params))
            trials.append(optuna.create_trial(value=value, params=params, distributions=distributions))
    study.add_trials(trials)
    names = [p.name for p in space.searched() if evidence.good_with(p.name) >= FEWEST_WITH]
    if not names or not evidence.rest:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=len(evidence.good) / len(trials))
    with warnings.catch_warnings():
        # It says where a conditional parameter has less than two trials: among those that lack it, say.
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=names)
    return {name: float(share) for name, share in found.items()}
