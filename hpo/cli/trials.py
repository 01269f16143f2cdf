"""`hpo trials`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import cast, get_args

import click

from hpo.cli.options import home_options

_SHOWN = 20  # on a terminal, unless told otherwise


@click.command("trials")
@click.argument("study")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]),
    help="default: that of the --output file's name, else table",
)  # fmt: skip
@click.option(
    "--sort", metavar="COLUMN", help="the smallest first; -COLUMN: the largest first  [default: the best first]"
)
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="only the first N")
@click.option("--columns", metavar="A,B", help="only these, in this order  [default: all, or what fits the terminal]")
@click.option(
    "--where", metavar="EXPRESSION", help="""only those that meet it, e.g. "val_loss < 0.3 and state == 'complete'\""""
)
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), help="write into this file, not to the terminal"
)
@home_options
def command(
    study: str,
    form: str | None,
    sort: str | None,
    top: int | None,
    columns: str | None,
    where: str | None,
    output: Path | None,
    home_folder: str,
    storage: str | None,
) -> None:
    """Show a study's trials, the best first; write them into files.

    Every parameter, the last and the best value of every metric, state, seed, duration, MLflow run and more; what the
    columns mean is in docs/decision.md. A terminal gets the first 20 rows and the columns that fit; a pipe or a file
    gets everything.
    """
    from hpo.ledger.study.home import make_home
    from hpo.review.output_file import write
    from hpo.review.studies import read_study
    from hpo.review.trial_choice import chosen, chosen_columns
    from hpo.review.trial_files import Form, bytes_of, fitted_table, form_of, left_out_words
    from hpo.review.trials import table_of

    kind = cast(Form, form) if form is not None else form_of(output)
    assert kind in get_args(Form)
    terminal = output is None and sys.stdout.isatty()
    if kind == "parquet" and terminal:
        raise click.UsageError("--format parquet is not for a terminal: name a file with --output FILE")
    table = table_of(read_study(make_home(home_folder, storage), study))
    rows = chosen(table, where, sort, top)
    wanted = chosen_columns(rows.columns, columns) if columns is not None else None
    if rows.empty:
        click.echo(f"{study} has no trial yet" if table.frame.empty else f"no trial meets --where {where!r}", err=True)
    if terminal and kind == "table":
        shown = rows if top is not None else rows.head(_SHOWN)
        if wanted is not None:
            click.echo(bytes_of(kind, table, shown[wanted]), nl=False)
        else:
            text, left_out = fitted_table(table, shown, shutil.get_terminal_size().columns)
            click.echo(text, nl=False)
            if left_out:
                click.echo(left_out_words(left_out))
        if len(shown) < len(rows):
            click.echo(f"{len(shown)} of {len(rows):,} trials (--top {len(rows)} shows all)")
        return
    write(bytes_of(kind, table, rows if wanted is None else rows[wanted]), output)
