"""Private names that the UIs' processes need, read from MLflow 3.17.2 and optuna-dashboard 0.21.0.

tests/review/test_ui.py and test_ui_study.py fail if one of them is gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from hpo.lazy import quick_imports

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

    from hpo.review.ui_notes import StudyNotes
    from hpo.review.ui_study import Common

_PRIVATE = "_MLFLOW_SERVER_"


def mlflow_application(tracking: str, artifacts: str | None, environment: MutableMapping[str, str] = os.environ) -> Any:
    """Return the ASGI application of an MLflow server, as `mlflow server` has it served by uvicorn.

    tracking: the address of its database; artifacts: where the files of new experiments go (None: MLflow's default).
    It reads both from the environment of the process, which can have one such server. Raises what MLflow raises if the
    database can't be used.
    """
    with quick_imports():
        from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR

    for name in [name for name in environment if name.startswith(_PRIVATE)]:  # of another server, which started this
        del environment[name]
    environment[BACKEND_STORE_URI_ENV_VAR] = environment[REGISTRY_STORE_URI_ENV_VAR] = tracking
    if artifacts is not None:
        environment[ARTIFACT_ROOT_ENV_VAR] = artifacts
    with quick_imports():
        from mlflow.server.fastapi_app import app
        from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(tracking, tracking, artifacts)
    return app


Notes = Callable[[int], "StudyNotes | None"]  # of a study, by its number; None: it is not hpo's


def dashboard_application(storage: BaseStorage, notes: Notes = lambda study: None) -> Any:
    """Return the WSGI application of an Optuna dashboard, which answers with what its page shows of a study.

    What is asked for is read through a storage that hides what the platform keeps for itself (ui_shown.py); what is
    written goes to the storage itself. A note that a person wrote stands in place of ours.

    Three functions of the dashboard's are replaced: the two that make the answers of a study, by ones that yield it in
    pieces (hpo/review/ui_study.py), and the one that finds what its trials have in common, which looks at each of them
    in each answer, with 60 parameters at 7,200 pairs. Raises AttributeError if the dashboard has no such functions.
    """
    with quick_imports():
        from optuna_dashboard import _app, _importance, _note, _serializer

    from hpo.review.ui_shown import ShownStorage
    from hpo.review.ui_study import Commons, pieces

    commons = Commons()
    head_of, trial_of = _serializer.serialize_study_detail, _serializer.serialize_frozen_trial
    # What is replaced has to be there: a new name would have no effect.
    _ = _app.serialize_study_detail, _app.get_cached_extra_study_property, _importance.get_cached_extra_study_property
    version_of = _note.note_ver_key

    def detail(
        study: Any, best_trials: Sequence[FrozenTrial], trials: Sequence[FrozenTrial], *more: Any
    ) -> Iterable[str]:
        system = study.system_attrs
        head = head_of(study, [], [], *more)
        ours = notes(study._study_id)
        if ours is not None and version_of(None) not in system:
            head["note"] = {"version": 0, "body": ours.of_study()}

        def shown(trial: FrozenTrial) -> dict[str, Any]:
            told: dict[str, Any] = trial_of(study._study_id, trial, system)
            if ours is not None and version_of(trial._trial_id) not in system:
                told["note"] = {"version": 0, "body": ours.of_trial(trial.number)}
            return told

        return pieces(head, {"best_trials": best_trials, "trials": trials}, shown)

    def common(_cache: Any, study_id: int, trials: Sequence[FrozenTrial]) -> Common:
        return commons.of(study_id, trials)

    _app.serialize_study_detail = detail
    _app.get_cached_extra_study_property = _importance.get_cached_extra_study_property = common
    reading, writing = _app.create_app(ShownStorage(storage)), _app.create_app(storage)

    def asked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        reads = environ.get("REQUEST_METHOD") in ("GET", "HEAD")
        return (reading if reads else writing)(environ, start_response)

    return asked
