"""The repairs behind `hpo doctor --fix`: the study is the truth, all else is made as it says.

Whoever repairs owns the study. Everything can be called again: what is right already is left alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo.ledger.doctor.audit import Audit
from hpo.ledger.doctor.audit_mlflow import MlflowState
from hpo.ledger.mirror.moved import correct_locations, old_locations
from hpo.ledger.study.book import StudyBook
from hpo.ledger.study.home import Home
from hpo.ledger.study.records import TrialRecord, record_of
from hpo.ledger.study.settling import settle
from hpo.ledger.study.urls import masked
from hpo.model.folder import settle as settle_model
from hpo.spec.faults import UserError
from hpo.spec.sweep import Sweep

if TYPE_CHECKING:
    from hpo.ledger.mirror.book import MlflowBook

Summarize = Callable[[Sweep, Sequence[TrialRecord], float], Mapping[str, Any]]


def mend_store(home: Home, found: Audit) -> list[str]:
    """Make MLflow usable where it is not: replace a database, bring an experiment back. What is in it is for `repair`.

    Returns what was done; after anything, the audit has to be made again.
    """
    kind = found.ailment.kind if found.ailment is not None else ""
    try:
        if kind in ("missing", "broken", "unfinished") and (home.mlflow_database is not None or kind == "missing"):
            from hpo.ledger.mirror.mending import mend_database

            return mend_database(home, kind)
        if found.findings.counts["mlflow.moved"]:
            return correct_locations(home, old_locations(home))
        if found.mlflow is not None and found.findings.counts["mlflow.experiment"]:
            return _restore_experiment(home, found.mlflow.experiment)
    except Exception as error:  # what is left undone, the next audit finds
        return [_not_repaired(error)]
    return []


def _not_repaired(error: Exception) -> str:
    return f"MLflow could not be repaired: {masked(' '.join(str(error).split()))[:300]}"


def _restore_experiment(home: Home, experiment: str) -> list[str]:
    """Bring back an experiment; "": there is none."""
    from mlflow import MlflowClient

    if not experiment:
        return []
    client = MlflowClient(home.tracking_uri)
    client.restore_experiment(experiment)
    return [f"the experiment {client.get_experiment(experiment).name!r} was restored"]


def repair(home: Home, found: Audit, alive: Callable[[], object], summarize: Summarize) -> list[str]:
    """Make MLflow and the disk as the study says; return what was done.

    alive: called now and then. summarize: what the parent run says in the end, of the sweep, its trials and seconds.
    """
    study = StudyBook(found.sweep, home)
    done: list[str] = []
    left = {trial.number for trial in found.left}
    with study.together():
        settled = [settle(study, found.sweep, trial, time.time()) for trial in study.trials() if trial.number in left]
        for record in settled:
            if record.run_id:
                study.end(record)
            what = "interrupted, the next hpo sweep runs it again" if record.interrupted else record.state
            done.append(f"trial {record.number} was settled: {what}")
    nameless = [record for record in settled if not record.run_id]
    mlflow = _MlflowRepair(home, found, study, alive)
    try:
        done += mlflow.carry_out(settled, summarize)
    except UserError:  # the study is another's by now
        raise
    except Exception as error:  # what is left undone, the next audit finds
        done.append(_not_repaired(error))
    with study.together():
        for record in nameless:
            record.run_id = mlflow.run_ids.get(record.number, "")
            study.end(record)
        if mlflow.parent:
            study.set_attribute("mlflow_run_id", mlflow.parent)
    return done + _remove(found.leftovers)


def _remove(leftovers: Sequence[Path]) -> list[str]:
    done = []
    for path in leftovers:
        if path.is_dir():
            settle_model(path)
            done.append(f"{path} was cleared up")
            continue
        path.unlink(missing_ok=True)
        done.append(f"{path} was removed")
        with contextlib.suppress(OSError):  # it holds others
            if path.parent.parent.name in ("checkpoints", "kept", "test_outputs"):
                path.parent.rmdir()
    return done


class _MlflowRepair:
    """Writes into MLflow what the audit found missing or wrong."""

    def __init__(self, home: Home, found: Audit, study: StudyBook, alive: Callable[[], object]) -> None:
        self._home = home
        self._found = found
        self._study = study
        self._alive = alive
        self.run_ids: dict[int, str] = {}  # that MLflow gave
        self.parent = ""

    def carry_out(self, settled: Sequence[TrialRecord], summarize: Summarize) -> list[str]:
        """Return what was done. settled: trials whose ends were noted after the audit; the study in hand may have
        forgotten them but for their states."""
        state = self._found.mlflow
        if state is None or not (settled or self._has_to_do(state)):
            return []
        from mlflow import MlflowClient

        from hpo.ledger.mirror.book import MlflowBook
        from hpo.ledger.mirror.tracking import write_parent_files

        book = MlflowBook(self._home, self._alive)
        book.prepare()
        done = self._clear(state, book.takes_ids)
        done += self._open_parent(book, state)
        done += self._rename(state)
        if state.files:
            write_parent_files(MlflowClient(self._home.tracking_uri), self.parent, self._found.sweep_record)
            done.append("the parent run's files were written")
        records = {t.number: record_of(t, history=False) for t in self._study.trials()}
        records |= (ends := {record.number: record for record in settled})
        write = state.write | ends.keys() | (state.misnamed.keys() if book.takes_ids else set())
        book.rewrite({number for number in write if records[number].state != "running"})
        self.run_ids = book.new_run_ids()
        done += [f"the runs of {len(write)} trials were written"] if write else []
        ended = [record for record in records.values() if record.state != "running"]
        if state.curve or not state.parent or settled:
            book.redraw_best_curve(ended)
        summary = summarize(self._found.sweep, ended, float(self._found.attributes.get("seconds", 0.0)))
        if state.describe:
            book.describe(self._found.sweep_record, summary=summary)
            done.append("the parent run was described")
        if not state.parent or settled or state.unclosed:  # settled: its summary is of fewer trials
            full = sum(record.counts for record in ended) >= self._found.sweep.budget.trials
            book.close("FINISHED" if full else "KILLED", dict(summary))
            done.append("the parent run was ended")
        return done

    def _has_to_do(self, state: MlflowState) -> bool:
        parent = state.parent and state.parent_active and not state.unclosed
        noted = self._found.attributes.get("mlflow_run_id") == state.parent
        runs = state.write or state.misnamed or state.delete or state.former or state.verdict
        return bool(runs or state.curve or state.files or state.describe or not parent or not noted)

    def _clear(self, state: MlflowState, takes_ids: bool) -> list[str]:
        """Delete runs that are too many, or that can't be put right."""
        from mlflow import MlflowClient

        client = MlflowClient(self._home.tracking_uri)
        wrong = state.misnamed if takes_ids else state.replace
        gone = list(dict.fromkeys([*state.delete, *wrong.values()]))
        for run_id in gone:
            client.delete_run(run_id)
            self._alive()
        if state.parent and not state.parent_active:
            client.restore_run(state.parent)
        return [f"{len(gone)} runs were deleted (MLflow keeps them as deleted): {', '.join(gone[:5])}"] if gone else []

    def _rename(self, state: MlflowState) -> list[str]:
        """Let go by the study's name what goes by one that it had before."""
        from hpo.ledger.mirror.renamed import rename_in_mlflow, tell_again

        sweep, notes = replace(self._found.sweep_record, parent=self.parent), []
        for old in state.former:
            trials = (trial for trial in self._found.trials if trial.state.is_finished())
            notes += rename_in_mlflow(self._home, sweep, old, map(record_of, trials), self._alive) or []
            notes.append(f"what was called after {old!r} is called after {sweep.study!r}")
        if state.verdict:
            tell_again(self._home, [sweep])
            notes.append("the parent run tells of the study's own latest confirmation, if there is one")
        return notes

    def _open_parent(self, book: MlflowBook, state: MlflowState) -> list[str]:
        if state.parent:
            book.adopt(self._found.sweep_record, state.parent)
        else:
            book.open(self._found.sweep_record, [])
        self.parent = book.parent_id
        return [] if state.parent else ["the parent run was made"]
