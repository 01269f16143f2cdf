"""A study that is called otherwise by now is called so in MLflow, too. All can be called again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from hpo.ledger.mirror.bulk import BulkWriter, why_not
from hpo.ledger.mirror.client import ClientWriter
from hpo.ledger.mirror.health import is_database
from hpo.ledger.mirror.parent import describe_parent, rename_parent
from hpo.ledger.mirror.rows import VERDICT, VERDICT_TAGS, RunOrder, begun_rows, ended_rows, own_key, run_name
from hpo.ledger.mirror.tracking import experiment_of, parent_of, write_parent_files
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import SweepRecord, TrialRecord

_AT_ONCE = 64  # runs in one write


def rename_in_mlflow(
    home: Home, sweep: SweepRecord, old: str, records: Iterable[TrialRecord], alive: Callable[[], object]
) -> list[str] | None:
    """Give a sweep's experiment and runs its new name, which `sweep` has, in their names, tags, descriptions and files.
    What a person has called otherwise keeps its name. Returns notes for the user; None if there is no such run.

    records: of all its trials, with their steps. alive: called now and then. Raises what MLflow's client raises.
    """
    client = _client(home)
    experiment = experiment_of(client, sweep.parent, sweep.study_id)
    if experiment is None:  # nothing to rename: what MLflow lacks is written by the new name
        return None
    notes = []
    if experiment.name == old:
        if client.get_experiment_by_name(sweep.study) is None:
            client.rename_experiment(experiment.experiment_id, sweep.study)
        else:
            notes.append(f"MLflow has another experiment {sweep.study!r}: this study's stays {old!r} there")
    sweep = replace(sweep, on_server="" if is_database(home.tracking_uri) else experiment.experiment_id)
    parent = parent_of(client, sweep, experiment.experiment_id) or sweep.parent
    rename_parent(client, parent, sweep, old)
    write_parent_files(client, parent, sweep)
    writer = (ClientWriter if why_not(client) else BulkWriter)(client, experiment.experiment_id)
    runs = {child.number: child.run_id for child in writer.children(parent)}
    orders: list[RunOrder] = []
    for record in records:
        if run_id := runs.get(record.number):
            orders.append(_order(sweep, old, parent, record, run_id))
        if len(orders) == _AT_ONCE:
            _write(writer, orders, old)
            orders = []
            alive()
    _write(writer, orders, old)
    return notes


def tell_again(home: Home, sweeps: Sequence[SweepRecord]) -> None:
    """Have the parent runs of other sweeps say anew which studies confirm or are confirmed. Raises what MLflow's client
    raises."""
    client = _client(home)
    for sweep in sweeps:
        if (experiment := experiment_of(client, sweep.parent, sweep.study_id)) is not None:
            on_server = "" if is_database(home.tracking_uri) else experiment.experiment_id
            parent = parent_of(client, sweep, experiment.experiment_id) or sweep.parent
            _withdraw_verdict(client, experiment.experiment_id, parent)
            describe_parent(client, parent, experiment.experiment_id, replace(sweep, on_server=on_server), None, {})
            write_parent_files(client, parent, sweep)


def _withdraw_verdict(client: MlflowClient, experiment: str, parent: str) -> None:
    """Take back what a parent run says of a confirmation: it may be none any more, or an earlier one. A server keeps
    the metrics."""
    run = client.get_run(parent)
    for key in VERDICT_TAGS:
        if key in run.data.tags:
            client.delete_tag(parent, key)
    writer = (ClientWriter if why_not(client) else BulkWriter)(client, experiment)
    for key in [key for key in run.data.metrics if key.startswith(f"{own_key('confirm')}/")]:
        writer.replace_points(parent, key, [])
    if any(file.path == VERDICT for file in client.list_artifacts(parent)):
        repository = get_artifact_repository(run.info.artifact_uri)
        repository.delete_artifacts(VERDICT)  # type: ignore[no-untyped-call]


def _client(home: Home) -> MlflowClient:
    return MlflowClient(tracking_uri=home.tracking_uri, registry_uri=home.tracking_uri)


def _order(sweep: SweepRecord, old: str, parent: str, record: TrialRecord, run_id: str) -> RunOrder:
    """Return what changes of a run: nothing of its params, metrics and state."""
    rows_of = begun_rows if record.state == "running" else ended_rows
    before, after = rows_of(replace(sweep, study=old), parent, record), rows_of(sweep, parent, record)
    rows = replace(after, params={}, points=[], traceback="", data=None, notes=(*before.notes, *after.notes))
    return RunOrder(record.number, rows, run_id, exists=True)


def _write(writer: ClientWriter | BulkWriter, orders: Sequence[RunOrder], old: str) -> None:
    if orders:
        writer.rename({order.run_id: (run_name(old, order.number), order.rows.name) for order in orders})
        writer.write(orders)
