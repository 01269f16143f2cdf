"""`hpo predict`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("predict")
@click.argument("model")
@click.argument("data", metavar="DATA.csv")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="where the predictions go  [default: standard output]",
)
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option(
    "--separator",
    type=click.Choice([",", ";", "\t", "|"]),
    metavar="CHAR",
    help="of DATA.csv: a comma, a semicolon, a bar or a tab  [default: that of training; of .tsv a tab]",
)
@click.option("--encoding", metavar="NAME", help="of DATA.csv: utf-8, latin-1, ...  [default: that of training]")
def command(model: str, data: str, output: Path | None, form: str, separator: str | None, encoding: str | None) -> None:
    """Predict the rows of a table with a model that `hpo model` wrote.

    One row out for each row in, in the same order: a class with the probabilities of all, or a value in the target's
    own units. What was not as in training is told on standard error.
    """
    from hpo.model.loaded import load_model
    from hpo.model.preprocessing import columns_of
    from hpo.model.table import read_rows
    from hpo.review.output_file import write
    from hpo.training.data.csv_rows import FileForm, is_parquet, separator_of

    loaded = load_model(model)
    fitted = columns_of(loaded.preprocessing)
    own = FileForm(fitted.separator, fitted.encoding) if fitted is not None else FileForm()
    marks = "," if is_parquet(Path(data)) else separator or (separator_of(data) if separator_of(data) != "," else None)
    rows = read_rows(data, FileForm(marks or own.separator, encoding or own.encoding))
    found, told = loaded.answer(rows)
    for note in told:
        click.echo(f"note: {note}", err=True)
    text = found.to_csv(index=False) if form == "csv" else found.to_json(orient="records", double_precision=15) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    write(text.encode(), output)
    click.echo(f"{len(found)} predictions in {output}", err=True)
