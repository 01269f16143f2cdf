"""`hpo doctor`."""

from __future__ import annotations

import json

import click

from hpo.cli.options import home_options


@click.command("doctor", short_help="Compare a study with its MLflow and its files; repair them.")
@click.argument("study")
@click.option("--fix", is_flag=True, help="repair everything from the study")
@click.option(
    "--json", "as_json", is_flag=True, help="print one line of JSON; the lines for people go to standard error"
)
@home_options
def command(study: str, fix: bool, as_json: bool, home_folder: str, storage: str | None) -> int:
    """Compare a study with its MLflow and its files, one to one, and so its confirmations.

    Exit code 0 if all agree (with --fix: in the end), 1 if something does not, 2 for bad input.
    """
    from hpo.ledger.study.home import make_home
    from hpo.review.doctor import diagnose_all, json_of, lines_of

    home = make_home(home_folder, storage)
    first, *others = diagnose_all(home, study, fix)
    for diagnosis in (first, *others):
        for line in lines_of(diagnosis, home):
            click.echo(line, err=as_json)
    if as_json:
        click.echo(json.dumps(json_of(first) | {"confirmations": [json_of(other) for other in others]}))
    return 1 if any(len(diagnosis.after) for diagnosis in (first, *others)) else 0
