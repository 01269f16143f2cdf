"""`hpo confirm`."""

from __future__ import annotations

import json
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from hpo.cli.options import engine_options, home_options
from hpo.cli.signals import hear_interrupts

if TYPE_CHECKING:
    from hpo.decision.confirm.run import Confirmed, ConfirmWish
    from hpo.ledger.study.home import Home


@click.command("confirm", short_help="Is the winner really better? Train it and the baseline again.")
@click.argument("study")
@click.option("--top", type=click.IntRange(min=1), metavar="K", help="the best K compete  [default: the file's, or 3]")
@click.option(
    "--seeds", type=click.IntRange(2, 10_000), metavar="N", help="each with N fresh seeds  [default: the file's, or 5]"
)
@click.option(
    "--against", type=click.IntRange(min=0), metavar="TRIAL", help="judge against this trial, not the first baseline"
)
@engine_options
@click.option("--json", "as_json", is_flag=True, help="end with one line of JSON on standard output")
@click.option("--quiet", is_flag=True, help="print nothing but errors")
@home_options
def command(
    study: str,
    top: int | None,
    seeds: int | None,
    against: int | None,
    engine: str | None,
    workers: str | None,
    as_json: bool,
    quiet: bool,
    home_folder: str,
    storage: str | None,
) -> int:
    """Train the best of a study and its baseline again over fresh seeds, and judge the winner.

    They are ranked on validation; then winner and baseline are measured once on the untouched test rows. The verdict
    is `better`, `not shown` or `worse`, with an interval. The same command goes on after an interrupt, and shows again
    what is recorded.

    Exit code 0: there is a verdict; 1: there is none; 2: bad input; 3: there is one, but MLflow lacks it; 130:
    interrupted.
    """
    from hpo.spec.source import parse_value

    hear_interrupts()
    from hpo.decision.confirm.run import ConfirmWish
    from hpo.ledger.mirror.reach import refuse_unusable
    from hpo.ledger.study.home import make_home

    home = make_home(home_folder, storage)
    refuse_unusable(home)
    home.prepare()
    keys = {"type": engine} if engine is not None else {}
    keys |= {"workers": parse_value(workers)} if workers is not None else {}
    code, facts = tell_confirmation(
        home, study, ConfirmWish(top, seeds, against, keys), sys.stderr if as_json else sys.stdout, quiet
    )
    if as_json and facts is not None:
        click.echo(json.dumps(facts))
    return code


def tell_confirmation(
    home: Home, study: str, wish: ConfirmWish, stream: IO[str], quiet: bool
) -> tuple[int, dict[str, Any] | None]:
    """Confirm a study and say what came out; return the exit code, and the JSON object, if there is a verdict."""
    from hpo.decision.confirm.run import NoVerdict, confirm
    from hpo.decision.confirm.words import confirmation_json
    from hpo.review.display import make_display

    try:
        with make_display(stream, quiet) as display:
            done = confirm(home, study, wish, display)
    except NoVerdict as reason:
        print(f"hpo: {'' if reason.interrupted else 'no verdict: '}{reason}", file=sys.stderr)
        return (130 if reason.interrupted else 1), None
    if not quiet:
        _print(home, study, done, stream)
    missing = [notice for notice in done.notices if notice.missing]
    for notice in done.notices:
        print(f"hpo: {notice.text}", file=sys.stderr)
    return (3 if missing else 0), confirmation_json(study, done.confirmation)


def _print(home: Home, study: str, done: Confirmed, stream: IO[str]) -> None:
    from hpo.decision.confirm.words import lines_of
    from hpo.review.studies import read_study

    recorded = read_study(home, study)
    if done.before:
        print(f"{study} is confirmed already: nothing is trained or looked at again", file=stream)
    for line in lines_of(recorded, done.confirmation):
        print(line, file=stream)
