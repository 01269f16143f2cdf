"""`hpo list`."""

from __future__ import annotations

import click

from hpo.cli.options import home_options


@click.command("list")
@home_options
def command(home_folder: str, storage: str | None) -> None:
    """List the studies, the latest first."""
    from rich.console import Console
    from rich.table import Table

    from hpo.ledger.study.home import make_home
    from hpo.ledger.study.urls import masked
    from hpo.review.studies import list_studies
    from hpo.review.summary import home_options, hpo_command
    from hpo.spec.space import counted, show

    home = make_home(home_folder, storage)
    studies = list_studies(home)
    if not studies:
        click.echo(f"no study in {masked(home.storage_url)} yet: run hpo sweep search_spaces/binary.yaml")
        return
    kinds = ("complete", "pruned", "failed", "running")
    table = Table("study", "metric", "best", *kinds, "latest", box=None, pad_edge=False)
    for study in studies:
        counts = (str(getattr(study.counts, kind)) for kind in kinds)
        best = show(study.best) if study.best is not None else "-"
        best = (study.verdict or "-") if study.confirms else best  # its best trial means nothing
        latest = f"{study.latest:%Y-%m-%d %H:%M}" if study.latest else "-"
        name = f"  {study.name}" if study.confirms else study.name  # below the study that it confirms
        table.add_row(name, study.metric, best, *counts, latest)
    console = Console(highlight=False)
    console.print(table, soft_wrap=not console.is_terminal)
    for study in studies:
        if study.open and study.go_on:
            command = f"{hpo_command()} {' '.join(study.go_on)}{home_options(home)}"
            again = f"{counted(study.counts.interrupted, 'trial')} to be run again"
            click.echo(f"note: {study.name} was interrupted, with {again}; to go on: {command}")
