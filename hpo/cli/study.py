"""`hpo study`."""

from __future__ import annotations

from pathlib import Path

import click

from hpo.cli.options import home_options


@click.group("study")
def command() -> None:
    """Take a study to another machine."""


@command.command("export")
@click.argument("study")
@click.argument("file", metavar="FILE.tar.gz")
@home_options
def export(study: str, file: str, home_folder: str, storage: str | None) -> None:
    """Write a study, with the files of its MLflow runs, into one file."""
    from hpo.ledger.study.home import make_home
    from hpo.ledger.transfer import export_study

    for line in export_study(make_home(home_folder, storage), study, Path(file)):
        click.echo(line)


@command.command("import")
@click.argument("file", metavar="FILE.tar.gz")
@home_options
def take_over(file: str, home_folder: str, storage: str | None) -> int:
    """Take a study over from such a file, and write its MLflow.

    Exit code 0 if study, MLflow and files agree then, 1 if something does not, 2 for bad input.
    """
    from hpo.ledger.mirror.reach import refuse_unusable
    from hpo.ledger.study.home import make_home
    from hpo.ledger.transfer import import_study
    from hpo.review.doctor import diagnose, lines_of

    home = make_home(home_folder, storage)
    refuse_unusable(home)
    name = import_study(home, Path(file))
    diagnosis = diagnose(home, name, fix=True)
    click.echo(lines_of(diagnosis, home)[-1])
    return 1 if len(diagnosis.after) else 0
