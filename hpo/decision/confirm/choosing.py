"""Which confirmation is to be run: who is trained over how many seeds, and whether that was begun before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo.decision.confirm.contenders import contenders_of
from hpo.decision.confirm.plan import confirming_names, free_name, fresh_seeds, takes_seed
from hpo.decision.confirm.records import all_studies, give_up
from hpo.ledger.outputs import KeptOutputs
from hpo.ledger.study.confirmations import Confirming, Contender, confirming, is_given_up, names_in
from hpo.ledger.study.home import Home
from hpo.objective.build import inspect, named_of
from hpo.review.studies import RecordedStudy, read_study
from hpo.spec.faults import SpecError, UserError
from hpo.spec.named import Inspection
from hpo.spec.sweep import TRAINABLE
from hpo.standing import SweepListener

TOP, SEEDS = 3, 5  # where neither the command nor the sweep file says it


@dataclass(frozen=True)
class ConfirmWish:
    """What is asked for. None: what the sweep file says, else the default. engine: keys in place of its section's."""

    top: int | None = None
    seeds: int | None = None
    against: int | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A confirmation that is to be run, or gone on with. name: of the confirming study."""

    name: str
    what: Confirming


def inspected(study: RecordedStudy) -> Inspection:
    """Return what is known of a study's objective. Raises UserError if it can't be trained from here."""
    if study.sweep.objective == TRAINABLE:
        raise UserError(
            f"{study.name!r} was run by Ray Tune: its trainable is in your script, and can't be trained from here"
        )
    inspection = inspect(named_of(study.sweep))
    if inspection.faults:
        raise SpecError(inspection.faults, study.sweep.source)
    return inspection


def wanted(study: RecordedStudy, wish: ConfirmWish, inspection: Inspection) -> tuple[tuple[Contender, ...], int]:
    """Return who is trained, and over how many seeds."""
    in_file = study.config.get("confirm") or {}
    top = wish.top if wish.top is not None else int(in_file.get("top", TOP))
    seeds = wish.seeds if wish.seeds is not None else int(in_file.get("seeds", SEEDS))
    return contenders_of(study, top, wish.against, inspection.contract), seeds


def chosen(
    home: Home,
    study: RecordedStudy,
    contenders: tuple[Contender, ...],
    seeds: int,
    inspection: Inspection,
    listener: SweepListener,
) -> Started:
    """Return the confirmation of these contenders that there is, or a new one."""
    studies = all_studies(study.storage)
    study_id = str(study.attributes["id"])
    for name in confirming_names(study.name, study_id, studies):
        what = confirming(studies[name])
        assert what is not None
        if not what.is_of(study.name, study_id, contenders, seeds) or is_given_up(studies[name]):
            continue
        if not _lost(home, name, what):
            return Started(name, what)
        listener.note(f"what the models of {name!r} said of the test rows is gone: it begins anew", warning=True)
        give_up(home, name)
    name = free_name(study.name, {*studies, *names_in(study.attributes)})
    used = [int(trial.user_attrs["seed"]) for trial in study.trials if "seed" in trial.user_attrs]
    torch_task = inspection.contract is not None
    what = Confirming(
        study=study.name,
        study_id=study_id,
        contenders=contenders,
        seeds=fresh_seeds(study.sweep.seed, name, seeds, used),
        takes_seed=takes_seed(study.sweep, inspection.contract),
        outputs=torch_task,
        parent=str(study.attributes.get("mlflow_run_id", "")),
    )
    return Started(name, what)


def _lost(home: Home, name: str, what: Confirming) -> bool:
    """Whether complete trials of a confirming study lack what they have left."""
    if not what.outputs:
        return False
    confirming_study = read_study(home, name)
    kept = KeptOutputs(home.outputs / str(confirming_study.attributes["id"]))
    return any(
        trial.state.name == "COMPLETE" and not kept.of(trial.number).is_file() for trial in confirming_study.trials
    )
