"""Where a table of trials goes: to standard output, or into a file that is whole or not there."""

from __future__ import annotations

from pathlib import Path

import click

from hpo.review.trial_files import Form
from hpo.spec.faults import UserError

_BY_SUFFIX: dict[str, Form] = {
    ".csv": "csv",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "table",
}


def form_of(output: Path | None) -> Form:
    """Return the form that a file's name says. Raises UserError if it says none."""
    if output is None:
        return "table"
    if output.suffix.lower() not in _BY_SUFFIX:
        raise UserError(f"--output {output}: its name says no format ({', '.join(_BY_SUFFIX)}; or give --format)")
    return _BY_SUFFIX[output.suffix.lower()]


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
        draft = path.with_name(f"{path.name}.part")
        try:
            draft.write_bytes(content)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--output {output} can't be written: {error.strerror or error}") from None
