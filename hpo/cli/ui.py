"""`hpo ui`."""

from __future__ import annotations

import click

from hpo.cli.options import home_options

_PORT = click.IntRange(0, 65535)


@click.command("ui", short_help="Open the studies in MLflow's UI and the Optuna dashboard.")
@click.argument("study", required=False, default="")
@click.option(
    "--mlflow-port",
    type=_PORT,
    default=5000,
    show_default=True,
    metavar="PORT",
    help="if in use, the next free one; 0: any",
)
@click.option(
    "--dashboard-port",
    type=_PORT,
    default=8080,
    show_default=True,
    metavar="PORT",
    help="if in use, the next free one; 0: any",
)
@click.option("--no-mlflow", is_flag=True, help="leave out the MLflow UI")
@click.option("--no-dashboard", is_flag=True, help="leave out the Optuna dashboard and the page of all studies")
@click.option("--open", "open_browser", is_flag=True, help="open the first page, or those of STUDY, in the web browser")
@home_options
def command(
    study: str,
    mlflow_port: int,
    dashboard_port: int,
    no_mlflow: bool,
    no_dashboard: bool,
    open_browser: bool,
    home_folder: str,
    storage: str | None,
) -> int:
    """Open the studies in the MLflow UI and the Optuna dashboard, for this machine only, until Ctrl-C.

    One page lists all studies and leads to both. With STUDY, its pages are shown.

    If MLFLOW_TRACKING_URI names a server, its address is shown and none started. Exit code 0 after Ctrl-C, 1 if one of
    the two ends by itself. Logs: logs/ui-*.log in the home.
    """
    from hpo.ledger.study.home import make_home
    from hpo.review.ui import UiRequest, serve

    wanted = UiRequest(
        study=study,
        mlflow_port=None if no_mlflow else mlflow_port,
        dashboard_port=None if no_dashboard else dashboard_port,
        open_browser=open_browser,
    )
    return serve(make_home(home_folder, storage), wanted)
