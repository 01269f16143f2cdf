"""`hpo refine`."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import click

from hpo.cli.options import home_options


@click.command("refine")
@click.argument("study")
@click.option(
    "--output", metavar="FILE", type=click.Path(path_type=Path), help="[default: STUDY-refined.yaml in this folder]"
)
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="the new budget  [default: half of the old]")
@click.option("--force", is_flag=True, help="replace FILE if it is there")
@click.option("--run", is_flag=True, help="go on with it, as `hpo sweep FILE` would")
@home_options
@click.pass_context
def command(
    context: click.Context,
    study: str,
    output: Path | None,
    trials: int | None,
    force: bool,
    run: bool,
    home_folder: str,
    storage: str | None,
) -> int:
    """Write the file of a second, narrower sweep from a study's trials.

    Ranges are narrowed to where the good trials lie, and widened where they lie at an end; choices that are worse are
    left out; what doesn't matter is fixed. The file says why, in comments. It has a study of its own, half the budget,
    and the best trials to begin with.
    """
    from hpo.decision.refine.refine import refine
    from hpo.decision.refine.text import report
    from hpo.ledger.study.home import make_home
    from hpo.review.output_file import write
    from hpo.review.summary import home_options as options_of
    from hpo.review.summary import hpo_command
    from hpo.spec.faults import UserError
    from hpo.spec.paths import is_there

    home = make_home(home_folder, storage)
    refined = refine(home, study, output, trials)
    path = refined.sweep.source
    content = refined.text.encode()
    if is_there(path) and path.is_file() and not force and path.read_bytes() != content:
        raise UserError(f"{path} is there already (--force replaces it, --output FILE writes another file)")
    write(content, path)
    width = min(shutil.get_terminal_size().columns, 120)
    for line in refined.words:
        click.echo(line)
    click.echo("")
    for line in report(refined.parameters, width):
        click.echo(line)
    click.echo("")
    seeds = ", ".join(map(str, refined.seeds))
    click.echo(
        f"written   {path}: study {refined.sweep.name!r}, {refined.sweep.budget.trials} trials ({refined.budget})"
    )
    click.echo(
        f"first     the configurations of trials {seeds}"
        if len(refined.seeds) > 1
        else f"first     the configuration of trial {seeds}"
    )
    if not run:
        click.echo(f"look      {hpo_command()} check {shlex.quote(str(path))}")
        click.echo(f"go on     {hpo_command()} sweep {shlex.quote(str(path))}{options_of(home)}")
        return 0
    from hpo.cli.sweep import command as sweep

    click.echo("")
    code: int = context.invoke(sweep, file=str(path), home_folder=home_folder, storage=storage)
    return code
