"""`hpo model`."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpo.cli.options import home_options

if TYPE_CHECKING:
    from hpo.ledger.study.home import Home
    from hpo.review.make_model import MadeModel, Rows


@click.command("model")
@click.argument("study")
@click.option("--trial", "number", type=click.IntRange(min=0), metavar="N", help="which trial  [default: the best]")
@click.option("--confirmed", is_flag=True, help="the winner of `hpo confirm`; registers it, as champion")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="[default: a folder in the home]")
@click.option(
    "--on",
    "rows",
    type=click.Choice(["train", "train+validation"]),
    default="train",
    show_default=True,
    help="which rows it learns from; without validation rows, nothing is left to measure it on",
)
@click.option("--allow-different", is_flag=True, help="keep it even if its metrics are not those of the study")
@click.option("--register", is_flag=True, help="log it to MLflow, and register it under the study's name")
@home_options
def command(
    study: str,
    number: int | None,
    confirmed: bool,
    output: Path | None,
    rows: Rows,
    allow_different: bool,
    register: bool,
    home_folder: str,
    storage: str | None,
) -> int:
    """Train the best trial again, bit for bit, and write its model.

    Weights that the sweep has kept (`keep` in its file) are taken as they are. The metrics are compared with the
    study's before the model is kept, in a folder.
    Exit code 0 if the model is written, 1 if its metrics are not the study's and it is not, 2 for bad input, 3 if it is
    written, but could not be registered.
    """
    from hpo.engines.worker import thread_variables

    os.environ.update(thread_variables(1))  # before any numerical library reads them, as in a worker
    from hpo.ledger.study.home import make_home
    from hpo.review.make_model import confirmed_trial, make_model
    from hpo.review.summary import hpo_command
    from hpo.spec.space import show

    home = make_home(home_folder, storage)
    if confirmed and number is not None:
        raise click.UsageError("--confirmed says which trial: leave --trial out")
    number = confirmed_trial(home, study) if confirmed else number
    made = make_model(home, study, number, output, rows, allow_different)
    trial, comparison = made.trial, made.comparison
    how = "from the weights that the sweep kept" if made.kept else "trained again"
    click.echo(f"{study}: trial {trial.number} ({show(trial.value)}, seed {trial.seed}), {how}")
    for remark in made.remarks:
        click.echo(f"note: {remark}")
    click.echo(f"{'different: ' if comparison.verdict == 'different' else ''}{comparison.told}")
    if made.folder is None:
        click.echo("hpo: no model was written (--allow-different writes it all the same)", err=True)
        return 1
    click.echo("")
    click.echo(f"model     {made.folder}")
    if made.config["program"] is None:
        click.echo(f"note: it has weights only, and can't predict by itself ({made.config['no_program']})")
    else:
        click.echo(f"predict   {hpo_command()} predict {shlex.quote(str(made.folder))} DATA.csv")
    from hpo.model.onnx_file import NO_WRITERS

    if made.config.get("no_onnx", NO_WRITERS) != NO_WRITERS:
        click.echo(f"note: there is no ONNX of it ({made.config['no_onnx']})")
    return _register(home, made, confirmed) if register or confirmed else 0


def _register(home: Home, made: MadeModel, champion: bool) -> int:
    """Register a model that was written, and say where it is; return the exit code."""
    from hpo.decision.register import NotRegistered, register_model
    from hpo.ledger.study.urls import masked

    try:
        model = register_model(home, made, champion)
    except NotRegistered as error:
        click.echo(f"hpo: the model is written, but not registered: {error} ({error.remedy})", err=True)
        return 3
    uri = f"models:/{model.name}@{model.alias}" if model.alias else f"models:/{model.name}/{model.version}"
    click.echo(f"mlflow    {uri}{f', version {model.version}' if model.alias else ''}")
    tracking = shlex.quote(masked(home.tracking_uri))
    serve = f"mlflow models serve --model-uri {shlex.quote(uri)} --env-manager local"
    click.echo(f"serve     MLFLOW_TRACKING_URI={tracking} {serve}")
    return 0
