"""Each command with its arguments and options, as click has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from handbook.markdown import code, table
from hpo.cli.main import cli


def command_lines() -> list[str]:
    """Return the section on commands."""
    lines = ["## Commands", "", "`hpo --help` and `hpo COMMAND --help` say the same."]
    for path, command in _commands(cli, ()):
        lines += ["", f"### hpo {' '.join(path)}", "", *_described(command, path)]
    return lines


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _described(command: click.Command, path: tuple[str, ...]) -> list[str]:
    context = click.Context(command, info_name=f"hpo {' '.join(path)}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines = [
        "    " + " ".join(usage.split()),
        "",
        *inspect.cleandoc((command.help or "").replace("\b\n", "")).splitlines(),
    ]
    records = [param.get_help_record(context) for param in command.params if isinstance(param, click.Option)]
    rows = [(code(option), text) for option, text in filter(None, records)]
    return lines + (table(("option", ""), rows) if rows else [])
