"""From a trial of a study to a model in a folder: trained again, compared with its records, written."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hpo.diagnosis.figures import is_health
from hpo.events import Diverged, TrialSpec
from hpo.ledger.study import provenance
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, record_of
from hpo.ledger.study.settling import as_told
from hpo.objective.beside import beside_of
from hpo.objective.build import build, named_of
from hpo.objective.failures import RAISED, one_line
from hpo.review.kept_weights import kept_weights
from hpo.review.rerun import stack_of, stacked_by_itself
from hpo.review.studies import RecordedStudy, best_of, confirmation_of, read_study
from hpo.spec.faults import UserError
from hpo.spec.grammar import Stack
from hpo.spec.space import show
from hpo.training.members import Member, of_member
from hpo.training.vocabulary.thresholds import HALF

if TYPE_CHECKING:
    from hpo.objective.retrain import Manner, Retrained
    from hpo.objective.torch_task import TorchObjective
    from hpo.training.task import Splits
    from hpo.training.vocabulary.thresholds import Threshold

Rows = Literal["train", "train+validation"]
ROUNDING = 1e-3
"""How far a metric may be from its record, relative to max(1, |record|), for rounding to be the reason. Another number
of threads, a GPU or another release of Torch changes the last bits of each step, and training lets them grow."""


@dataclass(frozen=True)
class Likeness:
    """A trial's metrics now, beside those that its study has.

    verdict: `equal` (every metric of every epoch, to the last digit), `rounding` (the last epoch's, within ROUNDING),
    `different`, or `none` (trained on other rows, so there is nothing to compare). told: the same in a sentence.
    """

    verdict: Literal["equal", "rounding", "different", "none"]
    told: str


@dataclass(frozen=True)
class MadeModel:
    """What became of `make_model`. folder: None where the model was not kept; config: as model.json has it then."""

    folder: Path | None
    trial: TrialRecord
    comparison: Likeness
    remarks: tuple[str, ...]
    config: Mapping[str, Any]
    kept: bool = False  # whether its weights were kept by the sweep; else it was trained again


@dataclass(frozen=True)
class _Chosen:
    """A trial whose model is to be made, and its study."""

    study: RecordedStudy
    trial: TrialRecord
    on: Rows

    @property
    def spec(self) -> TrialSpec:
        return TrialSpec(
            self.trial.number, self.trial.params, self.trial.seed, self.trial.epochs, health=self.is_examined
        )

    @property
    def until(self) -> int | None:
        """The epoch whose model it is, that of the trial's value; None: the last."""
        if self.trial.best_step is not None:
            return self.trial.best_step
        return max(self.trial.steps, default=None) if self.trial.state == "pruned" else None

    @property
    def steps(self) -> Mapping[int, Mapping[str, float]]:
        """What the study has of the trial's metrics up to there."""
        until = self.until
        return {step: metrics for step, metrics in self.trial.steps.items() if until is None or step <= until}

    @property
    def is_examined(self) -> bool:
        """Whether its reports hold figures of health, which are then compared as all metrics are."""
        return any(is_health(name) for metrics in self.trial.steps.values() for name in metrics)

    @property
    def threads(self) -> int:
        """Of the worker that trained it."""
        return max(1, int(self.study.config.get("engine", {}).get("cpus_per_worker", 1)))

    @property
    def versions(self) -> Mapping[str, str]:
        """Of libraries, when the sweep ran, as far as the study has them."""
        found: Mapping[str, str] = self.study.attributes.get("origin", {}).get("versions", {})
        return found


@dataclass(frozen=True)
class _Made:
    """A trial's model in this process: from its kept weights, or trained again, perhaps in its stack."""

    found: Retrained
    splits: Splits
    comparison: Likeness
    remarks: tuple[str, ...]
    kept: bool = False
    in_stack: bool = False


def make_model(
    home: Home,
    study: str,
    number: int | None = None,
    output: Path | None = None,
    on: Rows = "train",
    allow_different: bool = False,
) -> MadeModel:
    """Write the model of a trial of a Torch task into a folder: with the weights that the sweep has kept of it, else
    trained again, exactly as it was. It is the model of the epoch that has the trial's value.

    number: the trial's; None: the best. output: the folder; None: `models/STUDY/trial-N` in the home.
    on: `train+validation` trains on the rows of both, as many epochs; nothing is left to measure it on.
    allow_different: keep the model even if its metrics are not those of the study.
    Raises UserError with the reason if there is no such trial, or if it leaves no model.
    """
    if on not in (known := get_args(Rows)):
        raise UserError(f"a model is made on {' or '.join(known)}, but got {on!r}")
    recorded = read_study(home, study)
    chosen = _Chosen(recorded, _trial_of(recorded, number), on)
    objective = _torch_objective(recorded)
    if on == "train" and objective.folds > 1:
        raise UserError(
            f"trial {chosen.trial.number} was trained {objective.folds} times, each time without one fold of the rows, "
            "so it is no single model (--on train+validation trains one on all of these rows)"
        )
    suffix = "" if on == "train" else f"-{on}"
    folder = output or home.models / study / f"trial-{chosen.trial.number}{suffix}"
    from hpo.model.folder import drafted

    with drafted(folder) as draft, redirect_stdout(sys.stderr):  # what the objective prints is no answer
        made = _made(home, objective, chosen, allow_different)
        comparison = made.comparison
        draft.kept = comparison.verdict != "different" or allow_different
        if not draft.kept:
            return MadeModel(None, chosen.trial, comparison, made.remarks, {}, made.kept)
        from hpo.model.writing import write_model

        written = write_model(draft.folder, made.found.run, made.splits, _facts(chosen, made))
    remarks = (*made.remarks, *_of_members(chosen, written), *_of_threshold(made.found.run.threshold, written))
    if chosen.trial.state == "pruned":
        of = f"the model is that of epoch {chosen.until}, which has its value"
        remarks = (*remarks, f"the trial was stopped early: {of}; a confirmation trains its configuration to the end")
    return MadeModel(folder, chosen.trial, comparison, remarks, written, made.kept)


def confirmed_trial(home: Home, study: str) -> int:
    """Return the trial that won a study's latest confirmation.

    Raises UserError if there was none, or if it found the winner worse than the baseline.
    """
    found = confirmation_of(read_study(home, study))
    if found is None:
        raise UserError(f"the study {study!r} is not confirmed (hpo confirm {shlex.quote(study)} does it)")
    winner, baseline = found.winner, found.baseline
    if found.result.verdict == "worse":
        remedy = f"--trial {baseline.number} --register" if baseline.number is not None else "train that one"
        raise UserError(f"the winner of the confirmation, {winner.name}, is worse than {baseline.name} ({remedy})")
    if winner.number is None:
        raise UserError(f"the winner of the confirmation, {winner.name}, is no trial of {study!r}")
    return winner.number


def _trial_of(study: RecordedStudy, number: int | None) -> TrialRecord:
    """Return the trial to make a model of, with its steps. Raises UserError if it is not there, or has no value."""
    if number is None:
        number = best_of(study).number
    found = {trial.number: trial for trial in study.trials}
    if number not in found:
        remedy = f"they are numbered from 0 to {max(found)}" if found else "it has none yet"
        raise UserError(f"the study {study.name!r} has no trial {number} ({remedy})")
    trial = as_told(record_of(found[number]), study.live)
    if not trial.ranks:
        reasons = {"running": "it has not ended yet", "failed": trial.error or "no reason is recorded"}
        stopped = "it was stopped before its end" if trial.diverged is None else f"it diverged at step {trial.diverged}"
        why = reasons.get(trial.state, stopped)
        raise UserError(f"trial {trial.number} is {trial.state}, so it has no trained model ({why})")
    return trial


def _torch_objective(study: RecordedStudy) -> TorchObjective:
    """Return the study's objective. Raises UserError if it is none of which the platform knows the model."""
    remedy = "save it in your own code, or write the objective as a Torch task"
    sweep = study.sweep
    if sweep.program:
        raise UserError(f"{study.name!r} runs the program {sweep.program}: its model is its own ({remedy})")
    with redirect_stdout(sys.stderr):
        objective = build(named_of(sweep))
    from hpo.objective.torch_task import TorchObjective

    if not isinstance(objective, TorchObjective):
        raise UserError(f"{study.name!r} runs the function {sweep.objective}: its model is its own ({remedy})")
    return objective


def _manner(home: Home, chosen: _Chosen) -> tuple[Manner, tuple[str, ...]]:
    """Return how the trial is to train, and what there is to say of it."""
    from hpo.objective.retrain import Manner

    engine, trial = chosen.study.config.get("engine", {}), chosen.trial
    threads = chosen.threads
    parts = int(trial.info.get("batch_parts", 1))
    if chosen.on != "train":
        remarks = []
        if trial.params.get("schedule") == "reduce_on_plateau":
            remarks.append("its schedule looks at the validation loss, which is now of rows that it trains on")
        return Manner(parts=parts, threads=threads), tuple(remarks)
    stack, found = stack_of(home, chosen.study.name, chosen.study.config, trial)
    compile, by_itself = bool(engine.get("compile")), stacked_by_itself(trial)
    if not stack and not by_itself:
        return Manner(parts=parts, threads=threads), tuple(found)
    beside = beside_of(Stack(**stack)) if stack else None
    return Manner(beside, by_itself, compile, parts, threads), tuple(found)


def _made(home: Home, objective: TorchObjective, chosen: _Chosen, allow_different: bool) -> _Made:
    """Make the model. Raises UserError with the reason if that is not possible.

    allow_different: it will be kept even if it is different; kept weights beside what is fitted on other data now would
    be no model of anything, so it is trained then.
    """
    file, why = kept_weights(home, chosen.study, chosen.trial) if chosen.on == "train" else (None, "")
    if file is not None:
        try:
            made = _restore(objective, chosen, file)
            if made.comparison.verdict != "different" or not allow_different:
                return made
            why = f"{made.comparison.told}: they are left aside"
        except (UserError, KeyboardInterrupt):
            raise
        except RAISED as error:
            why = f"the weights in {file} can't be used: {one_line(error)}"
    manner, remarks = _manner(home, chosen)
    found, splits = _train(objective, chosen, manner)
    remarks = (*((why,) if why else ()), *remarks)
    in_stack = manner.stacked or manner.beside is not None
    return _Made(found, splits, _compared(chosen, found), remarks, in_stack=in_stack)


def _restore(objective: TorchObjective, chosen: _Chosen, file: Path) -> _Made:
    from hpo.objective.retrain import with_weights

    objective.prepare()
    splits = objective.rows.of(chosen.spec, Member(0, objective.beginning.members))
    found = with_weights(objective.beginning, chosen.spec, file, chosen.threads)
    return _Made(found, splits, _measured_again(chosen, found), (), kept=True, in_stack="stack" in chosen.trial.info)


def _train(objective: TorchObjective, chosen: _Chosen, manner: Manner) -> tuple[Retrained, Splits]:
    from hpo.objective.beginning import Beginning
    from hpo.objective.retrain import on_both, retrain

    trial, spec = chosen.trial, chosen.spec
    try:
        objective.prepare()
        beginning = objective.beginning
        splits = objective.rows.of(spec, Member(0, beginning.members))
        if chosen.on != "train":
            splits = on_both(splits)
            beginning = Beginning(objective.task, lambda trial, member: splits, members=1)
        found = retrain(beginning, spec, manner, chosen.until)
    except (UserError, KeyboardInterrupt):
        raise
    except RAISED as error:
        raise UserError(f"trial {trial.number} can't be trained again: {one_line(error)}") from error
    threshold = found.run.threshold
    if chosen.on != "train" and threshold.is_chosen:  # on rows that were not trained on, which are none any more
        threshold.probability = chosen.steps[max(chosen.steps)]["val_threshold"]
    if found.end is not None:
        what = f"diverged in epoch {found.end.epoch}" if isinstance(found.end, Diverged) else "ended early"
        raise UserError(f"trial {trial.number} {what} this time, so there is no model")
    return found, splits


def _compared(chosen: _Chosen, found: Retrained) -> Likeness:
    trial, metric = chosen.trial, chosen.study.sweep.metric.name
    if chosen.on != "train":
        told = "trained on the rows of training and validation: nothing has measured this model"
        return Likeness("none", f"{told} (without the latter, {metric} was {show(trial.value)})")
    # What was recorded is compared: this release may measure more.
    steps = chosen.steps
    equal = (metrics.items() <= found.reports.get(step, {}).items() for step, metrics in steps.items())
    if steps and all(equal):
        count = len(steps)
        what = f"all {count} epochs" if count > 1 else "its epoch"
        what += f" up to epoch {chosen.until}, whose model this is," if chosen.until is not None else ""
        return Likeness("equal", f"every metric of {what} is the study's, to the last digit")
    last = found.reports[max(found.reports)] if found.reports else {}
    then = steps[max(steps)] if steps else {metric: trial.value or 0.0}
    away = {name: _away(last.get(name), value) for name, value in then.items()}
    worst = max(away, key=lambda name: away[name])
    if away[worst] > ROUNDING:
        why = f"have the data or the objective's code changed since?{_changes(chosen)}"
        told = f"{worst} is {show(last.get(worst))} now, but {show(then[worst])} in the study ({why})"
        return Likeness("different", told)
    if away[worst] == 0:
        return Likeness("rounding", "the last epoch's metrics are the study's; earlier ones differ by rounding")
    told = f"the furthest is {worst}, {last[worst]!r} now and {then[worst]!r} in the study"
    return Likeness("rounding", f"the metrics are the study's to rounding: {told}")


def _measured_again(chosen: _Chosen, found: Retrained) -> Likeness:
    """Compare what kept weights give on the validation rows. One model measures with other roundings than a stack."""
    now, last = found.reports[max(found.reports)], _own_last(chosen, found)
    away = {name: _away(now.get(name), value) for name, value in last.items() if name.startswith("val_")}
    worst = max(away, key=lambda name: away[name], default="")
    if not worst or away[worst] == 0:
        return Likeness("equal", "the weights that it left give the study's validation metrics, to the last digit")
    if away[worst] > ROUNDING:
        why = f"have the data or the objective's code changed since?{_changes(chosen)}"
        told = f"the weights that it left give {worst} {show(now.get(worst))} now, but {show(last[worst])} in the study"
        return Likeness("different", f"{told} ({why})")
    told = f"the furthest is {worst}, {now[worst]!r} now and {last[worst]!r} in the study"
    return Likeness("rounding", f"the weights that it left give the study's validation metrics to rounding: {told}")


def _own_last(chosen: _Chosen, found: Retrained) -> dict[str, float]:
    """Return what the study has of the model's own metrics in its epoch."""
    steps = chosen.steps
    return of_member(steps[max(steps)], found.run.member) if steps else {}


def _of_members(chosen: _Chosen, written: Mapping[str, Any]) -> Iterator[str]:
    """Say which of a trial's trainings became the model, if it has several."""
    if (members := written.get("members", 1)) > 1:
        name = chosen.study.sweep.metric.name
        own = f"its own {name} is {show(written['metrics'].get(name))}"
        yield f"the model is that of the first of the trial's {members} members; {own}, the trial's value is their mean"


def _of_threshold(threshold: Threshold, written: Mapping[str, Any]) -> Iterator[str]:
    """Say from which probability on a model calls a row class 1, if that is not one half."""
    if written["kind"] == "binary" and threshold.probability != HALF:
        name = repr(str(written["classes"][1])) if written["classes"] else "class 1"
        how = ", as it was chosen on the validation rows" if threshold.is_chosen else ""
        yield f"a row is {name} where its probability of that is above {show(threshold.probability)}{how}"


def _away(now: float | None, then: float) -> float:
    return float("inf") if now is None else abs(now - then) / max(1.0, abs(then))


def _changes(chosen: _Chosen) -> str:
    """Return which versions have changed since the sweep, as "; ..."."""
    now = provenance.versions()
    then = chosen.versions.items()
    changed = [f"{name} {now.get(name)}, was {version}" for name, version in then if now.get(name) != version]
    return f"; versions that have: {'; '.join(changed)}" if changed else ""


def _facts(chosen: _Chosen, made: _Made) -> dict[str, Any]:
    """Return what model.json says of the trial."""
    trial, metric, config = chosen.trial, chosen.study.sweep.metric, chosen.study.config
    reports, comparison, member = made.found.reports, made.comparison, made.found.run.member
    measured = None  # None: nothing has measured this model
    if made.kept:  # the training rows' were taken while it trained
        measured = {**_own_last(chosen, made.found), **reports[max(reports)]}
    elif chosen.on == "train" and reports:
        measured = of_member(reports[max(reports)], member)
    return {
        "study": chosen.study.name,
        "trial": trial.number,
        "seed": trial.seed,
        "params": dict(trial.params),
        "metric": {"name": metric.name, "goal": metric.goal},
        "value": trial.value,
        **({"epoch": chosen.until} if chosen.until is not None else {}),
        "trained_on": chosen.on,
        "metrics": measured,
        **({"member": 1, "members": member.of} if member.of > 1 else {}),
        "as_in_study": comparison.verdict,
        "comparison": comparison.told,
        "in_stack": made.in_stack,
        "weights_from": "the sweep, which kept them" if made.kept else "training again",
        "objective": config["objective"],
        "data": dict(config["data"]),
        "target": config["data"].get("target"),
        "versions": provenance.versions(),
        "versions_of_study": dict(chosen.versions),
        "commit": provenance.git_commit(),
        "made": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
    }
