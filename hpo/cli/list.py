"""`hpo list`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hpo.cli.options import home_options

if TYPE_CHECKING:
    from hpo.ledger.study.home import Home
    from hpo.review.studies import StudyLine

_HEAD = ("study", "metric", "best", "complete", "pruned", "failed", "running", "latest")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="one line of JSON: an object a study")
@home_options
@click.pass_context
def command(context: click.Context, as_json: bool, home_folder: str, storage: str | None) -> None:
    """List the studies, the latest first.

    A pipe or a file gets a plain table, nothing cut off and a line a study.
    """
    from hpo.ledger.study.home import make_home
    from hpo.ledger.study.urls import masked
    from hpo.review.studies import list_studies
    from hpo.review.summary import home_options, hpo_command
    from hpo.spec.space import counted

    home = make_home(home_folder, storage)
    _refuse_nowhere(home, context.get_parameter_source("home_folder") is not ParameterSource.DEFAULT)
    studies = list_studies(home)
    if as_json:
        click.echo(json.dumps([_plain(study) for study in studies]))
        return
    if not studies:
        click.echo(f"no study in {masked(home.storage_url)} yet: run hpo sweep search_spaces/binary.yaml")
        return
    _show(list(map(_row, studies)))
    for study in studies:
        if study.half_removed and not study.live:
            finish = f"{hpo_command()} study rm {shlex.quote(study.name)}{home_options(home)}"
            click.echo(f"note: the removal of {study.name} was begun, and not finished; to finish it: {finish}")
        elif study.open and study.go_on:
            command = f"{hpo_command()} {' '.join(study.go_on)}{home_options(home)}"
            again = f"{counted(study.counts.interrupted, 'trial')} to be run again"
            click.echo(f"note: {study.name} was interrupted, with {again}; to go on: {command}")


def _refuse_nowhere(home: Home, home_given: bool) -> None:
    """Raise UserError if somebody named a place that is not there: most likely it is misspelt."""
    from pathlib import Path

    from hpo.spec.faults import UserError

    if home.storage is not None and home.database is None and not Path(home.storage).exists():
        raise UserError(f"there is no journal file {home.storage} (--storage names a file, or a database by its URL)")
    if home.storage is None and home_given and not home.path.is_dir():
        raise UserError(f"there is no folder {home.path} (--home names the folder that a sweep was run with)")


def _row(study: StudyLine) -> tuple[str, ...]:
    from hpo.spec.space import show

    best = show(study.best) if study.best is not None else "-"
    best = (study.verdict or "-") if study.confirms else best  # its best trial means nothing
    counts = (str(getattr(study.counts, kind)) for kind in _HEAD[3:7])
    latest = f"{study.latest:%Y-%m-%d %H:%M}" if study.latest else "-"
    name = f"  {study.name}" if study.confirms else study.name  # below the study that it confirms
    return name, study.metric, best, *counts, latest


def _show(rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if console.is_terminal:
        table = Table(*_HEAD, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))  # as they are: a name may have brackets in it
        console.print(table)
        return
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    for row in (_HEAD, *rows):
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _plain(study: StudyLine) -> dict[str, Any]:
    counts = {kind: getattr(study.counts, kind) for kind in ("complete", "pruned", "failed", "interrupted", "running")}
    return {
        "study": study.name,
        "metric": study.metric,
        "goal": study.goal or None,
        "best": {"number": study.best_trial, "value": study.best} if study.best is not None else None,
        "trials": counts,
        "budget": study.budget,
        "state": study.state,
        "latest": study.latest.isoformat(timespec="seconds") if study.latest else None,
        "confirms": study.confirms or None,
        "verdict": study.verdict or None,
    }
