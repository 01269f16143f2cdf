"""`hpo check`."""

from __future__ import annotations

import click

from hpo.cli.options import sweep_file_options


@click.command("check")
@sweep_file_options
def command(file: str, overrides: tuple[str, ...]) -> None:
    """Validate a sweep file and show what it would do; trains nothing."""
    from hpo.objective.build import inspect_closely
    from hpo.review.outline import outline
    from hpo.spec.faults import reading
    from hpo.spec.load import bugs_told, load_sweep
    from hpo.spec.named import Inspection, Named
    from hpo.spec.shipped import find_sweep_file
    from hpo.spec.source import Source

    data: list[str] = []

    def inspect(named: Named) -> Inspection:
        found = inspect_closely(named)
        data[:] = found.described
        return found

    path = find_sweep_file(file)
    sweep = load_sweep(path, inspect, overrides)
    with bugs_told(Source(str(path), {}), path), reading():
        text = outline(sweep, data)
    click.echo(text)
