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
    help="of DATA.csv: a comma, a semicolon, a bar or a tab  [default: that of training]",
)
def command(model: str, data: str, output: Path | None, form: str, separator: str | None) -> None:
    """Predict the rows of a table with a model that `hpo model` wrote.

    One row out for each row in, in the same order: a class with the probabilities of all, or a value in the target's
    own units. What was not as in training is told on standard error.
    """
    from hpo.model.loaded import load_model
    from hpo.model.preprocessing import columns_of
    from hpo.model.table import read_rows
    from hpo.review.output_file import write

    loaded = load_model(model)
    fitted = columns_of(loaded.preprocessing)
    own = fitted.separator if fitted is not None else ","
    rows = read_rows(data, separator or own)
    found, told = loaded.answer(rows)
    for note in told:
        click.echo(f"note: {note}", err=True)
    text = found.to_csv(index=False) if form == "csv" else found.to_json(orient="records", double_precision=15) + "\n"
    if output is None:
        click.echo(text, nl=False)
        return
    write(text.encode(), output)
    click.echo(f"{len(found)} predictions in {output}", err=True)
