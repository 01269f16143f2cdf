"""All commands of `hpo`, as its command line lists them: a new one is among them by itself."""

from __future__ import annotations

from collections.abc import Iterator

import click

from hpo.cli.main import cli


def all_commands() -> dict[str, click.Command]:
    """Return the commands by their words: `sweep`, `study export`."""
    return dict(_below("", cli))


def _below(words: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield words, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _below(f"{words} {name}".strip(), found)
