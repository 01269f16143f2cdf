"""`hpo sweep`."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from hpo.cli.opening import OpeningLine
from hpo.cli.options import engine_options, home_options, sweep_file_options
from hpo.cli.signals import hear_interrupts

if TYPE_CHECKING:
    from hpo.ledger.study.home import Home
    from hpo.spec.sweep import Sweep
    from hpo.standing import Standing


@click.command("sweep")
@sweep_file_options
@engine_options
@click.option("--extend", type=click.IntRange(min=1), metavar="N", help="N trials more than the study has")
@click.option("--join", is_flag=True, help="share the study with other drivers (PostgreSQL or MySQL, each with --join)")
@click.option("--changed", type=click.Choice(["ok"]), help="go on though the objective's code or the data have changed")
@click.option("--no-confirm", is_flag=True, help="leave out what the file's `confirm` asks for")
@click.option("--json", "as_json", is_flag=True, help="end with one line of JSON on standard output")
@click.option("--quiet", is_flag=True, help="print nothing but errors")
@home_options
def command(
    file: str,
    overrides: tuple[str, ...],
    engine: str | None,
    workers: str | None,
    extend: int | None,
    join: bool,
    changed: str | None,
    no_confirm: bool,
    as_json: bool,
    quiet: bool,
    home_folder: str,
    storage: str | None,
) -> int:
    """Run a sweep file, or go on with its study up to the budget.

    Exit code 0: done; 1: no trial has a value, or the file's `confirm` or `report` came to nothing; 2: bad input; 3:
    done, but MLflow lacks some of it; 130: interrupted.
    """
    hear_interrupts()
    stream = sys.stderr if as_json else sys.stdout
    overrides += (f"engine.type={engine}",) if engine is not None else ()
    overrides += (f"engine.workers={workers}",) if workers is not None else ()
    options = [part for override in overrides for part in ("-o", override)]
    switches = {"--join": join, "--no-confirm": no_confirm, "--json": as_json, "--quiet": quiet}
    options += [name for name, given in switches.items() if given]
    with contextlib.ExitStack() as stack:
        with OpeningLine(stream, quiet) as opening:
            opening.say(f"checking {file} ...")
            from hpo.engines.early import early_server

            begun = stack.enter_context(early_server())
            from hpo.engines.make import ready_server
            from hpo.lazy import quick_imports
            from hpo.objective.build import inspect
            from hpo.spec.load import load_sweep
            from hpo.spec.shipped import find_sweep_file

            sweep = load_sweep(find_sweep_file(file), inspect, overrides).going_on(changed == "ok")
            opening.say(f"opening the study {sweep.name} ...")
            server = ready_server(begun, sweep)
            with quick_imports():  # the heavy part of the platform, only once the file is known to be sound
                from hpo.driver.sweeping import opened
                from hpo.ledger.study.home import make_home
                from hpo.review.display import make_display
                from hpo.review.summary import summary_json, summary_text

            home = make_home(home_folder, storage)
            run = stack.enter_context(opened(sweep, home, extend, join, server))
        sweep = run.sweep
        with _objective_prints(quiet, as_json), make_display(stream, quiet) as display:
            standing = run.run(display)
    if standing.error:
        print(f"hpo: {standing.reason or 'the sweep stopped'}:\n{standing.error}", file=sys.stderr)
    if not quiet:
        print(summary_text(sweep, standing, home, options), file=stream)
    code, confirmation = 0, None
    if sweep.confirm is not None and not no_confirm:
        code, confirmation = _confirm(sweep, standing, home, join, stream, quiet)
    if sweep.report.page:
        code = max(code, _report(sweep, standing, home, join, stream, quiet))
    if as_json:
        print(json.dumps(summary_json(standing, home) | {"confirmation": confirmation}))
    if standing.unmirrored:  # last of all, and always
        print(f"hpo: {standing.unmirrored}", file=sys.stderr)
    if standing.interrupted:
        return 130
    if standing.best is None:
        return 1
    return code or (3 if standing.unmirrored else 0)


def _confirm(
    sweep: Sweep, standing: Standing, home: Home, join: bool, stream: IO[str], quiet: bool
) -> tuple[int, dict[str, Any] | None]:
    """Confirm the winner, as the file asks for; return the exit code, and the verdict for scripts."""
    from hpo.cli.confirm import tell_confirmation
    from hpo.decision.confirm.run import ConfirmWish
    from hpo.spec.faults import UserError

    if standing.interrupted or standing.error or standing.best is None:
        return 0, None
    if join:
        print(f"note: with --join, confirm when all drivers have ended: hpo confirm {sweep.name}", file=stream)
        return 0, None
    if not quiet:
        print(file=stream)
    try:
        return tell_confirmation(home, sweep.name, ConfirmWish(), stream, quiet)
    except UserError as error:  # the sweep itself is done
        print(f"hpo: {sweep.name} is not confirmed: {error}", file=sys.stderr)
        return 1, None


def _report(sweep: Sweep, standing: Standing, home: Home, join: bool, stream: IO[str], quiet: bool) -> int:
    """Write the page that the file asks for; return the exit code: 1 if it can't be, 3 if MLflow lacks it."""
    from hpo.report.report import why_there_is_none, write_report

    if standing.interrupted:
        return 0
    if join:
        print(f"note: with --join, report when all drivers have ended: hpo report {sweep.name}", file=stream)
        return 0
    try:
        done = write_report(home, sweep.name)
    except Exception as error:  # the sweep itself is done, whatever its page meets
        print(f"hpo: {sweep.name} has no report: {why_there_is_none(error)}", file=sys.stderr)
        return 1
    if not quiet:
        print("\n".join(["", *done.lines()]), file=stream)
    for text in done.troubles():
        print(f"hpo: {text}", file=sys.stderr)
    return 3 if done.unlogged else 0


@contextlib.contextmanager
def _objective_prints(quiet: bool, as_json: bool) -> Iterator[None]:
    """Keep what an objective prints in this process (`workers: 0`) out of a standard output that has to be clean."""
    with contextlib.ExitStack() as stack:
        if quiet:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        elif as_json:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield
