"""`hpo schema`."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    r"""Print the JSON schema of sweep files, for editors.

    \b
    In VS Code: hpo schema > sweep.schema.json, and as the first line of a sweep file:
    # yaml-language-server: $schema=sweep.schema.json
    """
    from hpo.spec.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
