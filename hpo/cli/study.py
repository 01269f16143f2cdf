"""`hpo study`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hpo.cli.options import home_options

_lost = click.option("--without-mlflow", is_flag=True, help="although the MLflow that has its runs is lost")


@click.group("study")
def command() -> None:
    """Look at a study, remove or rename it, take it to another machine."""


@command.command("show")
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="one line of JSON")
@home_options
def show(study: str, as_json: bool, home_folder: str, storage: str | None) -> None:
    """Show what a study is and how it stands.

    That is its file, space and budget, its best trial, who runs it, where its records are and how large its files.
    """
    from hpo.ledger.study.home import make_home
    from hpo.review.overview import overview_of

    found = overview_of(make_home(home_folder, storage), study)
    click.echo(json.dumps(found.plain()) if as_json else "\n".join(found.lines()))


@command.command("rm")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("--yes", is_flag=True, help="don't ask")
@_lost
@home_options
def remove(studies: tuple[str, ...], yes: bool, without_mlflow: bool, home_folder: str, storage: str | None) -> int:
    """Remove studies for good: their trials, their runs in MLflow, and their files.

    Says what goes, and asks. A study that somebody runs is refused, and so is one on which another rests (a
    confirmation, a study that goes on from it), unless that is named, too, and one whose run this MLflow lacks: it is
    another MLflow than that which has them. Killed in between, the same command finishes it. The storage's own file is
    not smaller then: a journal only grows.
    """
    import sys

    from hpo.ledger.mirror.process import restrain_mlflow
    from hpo.ledger.removal import plan_removal, remove
    from hpo.ledger.study.home import make_home
    from hpo.review.overview import removal_lines
    from hpo.spec.faults import UserError

    restrain_mlflow()
    home = make_home(home_folder, storage)
    plan = plan_removal(home, studies, without_mlflow)
    for line in removal_lines(plan):
        click.echo(line)
    if not yes:
        if not sys.stdin.isatty():
            raise UserError("nothing was removed: there is no terminal to ask at (--yes removes without asking)")
        if not click.confirm("remove them?" if len(plan) > 1 else "remove it?"):
            click.echo("nothing was removed")
            return 1
    for line in remove(home, [each.study for each in plan], without_mlflow):
        click.echo(line)
    return 0


@command.command("mv")
@click.argument("study")
@click.argument("name")
@_lost
@home_options
def rename(study: str, name: str, without_mlflow: bool, home_folder: str, storage: str | None) -> int:
    """Rename a study.

    Its trials, its runs in MLflow and its files are the same by the new name, and other studies that name it do so. The
    sweep file stays as it is: -o name=NAME, or `name: NAME` in it, goes on. Cut off in between, the same command
    finishes it. Exit code 3 if MLflow could not be told, or is another one than that which has its runs.
    """
    from hpo.ledger.mirror.process import restrain_mlflow
    from hpo.ledger.renaming import rename_study
    from hpo.ledger.study.home import make_home
    from hpo.ledger.study.unfinished import Renaming
    from hpo.review.overview import to_go_on

    restrain_mlflow()
    home = make_home(home_folder, storage)
    said, told = rename_study(home, Renaming(study, name), without_mlflow)
    for line in [*said, *to_go_on(home, name)]:
        click.echo(line)
    return 0 if told else 3


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
@click.option("--name", default="", metavar="NAME", help="as a copy by this name, beside the study itself")
@home_options
def take_over(file: str, name: str, home_folder: str, storage: str | None) -> int:
    """Take a study over from such a file, and write its MLflow.

    Exit code 0 if study, MLflow and files agree then, 1 if something does not, 2 for bad input.
    """
    from hpo.ledger.mirror.reach import refuse_unusable
    from hpo.ledger.study.home import make_home
    from hpo.ledger.transfer import import_study
    from hpo.review.doctor import diagnose, lines_of

    home = make_home(home_folder, storage)
    refuse_unusable(home)
    imported = import_study(home, Path(file), name)
    for note in imported.notes:
        click.echo(f"note: {note}")
    diagnosis = diagnose(home, imported.name, fix=True)
    lines = lines_of(diagnosis, home)  # of what was missing before, nobody has to know if all was written
    for line in lines if len(diagnosis.after) else lines[-1:]:
        click.echo(line)
    return 1 if len(diagnosis.after) else 0
