"""What a sweep writes into Optuna's study and into MLflow of its own accord, besides what an objective reports.

tests/test_reference.py holds these tables against what sweeps write.
"""

from __future__ import annotations

from collections.abc import Mapping

from handbook.markdown import code, table

# `METRIC` is the sweep's metric, `MODEL` one of the references, `LIBRARY` an installed package, `NAME` one of yours.
TRIAL_ATTRIBUTES = {
    "seed": "what the trial's generators were seeded with",
    "epochs": "how many it was to train, where the sweep says so",
    "params": "its hyperparameters, as they are in the sweep file",
    "outcome": "`state`, `value` by the sweep's rule (`metric.at`), and when it `ended`: written last",
    "history": "every metric of every step, and when it was reported",
    "seconds": "from its start to its end",
    "best_step": "the step that has its value, where the best one counts",
    "returned": "what the function returned, where a step has the value",
    "error": "why it failed, in a line",
    "traceback": "the whole of it",
    "failure": "the kind of its failure: `error`, `out_of_memory`, `timeout`, `died`, `lost`",
    "attempts": "how often it ran, if more than once",
    "diverged": "the epoch in which a value was not finite",
    "stopped_by": "what cut it off other than a stopping rule, such as `budget.seconds`",
    "interrupted": "the sweep was stopped, and the trial is run again as a new one",
    "retry_of": "the trial that it runs again",
    "diagnoses": "what went wrong in its training, each with the evidence; empty: healthy",
    "info": "the next table",
    "sources": "the digest of the code and data that it ran with",
    "mlflow_run_id": "its run in MLflow",
    "driver": "in a shared study, who runs it",
    "surplus": "in a shared study, why a driver took it back before it ran",
    "copied_from": "in a successor study, the trial of the earlier one",
}
TRIAL_INFO = {
    "worker": "which worker ran it",
    "host": "on which machine",
    "pid": "in which process",
    "gpu": "on which GPU",
    "cohort": "how many trials trained in its stack",
    "stack": "which trials those were, and its place among them",
    "members": "how many seeds or folds it is the mean of",
    "train_seconds": "its share of the time that its stack trained",
    "validation_rows": "rows that its metrics were measured on",
    "weights_digest": "of the weights that `keep` has",
    "health": "figures of its layers in the epoch in which it diverged",
    "batch_parts": "into how many parts its batches were cut, for lack of memory",
    "notes": "what was remarkable in a program's reports",
    "user_attrs": "what the objective gave to `trial.set_user_attr`",
    "tune_trial": "the id of Ray Tune's trial",
}
STUDY_ATTRIBUTES = {
    "id": "of the study, the same wherever it is moved",
    "identity": "what must be the same for a sweep to go on with the study",
    "sweep": "the resolved sweep",
    "sweep_file": "the sweep file as it was written",
    "objective": "the objective, in words",
    "metric": "the metric, in words",
    "origin": "when, where and with which versions it began",
    "hpo_version": "which hpo made it",
    "quoted": "parameters whose choices are kept as JSON",
    "seconds": "how long it ran, all times together",
    "data_notes": "what was done to the data",
    "sources": "versions of code and data that trials ran with",
    "references": "what models of scikit-learn reach",
    "confirmation": "of a study that confirms another: what came out",
    "confirms": "of a study that confirms another: which",
    "confirmations": "the studies that confirmed this one",
    "test_looks": "when the test rows were looked at, and by what",
    "models": "models that were registered from it",
    "extension": "trials that `--extend` adds",
    "owners": "who runs it, in a database",
    "mlflow_run_id": "its parent run in MLflow",
    "predecessor": "the study that it went on from, when the space changed",
    "successor": "the study that went on from it",
    "copied": "how many of its trials are copies of the predecessor's",
    "uncounted": "how many of them its budget does not count",
    "went_back": "a file with an earlier space runs it again",
    "space": "of an objective that asks for its hyperparameters itself: what it has asked for so far",
    "former_names": "what it was called before, the first name first",
    "renaming": "the old and the new name, while it is renamed",
    "removing": "its removal was begun",
}
RUN_TAGS = {
    "hpo.kind": "`sweep` (the parent run) or `trial`",
    "hpo.study": "the study's name",
    "hpo.study_id": "the study's id",
    "hpo.objective": "what is trained",
    "hpo.ended_by": "what ended the sweep",
    "hpo.error": "why it failed",
    "hpo.confirms": "the study that it confirms",
    "hpo.confirms_run": "that study's parent run",
    "hpo.confirmation": "the study that confirmed it",
    "hpo.verdict": "`better`, `not shown` or `worse`",
    "hpo.description": "the digest of the description that the sweep wrote, so that yours is kept",
    "hpo.trial": "the trial's number",
    "hpo.seed": "its seed",
    "hpo.state": "`running`, `complete`, `pruned` or `failed`",
    "hpo.retry_of": "the trial that it runs again",
    "hpo.attempts": "how often it ran, if more than once",
    "hpo.failure": "the kind of its failure",
    "hpo.stopped_by": "what cut it off other than a stopping rule",
    "hpo.diagnosis": "the names of its diagnoses; `healthy`",
    "hpo.diagnosis_evidence": "what they go by",
    "hpo.worker": "which worker ran it",
    "hpo.host": "on which machine",
    "hpo.gpu": "on which GPU",
    "hpo.cohort": "how many trials trained in its stack",
    "diverged": "the epoch in which a value was not finite",
    "attr.NAME": "what the objective gave to `trial.set_user_attr`",
    "version.LIBRARY": "of the libraries that it ran with (parent run)",
}
RUN_METRICS = {
    "hpo/value": "the trial's value, by which it is ranked",
    "hpo/best_step": "the step that has it, where the best one counts",
    "hpo/best_METRIC": "the best of its steps",
    "hpo/last_METRIC": "the last of its steps",
    "hpo/duration_seconds": "from its start to its end",
    "hpo/diagnoses": "how many diagnoses it has",
    "hpo/best_so_far_METRIC": "parent run: the best value after so many trials",
    "hpo/best_trial": "parent run: the number of the best trial",
    "hpo/baseline_METRIC": "parent run: the value of the first baseline",
    "hpo/trials_complete": "parent run: how many ended so",
    "hpo/trials_pruned": "parent run: how many were stopped early",
    "hpo/trials_failed": "parent run: how many failed",
    "hpo/trials_diverged": "parent run: how many of the pruned diverged",
    "hpo/sweep_seconds": "parent run: how long the sweep ran, all times together",
    "hpo/reference/MODEL/METRIC": "parent run: what a model of scikit-learn reaches",
    "hpo/confirm/difference": "parent run: winner against baseline, on the untouched test rows",
    "hpo/confirm/low": "parent run: the lower end of its 95 % interval",
    "hpo/confirm/high": "parent run: the upper end",
    "hpo/confirm/winner": "parent run: the winner's mean on the test rows",
    "hpo/confirm/baseline": "parent run: the baseline's",
}
RUN_FILES = {
    "sweep.yaml": "parent run: the sweep file as it was written",
    "resolved.yaml": "parent run: with all overrides and defaults",
    "versions.json": "parent run: of the libraries",
    "data.txt": "parent run: what was done to the data",
    "references.json": "parent run: what models of scikit-learn reach",
    "confirmation.json": "parent run: what a confirmation found",
    "report.html": "parent run: the page of `hpo report`",
    "traceback.txt": "trial: why it failed",
    "output.log": "trial: what a program printed",
}


def record_lines() -> list[str]:
    """Return the section on what is recorded."""
    lines = ["## What is recorded", "", "Besides what an objective reports. `METRIC` stands for the sweep's metric."]
    named: list[tuple[str, Mapping[str, str]]] = [
        ("Attributes of a trial in Optuna's study", TRIAL_ATTRIBUTES),
        ("`info` of a trial", TRIAL_INFO),
        ("Attributes of the study", STUDY_ATTRIBUTES),
        ("Tags in MLflow", RUN_TAGS),
        ("Metrics in MLflow", RUN_METRICS),
        ("Files in MLflow", RUN_FILES),
    ]
    for title, names in named:
        lines += ["", f"### {title}", *table(("name", ""), [(code(name), says) for name, says in names.items()])]
    return lines
