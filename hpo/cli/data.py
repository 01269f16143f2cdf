"""`hpo data`."""

from __future__ import annotations

import click

from hpo.places import CIFAR10_SIZE


@click.group("data")
def command() -> None:
    """Download a data set. Nothing else of the platform downloads anything."""


@command.command("cifar10", help=f"Download CIFAR-10 (binary version, {CIFAR10_SIZE}), check its digest, extract it.")
@click.option("--root", metavar="DIR", help="where to put it  [default: $HPO_DATA, or data]")
@click.option("--archive", metavar="FILE", help="use this archive, downloaded before, instead of downloading")
def cifar10(root: str | None, archive: str | None) -> None:
    """Do what `help` says above, which has the sizes."""
    from rich.console import Console
    from rich.progress import Progress

    from hpo.download import download_cifar10

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("CIFAR-10", total=None)
        folder = download_cifar10(root, archive, lambda done, total: progress.update(task, completed=done, total=total))
    click.echo(f"CIFAR-10 is in {folder}")
