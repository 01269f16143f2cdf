"""Where a command's answer goes: to standard output, or into a file that is whole or not there."""

from __future__ import annotations

from pathlib import Path

import click

from hpo.files import write_whole
from hpo.spec.faults import UserError


def write(content: bytes, output: Path | None) -> None:
    """Write content to standard output or, in place of what is there, into a file. Raises UserError if it can't be."""
    if output is None:
        click.echo(content, nl=False)
        return
    try:
        path = output.resolve()
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe
            path.write_bytes(content)
            return
        write_whole(path, content)
    except OSError as error:
        raise UserError(f"--output {output} can't be written: {error.strerror or error}") from None
