"""`hpo schema`."""

from __future__ import annotations

import json

import click

_HELP = """Print the JSON schema of sweep files, for editors.

\b
In VS Code: hpo schema > sweep.schema.json, and as the first line of a sweep file:
# yaml-language-server: $schema=sweep.schema.json
"""  # \b: click leaves the lines as they are


@click.command("schema", help=_HELP)
def command() -> None:
    """Print the JSON schema of sweep files."""
    from hpo.spec.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
