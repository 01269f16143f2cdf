"""`hpo check`."""

from __future__ import annotations

import click

from hpo.cli.options import find_sweep_file, sweep_file_options


@click.command("check")
@sweep_file_options
def command(file: str, overrides: tuple[str, ...]) -> None:
    """Validate a sweep file and show what it would do; trains nothing."""
    from hpo.objective.build import inspect
    from hpo.review.outline import outline
    from hpo.spec.load import load_sweep

    sweep = load_sweep(find_sweep_file(file), inspect, overrides)
    click.echo(outline(sweep))
