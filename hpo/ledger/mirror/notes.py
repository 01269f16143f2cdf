"""What MLflow's descriptions say, as Markdown: of a trial's run, and of the parent run.

A person may write a description of their own in MLflow's page. It stays: only what the sweep itself has written is
replaced by something newer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlencode

from hpo.ledger.mirror.links import link_to, run_page, runs_page
from hpo.ledger.mirror.markdown import escaped, table
from hpo.ledger.study.confirmations import CONFIRMATION
from hpo.ledger.study.records import SweepRecord, TrialRecord
from hpo.ledger.study.references import REFERENCES, compared, references_of, sanity_lines
from hpo.ledger.study.words import result_of
from hpo.spec.space import show

NOTE = "mlflow.note.content"  # MLflow's tag with a description
WRITTEN = "hpo.description"  # the digest of the parent run's description as the sweep wrote it
INTERRUPTED_NOTE = "interrupted: whoever runs this study again goes on with it"
_LONGEST = 7_500  # characters; MLflow takes 8,000
_SHORTEST = 100  # characters of a description of the sweep's that are worth having
_CONFIRMED = "Confirmed: **"
_STUDY_LINK = "[the sweep in the Optuna dashboard]"
_NO_LINK = "`hpo ui` shows it in the Optuna dashboard"
_TARGETS = re.compile(r"\]\([^()]*\)")
_MOST_PARAMETERS = 6  # columns of the top ten
_TABLE_WIDTH = 58  # characters of these and the metric: MLflow's page is cut off beside a wider table


class Leading(NamedTuple):
    """One of the best trials."""

    number: int
    value: float
    params: Mapping[str, Any]


def begun_note(sweep: SweepRecord, number: int, parent: str = "") -> str:
    """Return the description of a trial's run at its start: what holds whatever becomes of it. parent: the id of the
    parent run."""
    return f"**Trial {number}** of the sweep {escaped(sweep.study)}\n\n{_links(sweep, number, parent)}"


def ended_note(sweep: SweepRecord, record: TrialRecord, parent: str = "") -> str:
    """Return the description of a trial's run in the end: its result, its state and the reason for it."""
    result = result_of(record, sweep.metric, max(record.steps, default=None), record.last(sweep.metric))
    return _fitting(f"**Trial {record.number}: {escaped(result)}**\n\n{_links(sweep, record.number, parent)}")


def parent_note(
    sweep: SweepRecord,
    outcome: str = "",
    leading: Sequence[Leading] = (),
    runs: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """Return the parent run's description. outcome: of the sweep, once it has ended. leading: its best trials, the best
    first. runs: the ids of trials' runs, by trial."""
    lines = [f"{sweep.goal} **{escaped(sweep.metric)}** of {escaped(sweep.objective)} ({escaped(sweep.origin.source)})"]
    lines += [escaped(outcome)] if outcome else []
    if leading:
        beside = references_of({REFERENCES: sweep.references})
        rows = compared(beside, sweep.metric, sweep.goal, leading[0].value)
        lines += [escaped(line) for line in sanity_lines(rows, leading[0].value)]
    lines += _verdict(sweep)
    lines.append(_links(sweep))
    if leading:
        lines.append(_top(sweep, leading, runs))
    text = _fitting("\n\n".join(lines))
    room = _LONGEST - len(text)  # a person's own words are cut first
    if not sweep.origin.description or room < _SHORTEST:
        return text
    return f"{_fitting(sweep.origin.description, room - 6)}\n\n{text}"


def note_with_verdict(note: str, sweep: SweepRecord) -> str:
    """Return a parent run's description with the latest verdict on its sweep in place of an earlier one; all else of it
    stays. note: as `parent_note` has made it, of this release or of an earlier one."""
    parts = note.split("\n\n")
    links = [index for index, part in enumerate(parts) if part.startswith((_STUDY_LINK, _NO_LINK))]
    place = links[-1] if links else len(parts)  # the last: a person's own words come first
    before = parts[:place]
    if before[-1:] and before[-1].startswith(_CONFIRMED):
        before.pop()
    return _fitting("\n\n".join([*before, *_verdict(sweep), *parts[place:]]))


def renamed_note(note: str, old: str, new: str) -> str:
    """Return a description whose links lead to a study by its new name."""
    before, after = (urlencode({"study": name}) for name in (old, new))
    return re.sub(rf"{re.escape(before)}(?=[&)])", lambda found: after, note)


def same_note(one: str, other: str) -> bool:
    """Whether two descriptions say the same, wherever their links lead."""
    return _TARGETS.sub("", one) == _TARGETS.sub("", other)


def is_of_the_sweep(tags: Mapping[str, str]) -> bool:
    """Whether a parent run with these tags has no description, or one that no person has changed."""
    return NOTE not in tags or WRITTEN not in tags or tags[WRITTEN] == digest_of_note(tags[NOTE])


def says_interrupted(tags: Mapping[str, str]) -> bool:
    """Whether a parent run with these tags is described by the sweep, as one that was interrupted."""
    return is_of_the_sweep(tags) and escaped(INTERRUPTED_NOTE) in tags.get(NOTE, "")


def digest_of_note(text: str) -> str:
    """Return by what a description is known again."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _verdict(sweep: SweepRecord) -> list[str]:
    found = sweep.decision.get(CONFIRMATION)
    return [f"{_CONFIRMED}{found['result']['verdict']}** ({escaped(found['study'])})"] if found else []


def _links(sweep: SweepRecord, number: int | None = None, parent: str = "") -> str:
    if (experiment := sweep.on_server) and number is None:
        runs, charts = runs_page(experiment), runs_page(experiment, charts=True)
        return f"{_NO_LINK} · [its runs, the best first]({runs}) · [charts]({charts})"
    if experiment:
        return f"[the sweep's run]({run_page(experiment, parent)}) · {_NO_LINK}" if parent else _NO_LINK
    study = f"{_STUDY_LINK}({link_to('dashboard', sweep.study)})"
    if number is None:
        runs, charts = link_to("runs", sweep.study), link_to("charts", sweep.study)
        return f"{study} · [its runs, the best first]({runs}) · [charts]({charts})"
    trial = f"[trial {number} in the Optuna dashboard]({link_to('dashboard', sweep.study, number)})"
    return f"{trial} · {study} · [the sweep's run]({link_to('mlflow', sweep.study)})"


def _top(sweep: SweepRecord, leading: Sequence[Leading], runs: Mapping[int, str]) -> str:
    names = _telling(sweep, leading)
    rows = []
    for rank, trial in enumerate(leading, start=1):
        values = [escaped(show(trial.params[name])) if name in trial.params else "" for name in names]
        rows.append([str(rank), _number(sweep, trial.number, runs), show(trial.value), *values])
    return table(["rank", "trial", sweep.metric, *names], rows)


def _telling(sweep: SweepRecord, leading: Sequence[Leading]) -> list[str]:
    """Return the parameters that have columns: in which the best trials differ, as many as a narrow window shows."""
    known = sweep.config.get("parameters", {})
    searched = [name for name, domain in known.items() if domain.get("type") != "constant"]
    if not known:  # a define-by-run objective's
        searched = list(dict.fromkeys(name for trial in leading for name in trial.params))
    shown = {name: [show(trial.params[name]) if name in trial.params else "" for trial in leading] for name in searched}
    chosen, room = [], _TABLE_WIDTH - len(sweep.metric)
    for name in [name for name in searched if len(set(shown[name])) > 1] or searched:
        if (width := max(map(len, [name, *shown[name]]))) <= room:
            chosen.append(name)
            room -= width + 1
    return chosen[:_MOST_PARAMETERS]


def _number(sweep: SweepRecord, number: int, runs: Mapping[int, str]) -> str:
    """Return a trial's number with a link to its run."""
    if not sweep.on_server:
        return f"[{number}]({link_to('mlflow', sweep.study, number)})"
    run = runs.get(number)
    return f"[{number}]({run_page(sweep.on_server, run)})" if run else str(number)


def _fitting(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest].rstrip()} ..."
