"""A model that was made of a trial becomes a registered one: noted in the study first, then in MLflow."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from functools import partial

from hpo.ledger.mirror.health import ailment_of
from hpo.ledger.mirror.moved import correct_locations, old_locations
from hpo.ledger.mirror.process import restrain_mlflow
from hpo.ledger.mirror.rows import keys_of, mlflow_text
from hpo.ledger.sharing.ownership import owned
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.home import Home
from hpo.ledger.study.models import CHAMPION, MODELS, ModelRecord, models_of, with_model
from hpo.ledger.study.restored import find_study, sweep_of
from hpo.ledger.study.urls import masked
from hpo.review.make_model import MadeModel
from hpo.spec.faults import UserError


class NotRegistered(Exception):
    """MLflow could not be written; the model is, and the study knows that it is to be registered. remedy: in words."""

    def __init__(self, reason: str, first: str = "") -> None:
        """first: what must be done before the same call is made again."""
        super().__init__(reason)
        self.remedy = f"{first}the same command finishes it"


def register_model(home: Home, made: MadeModel, champion: bool = False) -> ModelRecord:
    """Log a model to MLflow with its trial's run, and register it under the study's name; once, however often it is
    asked for. Returns what the study has of it.

    made: a model that was written. champion: its version gets the alias `champion`, in place of any other.
    Raises UserError if it can't be registered (somebody runs the study; it has no program); NotRegistered with the
    reason if MLflow could not be written: the same call finishes it.
    """
    config = made.config
    if config["program"] is None:
        raise UserError(f"the model has no program ({config['no_program']}), so MLflow could not run it")
    study, number = config["study"], made.trial.number
    model = ModelRecord(number, config["trained_on"], config["weights_digest"], round(time.time(), 3), study)
    storage, found = find_study(home, study)
    sweep = sweep_of(study, found.user_attrs)
    with owned(home, sweep, storage) as ownership:
        book = StudyBook(sweep, home, storage)
        known = {each.key: each for each in models_of(book.attributes)}
        model = known.get(model.key, model)
        model = replace(model, alias=CHAMPION) if champion else model
        book.set_attribute(MODELS, with_model(book.attributes, model))
        try:
            model = _write(home, book, made, model)
        except (UserError, NotRegistered):
            raise
        except Exception as error:  # a server that is away, a full disk: of many kinds
            raise NotRegistered(masked(" ".join(f"{type(error).__name__}: {error}".split()))[:300]) from error
        ownership.renew()
        book.set_attribute(MODELS, with_model(book.attributes, model))
    return model


def _write(home: Home, book: StudyBook, made: MadeModel, model: ModelRecord) -> ModelRecord:
    """Write a model into MLflow; return it with MLflow's names of it."""
    restrain_mlflow()
    if (ailment := ailment_of(home, thorough=False)) is not None:
        doctor = f"`hpo doctor {shlex.quote(made.config['study'])}` says how to mend that; then "
        raise NotRegistered(ailment.text, "" if ailment.kind == "unreachable" else doctor)
    correct_locations(home, old_locations(home))  # else the files would go where a moved or copied home was
    from hpo.decision.mlflow_model import save_for_mlflow
    from hpo.ledger.mirror.registry import ModelRegistry, RunOfTrial
    from hpo.model.loaded import load_model

    assert made.folder is not None, "a model that was written has a folder"
    loaded = load_model(made.folder)
    run = RunOfTrial(
        str(book.attributes["id"]), str(book.attributes.get("mlflow_run_id", "")), made.trial.run_id, model.trial
    )
    keys = keys_of(made.trial.params)
    params = {keys[name]: mlflow_text(value) for name, value in made.trial.params.items()}
    model_id, version = ModelRegistry(home).write(model, run, params, partial(save_for_mlflow, loaded))
    return replace(model, model_id=model_id, version=version)
