"""A sweep's parent run in MLflow: how it is made, what it says of the sweep, how it ends. All can be called again.

Written through MlflowClient or LocalClient, never the fluent API, whose global state collides between sweeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from hpo.ledger.mirror.notes import (
    INTERRUPTED_NOTE,
    NOTE,
    WRITTEN,
    Leading,
    digest_of_note,
    is_of_the_sweep,
    note_with_verdict,
    parent_note,
    renamed_note,
)
from hpo.ledger.mirror.rows import Point, RunRows, confirmation_tags, dataset_rows, milliseconds, own_key, parent_name
from hpo.ledger.mirror.tracking import Client, log_batch, log_dataset, parent_of, write_parent_files
from hpo.ledger.mirror.view import KIND_TAG, VIEW_TAG, table_view
from hpo.ledger.study.records import SweepRecord


class MakesRuns(Protocol):
    """What makes a parent run: a writer of the trials' runs."""

    def make(self, rows: RunRows, run_id: str) -> str:
        """Make a run; return its id: this one if MLflow takes ids, and has no such run."""


def open_parent(client: Client, writer: MakesRuns, sweep: SweepRecord, experiment: str) -> str:
    """Find or make a sweep's parent run, and let it say that the sweep runs; return its id.

    One that was lost, or never here, gets the id that the study knows: files of that run are its files again.
    """
    if parent := parent_of(client, sweep, experiment):
        client.update_run(parent, "RUNNING")
    else:
        tags = {"hpo.kind": "sweep", "hpo.study": sweep.study, "hpo.objective": sweep.objective}
        tags["hpo.study_id"] = sweep.study_id
        tags |= {"mlflow.source.name": sweep.origin.source, "mlflow.source.type": "LOCAL"}
        parent = writer.make(RunRows(parent_name(sweep), milliseconds(sweep.began), tags, {}), sweep.parent)
    _set_view(client, experiment, sweep)
    tags = {f"version.{package}": version for package, version in sweep.origin.versions.items()}
    tags |= {"mlflow.source.git.commit": sweep.origin.commit} if sweep.origin.commit else {}
    tags |= {"mlflow.user": sweep.origin.user, **_description(client, parent, parent_note(sweep))}
    tags |= confirmation_tags(sweep)
    log_batch(client, parent, tags=tags)
    write_parent_files(client, parent, sweep)
    log_dataset(client, parent, dataset_rows(sweep, math.inf))
    return parent


def describe_parent(
    client: Client,
    parent: str,
    experiment: str,
    sweep: SweepRecord,
    summary: Mapping[str, Any] | None,
    runs: Mapping[int, str],
) -> None:
    """Let a parent run say what is known of its sweep by now beside the trials: references, a verdict.

    One of an older release, without a description, gets one, and its experiment the view. summary, runs: for that, as
    `close_parent` has them. Without a summary that is left to `hpo doctor --fix`, which knows the outcome.
    """
    known, tags = client.get_run(parent).data.tags.get(NOTE), confirmation_tags(sweep)
    if known is not None:
        tags |= _description(client, parent, note_with_verdict(known, sweep))
    elif summary is not None:
        _set_view(client, experiment, sweep)
        tags |= _description(client, parent, _closing_note(sweep, summary, runs))
    log_batch(client, parent, tags=tags)


def rename_parent(client: Client, parent: str, sweep: SweepRecord, old: str) -> None:
    """Let a parent run say what its sweep is called by now, in its name, unless somebody has given it another one, in
    its tags, and in its description's links."""
    run = client.get_run(parent)
    if run.info.run_name == parent_name(replace(sweep, study=old)):
        client.update_run(parent, name=parent_name(sweep))
    tags = {"hpo.study": sweep.study, **confirmation_tags(sweep)}
    if (known := run.data.tags.get(NOTE)) is not None:
        note = note_with_verdict(renamed_note(known, old, sweep.study), sweep)
        tags |= {NOTE: note} | ({WRITTEN: digest_of_note(note)} if is_of_the_sweep(run.data.tags) else {})
    log_batch(client, parent, tags=tags)


def close_parent(
    client: Client,
    parent: str,
    sweep: SweepRecord,
    status: str,
    summary: Mapping[str, Any],
    runs: Mapping[int, str],
) -> None:
    """End a parent run with what came out. runs: the ids of trials' runs, by trial."""
    if references := summary.get("references"):
        sweep = replace(sweep, references=references)
        write_parent_files(client, parent, sweep)
    moment = milliseconds(time.time())
    points = [Point(own_key(k), float(v), moment, 0) for k, v in summary.items() if isinstance(v, int | float)]
    tags = {f"hpo.{key}": value for key, value in summary.items() if isinstance(value, str) and key != "outcome"}
    note = _closing_note(sweep, summary, runs)
    log_batch(client, parent, points, tags={**tags, **_description(client, parent, note)})
    client.set_terminated(parent, status)


def interrupt_parent(client: Client, parent: str, sweep: SweepRecord, is_run: Callable[[], bool]) -> None:
    """End a parent run whose sweep was cut off, unless another driver has ended or described it meanwhile.

    is_run: returns whether a driver runs the sweep again. One that comes while this is written, to a slow server, gets
    the run back as it has opened it.
    """
    run = client.get_run(parent)
    if run.info.status != "RUNNING" or _is_described_anew(run.data.tags, sweep) or is_run():
        return
    client.set_terminated(parent, "KILLED")
    if not is_run():
        log_batch(client, parent, tags=_description(client, parent, parent_note(sweep, INTERRUPTED_NOTE)))
        if not is_run():
            return
        log_batch(client, parent, tags=_description(client, parent, parent_note(sweep)))
    client.update_run(parent, "RUNNING")


def _set_view(client: Client, experiment: str, sweep: SweepRecord) -> None:
    client.set_experiment_tag(experiment, VIEW_TAG, table_view(sweep))
    client.set_experiment_tag(experiment, *KIND_TAG)


def _closing_note(sweep: SweepRecord, summary: Mapping[str, Any], runs: Mapping[int, str]) -> str:
    leading = [Leading(*trial) for trial in summary.get("top", ())]
    return parent_note(sweep, summary.get("outcome", ""), leading, runs)


def _is_described_anew(tags: Mapping[str, str], sweep: SweepRecord) -> bool:
    """Whether a sweep's driver, not a person, has written another description than `open_parent`; a verdict that came
    meanwhile does not count."""
    note = tags.get(NOTE)
    if note is None or not is_of_the_sweep(tags):
        return False
    return note_with_verdict(note, sweep) != parent_note(sweep)


def _description(client: Client, parent: str, text: str) -> dict[str, str]:
    """Return the tags with the parent run's description; none if somebody has written another one."""
    ours = is_of_the_sweep(client.get_run(parent).data.tags)
    return {NOTE: text, WRITTEN: digest_of_note(text)} if ours else {}
