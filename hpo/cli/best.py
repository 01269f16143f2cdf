"""`hpo best`."""

from __future__ import annotations

import json

import click

from hpo.cli.options import home_options


@click.command("best")
@click.argument("study")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "yaml", "json"]),
    default="text",
    show_default=True,
    help="yaml: a sweep file that re-runs exactly this configuration",
)
@home_options
def command(study: str, form: str, home_folder: str, storage: str | None) -> None:
    """Show the best trial of a study."""
    from hpo.ledger.study.home import make_home
    from hpo.review.references import compared, reference_lines, references_json
    from hpo.review.rerun import rerun_file
    from hpo.review.studies import best_trial, successor_of
    from hpo.spec.space import show

    home = make_home(home_folder, storage)
    config, trial, references = best_trial(home, study)
    metric = config["metric"]["name"]
    rows = compared(references, metric, config["metric"]["goal"], trial.value)
    if form == "yaml":
        click.echo(rerun_file(home, study, config, trial), nl=False)
    elif form == "json":
        found = {"number": trial.number, "value": trial.value, "params": dict(trial.params), "seed": trial.seed}
        click.echo(json.dumps(found | {"references": references_json(references, rows)}))
    else:
        click.echo(f"{study}: best {metric} {show(trial.value)} (trial {trial.number}, seed {trial.seed})")
        width = max((len(name) for name in trial.params), default=0)
        for name, value in trial.params.items():
            click.echo(f"  {name:<{width}}  {show(value)}")
        for line in reference_lines(rows, metric, trial.value):
            click.echo(line)
        if successor := successor_of(home, study):
            click.echo(f"note: this study went on with another space as {successor!r}")
