"""A trial's model for a script or a notebook: made in a process of its own, as `hpo model` does."""

from __future__ import annotations

import multiprocessing
import os
import traceback
import warnings
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.study.home import Home
from hpo.objective import live
from hpo.review.studies import RecordedStudy
from hpo.spawning import start_process
from hpo.spec.faults import UserError

if TYPE_CHECKING:
    from hpo.model.loaded import LoadedModel


def retrained(home: Home, study: RecordedStudy, options: Mapping[str, Any]) -> LoadedModel:
    """Train a trial again in another process, and return its model, which is written into a folder.

    options: of hpo.review.make_model.make_model, all but the home and the study. Warns of what it remarks, unless the
    model is all of the trial, to the last digit. Raises UserError with its reason if there is no model, RuntimeError
    with its traceback for anything else.
    """
    from hpo.model.loaded import load_model

    sweep = study.sweep
    folder = sweep.source.resolve().parent
    packed = live.packed(sweep.objective, folder)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = start_process(
        _make, (theirs, home, study.name, dict(options), (sweep.objective, folder, packed)), "model"
    )
    theirs.close()
    try:
        kind, content = ours.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process that makes the model has died (exit code {process.exitcode})") from None
    finally:
        ours.close()
        process.kill()  # it has said all, or nobody wants to hear the rest
        process.join()
    if kind == "refused":
        raise UserError(content)
    if kind == "failed":
        raise RuntimeError(f"making the model failed:\n{content}")
    model_folder, remarks = content
    for remark in remarks:
        warnings.warn(remark, UserWarning, stacklevel=3)
    return load_model(model_folder)


def _make(
    connection: Connection,
    home: Home,
    study: str,
    options: dict[str, Any],
    objective: tuple[str | None, Path, bytes | None],
) -> None:
    """Make the model, and tell what came of it: a kind (`made`, `refused`, `failed`) and its content."""
    from hpo.engines.worker import thread_variables

    os.environ.update(thread_variables(1))  # before any numerical library reads them, as in a worker
    try:
        connection.send(_outcome(home, study, options, objective))
    except UserError as error:
        connection.send(("refused", str(error)))
    except Exception:
        connection.send(("failed", traceback.format_exc()))


def _outcome(
    home: Home, study: str, options: dict[str, Any], objective: tuple[str | None, Path, bytes | None]
) -> tuple[str, Any]:
    from hpo.review.make_model import make_model

    reference, folder, packed = objective
    kept = live.unpacked(packed, reference, folder) if packed is not None and reference is not None else None
    made = make_model(home, study, **options)
    del kept  # known by its name until here
    if made.folder is None:
        told = f"{made.comparison.told}; no model was made (allow_different=True makes it all the same)"
        return "refused", f"trial {made.trial.number} of study {study!r}: {told}"
    is_all = made.comparison.verdict == "equal" and made.config.get("members", 1) == 1
    return "made", (made.folder, () if is_all else made.remarks)
