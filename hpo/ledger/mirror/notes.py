"""What MLflow's descriptions say, as Markdown: of a trial's run, and of the parent run.

A person may write a description of their own in MLflow's page. It stays: only what the sweep itself has written is
replaced by something newer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hpo.ledger.mirror.links import link_to
from hpo.ledger.mirror.markdown import escaped, table
from hpo.ledger.study.confirmations import CONFIRMATION
from hpo.ledger.study.records import SweepRecord, TrialRecord
from hpo.ledger.study.words import result_of
from hpo.spec.space import show

NOTE = "mlflow.note.content"  # MLflow's tag with a description
WRITTEN = "hpo.description"  # the digest of the parent run's description as the sweep wrote it
_LONGEST = 7_500  # characters; MLflow takes 8,000
_MOST_PARAMETERS = 6  # columns of the top ten


class Leading(NamedTuple):
    """One of the best trials."""

    number: int
    value: float
    params: Mapping[str, Any]


def begun_note(sweep: SweepRecord, number: int) -> str:
    """Return the description of a trial's run at its start: what holds whatever becomes of it."""
    return f"**Trial {number}** of the sweep {escaped(sweep.study)}\n\n{_links(sweep, number)}"


def ended_note(sweep: SweepRecord, record: TrialRecord) -> str:
    """Return the description of a trial's run in the end: its result, its state and the reason for it."""
    result = result_of(record, sweep.metric, max(record.steps, default=None), record.last(sweep.metric))
    return _fitting(f"**Trial {record.number}: {escaped(result)}**\n\n{_links(sweep, record.number)}")


def parent_note(sweep: SweepRecord, outcome: str = "", leading: Sequence[Leading] = ()) -> str:
    """Return the parent run's description. outcome: of the sweep, once it has ended. leading: its best trials, the best
    first."""
    lines = [sweep.origin.description] if sweep.origin.description else []
    lines.append(
        f"{sweep.goal} **{escaped(sweep.metric)}** of {escaped(sweep.objective)} ({escaped(sweep.origin.source)})"
    )
    lines += [escaped(outcome)] if outcome else []
    if found := sweep.decision.get(CONFIRMATION):
        lines.append(f"Confirmed: **{found['result']['verdict']}** ({escaped(found['study'])})")
    lines.append(_links(sweep))
    if leading:
        lines.append(_top(sweep, leading))
    return _fitting("\n\n".join(lines))


def digest_of_note(text: str) -> str:
    """Return by what a description is known again."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _links(sweep: SweepRecord, number: int | None = None) -> str:
    if not sweep.linked:
        return "`hpo ui` shows it in the Optuna dashboard."
    study = f"[the sweep in the Optuna dashboard]({link_to('dashboard', sweep.study)})"
    if number is None:
        runs, charts = link_to("runs", sweep.study), link_to("charts", sweep.study)
        return f"{study} · [its runs, the best first]({runs}) · [charts]({charts})"
    trial = f"[trial {number} in the Optuna dashboard]({link_to('dashboard', sweep.study, number)})"
    return f"{trial} · {study} · [the sweep's run]({link_to('mlflow', sweep.study)})"


def _top(sweep: SweepRecord, leading: Sequence[Leading]) -> str:
    varied = [name for name, domain in sweep.config.get("parameters", {}).items() if domain.get("type") != "constant"][
        :_MOST_PARAMETERS
    ]
    rows = []
    for rank, trial in enumerate(leading, start=1):
        number = f"[{trial.number}]({link_to('mlflow', sweep.study, trial.number)})"
        values = [escaped(show(trial.params[name])) if name in trial.params else "" for name in varied]
        rows.append([str(rank), number if sweep.linked else str(trial.number), show(trial.value), *values])
    return table(["rank", "trial", sweep.metric, *varied], rows)


def _fitting(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} ..."
