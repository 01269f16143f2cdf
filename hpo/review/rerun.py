"""A trial of a study as a sweep file that trains it again, and gets the numbers that it got."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpo.ledger.study.compat import study_id_of
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, record_of, reported
from hpo.ledger.study.restored import find_study
from hpo.spec.grammar import ReportKeys
from hpo.spec.space import counted
from hpo.spec.yaml_text import dump_source
from hpo.training.vocabulary.schedules import SCHEDULES


def rerun_file(home: Home, study: str, config: dict[str, Any], trial: TrialRecord) -> str:
    """Return a sweep file that trains a trial's configuration once, with its seed: alone, or in the stack that it had.

    config: the study's resolved sweep. A comment says why, if the recorded number may not come out to the last digit.
    One that was stopped, and has its last value, trains as many epochs as it did, where that is the same training.
    """
    keys: dict[str, Any] = {"name": f"{config['name']}-trial-{trial.number}"}
    for key in ("objective", "program", "command", "data"):
        if config.get(key):
            keys[key] = config[key]
    keys["metric"] = config["metric"]
    keys["method"] = "random"
    keys["budget"] = {"trials": 1}
    if config.get("epochs") is not None:
        keys["budget"]["epochs"] = config["epochs"]
    keys["trial_seed"] = trial.seed
    if (repeats := config.get("repeats", 1)) > 1:
        keys["repeats"] = repeats
    keys["engine"] = {"type": "local", "workers": 1}
    if "members" in trial.info:  # cohort: 1 is a stack of one trial's members
        keys["engine"] |= {"cohort": 1 if stacked_by_itself(trial) else "off"}
    if isinstance(report := config.get("report"), dict):  # of older studies: whether a page is written
        keys |= {"report": sources} if (sources := ReportKeys(**report).sources) else {}
    if (references := config.get("references", "auto")) != "auto":
        keys["references"] = references
    keys["parameters"] = {name: {"value": value} for name, value in trial.params.items()}
    stack, remarks = stack_of(home, study, config, trial)
    if stack:
        keys["stack"] = stack
        keys["engine"].pop("cohort", None)
        keys["engine"] |= {"compile": True} if config.get("engine", {}).get("compile") else {}
    head = f"trial {trial.number} of study {config['name']}: {config['metric']['name']} = {trial.value}"
    if trial.state == "pruned":
        epochs, remark = _stopped(home, study, trial)
        remarks = (*remarks, *remark.splitlines())
        if epochs is not None and "epochs" in keys["parameters"]:
            keys["parameters"]["epochs"] = {"value": epochs}
        elif epochs is not None:
            keys["budget"]["epochs"] = epochs
    return "".join(f"# {line}\n" for line in (head, *remarks)) + dump_source(keys)


def _stopped(home: Home, study: str, trial: TrialRecord) -> tuple[int | None, str]:
    """Return how many epochs a stopped trial is to train again, None: as many as it would have; and a remark."""
    to_its_end = "It was stopped early; here it trains to its end, and comes by that number on the way"
    if trial.best_step is not None or trial.value is None:
        return None, f"{to_its_end}."
    storage, frozen = find_study(home, study)
    steps, _ = reported(storage.get_all_trials(study_id_of(frozen), deepcopy=False)[trial.number])
    if trial.epochs is None or "validation_rows" not in trial.info:  # no Torch task: what it does to its end, it knows
        return None, f"{to_its_end}, at step {steps[-1]}.\nIts value is its last one, another."
    schedule = SCHEDULES[str(trial.params.get("schedule", SCHEDULES.default))]
    if schedule.by_length:
        why = f"what {schedule.name} does to the learning rate depends on the number of epochs"
        return None, f"{to_its_end}, after epoch {steps[-1]}.\nIts value is its last one, another: {why}."
    remark = f"It was stopped early, after {steps[-1]} of {counted(trial.epochs, 'epoch')}: it trains so many here."
    return steps[-1], remark


def stack_of(
    home: Home, study: str, config: dict[str, Any], trial: TrialRecord
) -> tuple[dict[str, Any], Sequence[str]]:
    """Return the `stack` key, {} if the trial trained alone or its stack is not known; and remarks."""
    if stack := config.get("stack"):
        others = [{key: fact for key, fact in other.items() if fact is not None} for other in stack["others"]]
        return {"place": stack["place"], "others": others}, ()
    numbers = trial.info.get("stack", ())
    if "stack_from" in trial.info or ("cohort" in trial.info and not numbers):
        return {}, (
            "It trained in more than one stack, or in one that is not known: alone it gets the same to rounding.",
        )
    if trial.number not in numbers or stacked_by_itself(trial):
        return {}, ()
    storage, frozen = find_study(home, study)
    found = {each.number: each for each in storage.get_all_trials(study_id_of(frozen), deepcopy=False)}
    if missing := [number for number in numbers if number not in found]:
        return {}, (f"It trained with trial {missing[0]}, which is gone: alone it gets the same to rounding.",)
    others = [_neighbour(record_of(found[number])) for number in numbers if number != trial.number]
    beside = f"{counted(len(others), 'other')}, which its rounding depends on"
    remark = f"It trained in one stack with {beside}: {'they train' if len(others) > 1 else 'that trains'} beside it."
    return {"place": list(numbers).index(trial.number), "others": others}, (remark,)


def stacked_by_itself(trial: TrialRecord) -> bool:
    """Whether the members of a trial trained as a stack from their start, without another trial."""
    return list(trial.info.get("stack", ())) == [trial.number] and "stack_from" not in trial.info


def _neighbour(record: TrialRecord) -> dict[str, Any]:
    keys: dict[str, Any] = {"params": dict(record.params), "seed": record.seed}
    if record.epochs is not None:
        keys["epochs"] = record.epochs
    if record.state == "pruned" and record.steps:
        keys["until"] = max(record.steps)
    return keys
