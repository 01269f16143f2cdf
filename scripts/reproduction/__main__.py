"""scripts/reproduce: run the course's studies and write docs/course.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import machine

from hpo.files import write_whole
from reproduction.claims import Claim
from reproduction.page import machine_line, page
from reproduction.running import Command, CommandFailed, Runner, as_a_user
from reproduction.studies import STUDIES
from reproduction.study import Study
from reproduction.writing import Writer

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, command: Command = as_a_user) -> int:
    """Return the exit code. command: runs `hpo ...`."""
    options = _options(arguments)
    chosen = [study for study in STUDIES if study.name in (options.only or [study.name])]
    if options.only is None and options.cifar10 is None:
        chosen = [study for study in chosen if not study.cifar10]
    home, output = _places(options)
    runner = Runner(home, options.quick, options.cifar10, command)
    try:
        for study in chosen:
            runner.run(study, _say)
    except CommandFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", file=sys.stderr)
        return 130
    output.mkdir(parents=True, exist_ok=True)
    written = {study.name: _written(study, runner, output) for study in STUDIES if _is_recorded(study, runner)}
    if left_out := [study.name for study in STUDIES if study.name not in written]:
        _say(f"not on the page, since they are not recorded in {home}: {', '.join(left_out)}")
    write_whole(output / "course.md", page(STUDIES, written, runner, machine_line(machine())).encode())
    print(output / "course.md")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [study.name for study in STUDIES]
    parser = argparse.ArgumentParser(
        prog="scripts/reproduce", description="Run the course's studies; write docs/course.md."
    )
    parser.add_argument("--quick", action="store_true", help="a small share of each, only to see that everything works")
    parser.add_argument("--only", nargs="+", choices=names, metavar="STUDY", help=f"run these: {', '.join(names)}")
    parser.add_argument("--cifar10", type=Path, metavar="FOLDER", help="run the studies of CIFAR-10, too, whose pictures are "
                        "in this folder (`hpo data cifar10`)")  # fmt: skip
    parser.add_argument("--home", type=Path, metavar="DIR", help="where the studies are recorded (mlruns/course)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where course.md and images/course are written (docs; "
                        "with --quick the home)")  # fmt: skip
    return parser.parse_args(arguments)


def _places(options: argparse.Namespace) -> tuple[Path, Path]:
    home = options.home or ROOT / "mlruns" / ("course-quick" if options.quick else "course")
    return home.absolute(), options.output or (home if options.quick else ROOT / "docs")


def _is_recorded(study: Study, runner: Runner) -> bool:
    return all(runner.time_of(step) is not None for step in study.steps_of(runner.quick))


def _written(study: Study, runner: Runner, output: Path) -> tuple[list[str], list[Claim]]:
    _say(f"writing {study.name}")
    writer = Writer(runner.records, output / "images" / "course", runner.quick)
    claims = study.write(writer)
    return writer.blocks, claims


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
