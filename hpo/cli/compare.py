"""`hpo compare`."""

from __future__ import annotations

import json
import math
import shutil
import sys

import click

from hpo.cli.options import home_options


@click.command("compare", short_help="Is one choice better than another, or is it noise?")
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True)
@click.option("--by", metavar="PARAMETER", help="compare its choices  [default: the studies, if there are several]")
@click.option(
    "--target", type=float, metavar="VALUE", help="time to this value of the metric  [default: the file's target, "
    "else the first baseline's value, else the median]",
)  # fmt: skip
@click.option(
    "--bins",
    type=click.IntRange(2, 20),
    metavar="N",
    help="parts of a range, with equal numbers of trials  [default: 4]",
)
@click.option(
    "--where", metavar="EXPRESSION", help="only trials that meet it, as `hpo trials` takes it: \"optimizer == 'sgd'\""
)
@click.option("--json", "as_json", is_flag=True, help="print one line of JSON with all of it")
@home_options
def command(
    studies: tuple[str, ...],
    by: str | None,
    target: float | None,
    bins: int | None,
    where: str | None,
    as_json: bool,
    home_folder: str,
    storage: str | None,
) -> None:
    """Compare the choices of a parameter in one or more studies, or studies with each other.

    For each choice: values, learning curves with their spread, time to a value, what diverged and failed; and which
    differences are larger than the noise. Trials that are equal but for the choice are compared in pairs; stopped
    trials by what both had at the same epoch. What the numbers mean is in docs/decision.md.
    """
    if target is not None and not math.isfinite(target):
        raise click.BadParameter("must be a number", param_hint="--target")
    from hpo.ledger.study.home import make_home
    from hpo.review.comparison.compare import compare
    from hpo.review.comparison.words import comparison_lines
    from hpo.review.sparkline import blocks_for
    from hpo.review.studies import read_study

    home = make_home(home_folder, storage)
    comparison = compare([read_study(home, name) for name in studies], by, target, bins, where)
    if as_json:
        click.echo(json.dumps(comparison.plain()))
        return
    width = min(shutil.get_terminal_size().columns, 120)
    for line in comparison_lines(comparison, width, blocks_for(sys.stdout)):
        click.echo(line)
