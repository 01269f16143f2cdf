"""`hpo`: the entry point. Commands are imported when they are called, so that `hpo --help` answers at once."""

from __future__ import annotations

import errno
import importlib
import io
import os
import pkgutil
import sys
import tempfile
import traceback
from pathlib import Path

import click

from hpo.lazy import keep_imports
from hpo.ledger.study.urls import MaskedStream, masked
from hpo.spec.faults import Bug, RecordsGone, SpecError, UserError

_NO_COMMANDS = ("main", "opening", "options", "signals")
_ORDER = (
    "sweep",
    "check",
    "list",
    "trials",
    "best",
    "compare",
    "confirm",
    "model",
    "predict",
    "refine",
    "report",
    "doctor",
    "ui",
    "study",
    "data",
    "schema",
)  # in the help; others come after them


class _Lazy(click.Group):
    """A group whose commands live in hpo.cli.<name>, attribute `command`: a new one is a module there."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        modules = pkgutil.iter_modules([str(Path(__file__).parent)])
        names = sorted(module.name for module in modules if module.name not in _NO_COMMANDS)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"hpo.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from hpo.spec.faults import did_you_mean

        names = self.list_commands(ctx)
        if args and args[0] not in names and not args[0].startswith("-"):
            raise click.UsageError(f"no such command {args[0]!r} ({did_you_mean(args[0], names)})", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hpo-sweep", prog_name="hpo")
def cli() -> None:
    """Hyperparameter sweeps from one declarative file: trained, recorded, reviewable."""


def _traceback_file(error: Bug) -> str:
    """Write what led to a bug into a file of its own; return its path."""
    with tempfile.NamedTemporaryFile("w", prefix="hpo-bug-", suffix=".txt", delete=False, encoding="utf-8") as file:
        file.write(masked("".join(traceback.format_exception(error))))
    return file.name


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 not come through (each command says with what), 2 bad input, 3 MLflow
    lacks something, 130 interrupted."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that can't show a character is no reason to stop
            stream.reconfigure(errors="backslashreplace")
    # Whoever writes there: this platform, click about its arguments, a library, a traceback.
    sys.stderr = MaskedStream(sys.stderr)
    try:
        code = cli(standalone_mode=False)
    except SpecError as error:
        count = f"{len(error.faults)} faults" if len(error.faults) > 1 else "one fault"
        kept = f"; the traceback is in {_traceback_file(error)}" if isinstance(error, Bug) else ""
        print(f"{error}\nhpo: {count}; nothing was started{kept}", file=sys.stderr)
        code = 2
    except UserError as error:
        print(f"hpo: {error}", file=sys.stderr)
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        print("hpo: interrupted", file=sys.stderr)
        code = 130
    except OSError as error:  # a full disk, say; of a closed pipe (`hpo list | head`) click takes care
        remedy = "make space" if error.errno == errno.ENOSPC else "mend that"
        safe = f"; what is recorded is safe: {remedy} and run the same command again"
        print(f"hpo: {error}{'' if isinstance(error, RecordsGone) else safe}", file=sys.stderr)
        code = 1
    keep_imports()
    sys.exit(code if isinstance(code, int) else 0)
