"""`hpo sweep`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from hpo.cli.options import home_options, sweep_file_options


@click.command("sweep")
@sweep_file_options
@click.option("--engine", "engine", metavar="TYPE", help="the same as -o engine.type=TYPE")
@click.option("--workers", metavar="N", help="the same as -o engine.workers=N; 0 trains in this process")
@click.option("--extend", type=click.IntRange(min=1), metavar="N", help="N trials more than the study has")
@click.option("--join", is_flag=True, help="share the study with other drivers (PostgreSQL or MySQL, each with --join)")
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
    as_json: bool,
    quiet: bool,
    home_folder: str,
    storage: str | None,
) -> int:
    """Run a sweep file, or go on with its study up to the budget.

    Exit code 0: done; 1: no trial is complete; 2: bad input; 3: done, but MLflow lacks some of it; 130: interrupted.
    """
    from hpo.objective.build import inspect
    from hpo.spec.load import load_sweep
    from hpo.spec.shipped import find_sweep_file

    if threading.current_thread() is threading.main_thread():  # until the driver counts them both
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    overrides += (f"engine.type={engine}",) if engine is not None else ()
    overrides += (f"engine.workers={workers}",) if workers is not None else ()
    sweep = load_sweep(find_sweep_file(file), inspect, overrides)
    options = [part for override in overrides for part in ("-o", override)]
    options += [name for name, given in (("--join", join), ("--json", as_json), ("--quiet", quiet)) if given]

    # The heavy part of the platform is imported only once the file is known to be sound.
    from hpo.driver.sweeping import opened
    from hpo.ledger.study.home import make_home
    from hpo.review.display import make_display
    from hpo.review.summary import summary_json, summary_text

    home = make_home(home_folder, storage)
    out = sys.stdout
    stream = sys.stderr if as_json else out
    with opened(sweep, home, extend, join) as run:
        sweep = run.sweep
        with _objective_prints(quiet, as_json), make_display(stream, quiet) as display:
            standing = run.run(display)
    if standing.error:
        print(f"hpo: {standing.reason or 'the sweep stopped'}:\n{standing.error}", file=sys.stderr)
    if not quiet:
        print(summary_text(sweep, standing, home, options), file=stream)
    if as_json:
        print(json.dumps(summary_json(standing, home)), file=out)
    if standing.unmirrored:  # last of all, and always
        print(f"hpo: {standing.unmirrored}", file=sys.stderr)
    if standing.interrupted:
        return 130
    if not standing.counts.complete:
        return 1
    return 3 if standing.unmirrored else 0


@contextlib.contextmanager
def _objective_prints(quiet: bool, as_json: bool) -> Iterator[None]:
    """Keep what an objective prints in this process (`workers: 0`) out of a standard output that has to be clean."""
    with contextlib.ExitStack() as stack:
        if quiet:
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        elif as_json:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield
