"""`hpo report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpo.cli.options import home_options


@click.command("report")
@click.argument("study")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="[default: reports/STUDY.html in the home]",
)
@home_options
def command(study: str, output: Path | None, home_folder: str, storage: str | None) -> int:
    """Write one page on a study: what came out, why, and what next.

    The page needs no network and no other file; its plots lie beside it as PNG files. Both are logged to the sweep's
    run in MLflow. A report that is there is replaced.

    Exit code 0: written; 2: bad input; 3: written, but MLflow lacks it.
    """
    from hpo.ledger.study.home import make_home
    from hpo.report.report import write_report

    done = write_report(make_home(home_folder, storage), study, output)
    for line in done.lines():
        click.echo(line)
    for text in done.troubles():
        print(f"hpo: {text}", file=sys.stderr)
    return 3 if done.unlogged else 0
