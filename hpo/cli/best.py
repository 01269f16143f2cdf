"""`hpo best`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

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
    """Show the best trial of a study.

    And how sure it is: how many others lie within the noise of it, and what references reach beside it; and whether it
    trained well, as its diagnoses and those of the other trials say.
    """
    from hpo.diagnosis.words import count, health_lines
    from hpo.ledger.study.home import make_home
    from hpo.review.certainty import certainty_of
    from hpo.review.references import compared, reference_lines, references_json
    from hpo.review.rerun import rerun_file
    from hpo.review.studies import best_of, read_study, words_to_go_on
    from hpo.review.summary import home_options, hpo_command
    from hpo.spec.space import show

    home = make_home(home_folder, storage)
    recorded = read_study(home, study)
    trial = best_of(recorded)
    target = recorded.sweep.metric
    rows = compared(recorded.references, target.name, target.goal, trial.value)
    if form == "yaml":
        click.echo(rerun_file(home, study, recorded.config, trial), nl=False)
    elif form == "json":
        found = trial.diagnoses
        facts: dict[str, Any] = {"number": trial.number, "value": trial.value, "params": dict(trial.params)}
        facts |= {"seed": trial.seed, "state": trial.state, "best_step": trial.best_step}
        facts |= {"diagnoses": None if found is None else [asdict(each) for each in found]}
        facts |= {"certainty": certainty_of(recorded).plain()}
        facts |= {"references": references_json(recorded.references, rows, trial.value)}
        click.echo(json.dumps(facts))
    else:
        click.echo(f"{study}: best {target.name} {show(trial.value)} ({trial.in_words})")
        width = max((len(name) for name in trial.params), default=0)
        for name, value in trial.params.items():
            click.echo(f"  {name:<{width}}  {show(value)}")
        for line in reference_lines(rows, target.name, trial.value):
            click.echo(line)
        for line in health_lines(trial.diagnoses, count(recorded.diagnoses)):
            click.echo(line)
        click.echo(f"how sure: {certainty_of(recorded).words}")
        if recorded.live:
            click.echo("note: a sweep runs on this study now: this is its best so far")
        elif recorded.interrupted:
            go_on = words_to_go_on(study, recorded.attributes)
            how = f"; to go on: {hpo_command()} {' '.join(go_on)}{home_options(home)}" if go_on else ""
            click.echo(f"note: the study was interrupted, and this is its best so far{how}")
        if successor := recorded.successor:
            click.echo(f"note: this study went on with another space as {successor!r}")
